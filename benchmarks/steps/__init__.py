"""Training steps to measure: a forward and a backward pass of a detector, stock and weighted.

`detector` says what a framework has to provide, and `mmdet` and `transformers` provide it. `alternatives` has steps that weigh
without the library.
"""
