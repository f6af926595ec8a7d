"""The mix of a training: its data sets, its block and the heads of its model, put together and checked before the training.

`mix` puts them together. `fields` checks what pipelines set, `classes` whether the data sets number their classes alike, and
`labelled` what can be done about classes that a data set does not label.
"""
