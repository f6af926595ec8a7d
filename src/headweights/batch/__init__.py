"""The images of one training step and what they weigh.

`in_force` holds what the data sets weigh now, `image_weights` combines that with what an image and its objects weigh, `batch`
answers for all images of the step, and `current` hands the batch to the losses that run inside.
"""
