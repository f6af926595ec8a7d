"""The heads of a model: which are weighted, at which paths, and whose images they see.

`weighted_head` is what all weighted heads have in common, `model_heads` finds the heads of a model, `publishing` tells them which
images are in the batch, and `pisa` handles the one RoI head that computes a part of its bbox head's loss.
"""
