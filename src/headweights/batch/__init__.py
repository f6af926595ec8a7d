"""The images of one training step and what they weigh.

`in_force` holds what the data sets weigh now, `batch` combines that with what images and objects weigh, and `current` hands the
batch to the losses that run inside.
"""
