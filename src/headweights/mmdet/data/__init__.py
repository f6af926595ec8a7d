"""How weights get from files through mmdetection's data sets and pipelines into data samples.

`annotations` keeps the weights of a COCO file. `load` is the pipeline step that loads weights, `add_field` the one that writes
metainfo. `trace` gives an image's objects their provenance, `mixing` (with `frame`) keeps it through mixing steps, and `packing`
puts it into the data sample. `source_datasets` finds the data sets of a mix and has them load their weights.
"""
