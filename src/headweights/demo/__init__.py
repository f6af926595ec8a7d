"""What `headweights demo` runs: a stock detector on a mix of real and rendered tree crowns, without and with weights.

From the data to the answer: `pictures` (the photographs that the package `deepforest` ships), `tiles` (cut into tiles),
`render` (crowns that were never photographed), `coco` (written as COCO data sets), `data` (all three sets), `training`
(one run of mmengine's `Runner`), `precision` (on the held-out tiles, place by place), `losses` (raw and weighted, by
data set and head), `tables` (what is shown) and `run` (all of it, in order).
"""
