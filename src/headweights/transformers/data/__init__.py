"""How the name of a data set, and an image's own weight, travel with an image to the model's label dicts.

`source` is one data set of a mix, and `mixed` draws from several. `entries` writes into an item or a label dict, `images` looks
up the weights that are given image by image, and `categories` compares the data set's names of classes with the model's.
"""
