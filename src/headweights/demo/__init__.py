"""What `headweights demo` runs: a stock detector on a mix of real and rendered tree crowns, without and with weights.

The modules, in the order of the demo: `photographs` reads the images that the package `deepforest` ships, `tiles` cuts them,
`render` draws synthetic crowns, `coco` writes COCO files, `data` makes the three data sets, `training` runs mmengine's `Runner`,
`precision` evaluates the held-out tiles by place, `losses` reads raw and weighted losses by data set and head, `tables` prints
the results, and `run` calls all of these.
"""
