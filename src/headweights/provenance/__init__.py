"""Where an image, a part of a mixed image or an object comes from, and which weights it brings along.

`origin` is what an image knows of its parts, and `labels` what each object knows, which travels with the class labels. Both need
numpy only.
"""
