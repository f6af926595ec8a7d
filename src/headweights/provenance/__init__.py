"""Where an image, a part of a mixed image or an object comes from, and which weights it brings along.

`origin` names one image before anything is mixed, and a part of a mixed image. `provenance` is what an image knows of its parts
on its way through a pipeline. `labels` is what each object knows; it travels with the class labels. Everything here needs numpy
only.
"""
