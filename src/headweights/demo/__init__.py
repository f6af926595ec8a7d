"""What `headweights demo` runs: a stock detector on a mix of real and rendered tree crowns, without and with weights.

The modules, in the order of the demo: `annotated` defines images with boxes and writes COCO files, `photographs` reads the images
that the package `deepforest` ships and cuts them into tiles, `render` draws synthetic crowns, `data` makes the three data sets,
`config` loads the example configs, `training` runs mmengine's `Runner`, and `run` calls all of these and prints the results.
"""
