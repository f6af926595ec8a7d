"""Weights of single images: read from a file, a dict or a function, and packed into two small arrays.

`sources` opens what the user gives, and `names` finds an image by its name. `lookup` looks up every image of a data set once and
packs the result into a `table`. `image` is what the room knows of an image.
"""
