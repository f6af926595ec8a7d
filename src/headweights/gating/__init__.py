"""Weights on gradients: how a loss is weighted per image and per object without knowing what the loss is.

`gate` multiplies a gradient, `layouts` knows which part of a prediction belongs to which image, `matching` which object it is
matched to, and `entry_point` gates the arguments of a function that computes a loss. Everything here needs torch only.
"""
