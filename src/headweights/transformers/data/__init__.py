"""How the name of a data set, and an image's own weight, travel with an image to the model's label dicts.

`source` is one data set of a mix, and `mixed` draws from several. `entries` writes into an item or a label dict, and `images`
looks up the weights that are given image by image.
"""
