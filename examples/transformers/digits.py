"""Digits in scenes: real handwriting on textures, in data sets with different kinds of errors.

    clean         few scenes; labels and boxes are correct
    wrong_labels  many scenes; the boxes are correct, every label is random
    wrong_boxes   many scenes; the labels are correct, every box is shifted and stretched

The handwriting is scikit-learn's `load_digits`, which is sorted by writer: the digits of the held-out scenes are by other people.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SIZES = {"clean": 40, "wrong_labels": 600, "wrong_boxes": 600}
SIDE = 64  # of the square scenes, in pixels
JITTER = 0.35  # each side of a wrong box is moved by up to this fraction of the box


def training_data(seed):
    """Returns the data sets by name. An item is an image and its label dict, as the detectors of transformers take them."""
    rng = np.random.default_rng(seed)
    digits = handwriting(slice(0, 1300))
    errors = {"clean": no_errors, "wrong_labels": random_labels, "wrong_boxes": moved_boxes}
    return {name: [item(*errors[name](*scene(digits, rng), rng)) for _ in range(size)] for name, size in SIZES.items()}


def held_out(size=200):
    """Returns clean scenes, the same for every seed."""
    rng = np.random.default_rng(12345)
    digits = handwriting(slice(1300, None))
    return [item(*scene(digits, rng)) for _ in range(size)]


def item(image, classes, boxes):
    """Boxes become (centre x, centre y, width, height), as fractions of the image."""
    start, end = boxes[:, :2], boxes[:, 2:]
    boxes = np.concatenate([(start + end) / 2, end - start], axis=1) / SIDE
    return {
        "pixel_values": image,
        "labels": {"class_labels": torch.tensor(classes), "boxes": torch.tensor(boxes, dtype=torch.float32)},
    }


def no_errors(image, classes, boxes, rng):
    return image, classes, boxes


def random_labels(image, classes, boxes, rng):
    return image, rng.integers(len(CLASSES), size=len(classes)), boxes


def moved_boxes(image, classes, boxes, rng):
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return image, classes, np.clip(boxes + rng.uniform(-JITTER, JITTER, boxes.shape) * size, 0, SIDE)


def handwriting(part):
    """Returns pairs of a digit, 8 x 8 in [0, 1], and its class."""
    digits = load_digits()
    return list(zip(torch.tensor(digits.images[part] / 16, dtype=torch.float32), digits.target[part]))


def scene(digits, rng):
    """Draws up to four digits on a texture; returns the image, the classes, and the boxes as (left, top, right, bottom)."""
    texture = torch.tensor(rng.uniform(-0.2, 0.2, (1, 3, 5, 5)) + rng.uniform(0.1, 0.5), dtype=torch.float32)
    image = interpolate(texture, (SIDE, SIDE), mode="bicubic")[0]
    classes, boxes = [], []
    for _ in range(10):
        shape, digit = digits[rng.integers(len(digits))]
        ink = resized_to_ink(shape, int(rng.integers(20, 33)))
        height, width = ink.shape
        left, top = (int(rng.integers(SIDE - length)) for length in (width, height))
        box = (left, top, left + width, top + height)
        if len(boxes) < 4 and not any(overlap(box, other) for other in boxes):
            image[:, top : top + height, left : left + width] += rng.uniform(0.4, 0.8) * ink
            classes.append(digit)
            boxes.append(box)
    return (image - 0.5) / 0.3, np.array(classes), np.array(boxes, dtype=float)


def resized_to_ink(shape, size):
    """Returns a digit of a size in pixels, without the empty rows and columns around it."""
    ink = interpolate(shape[None, None], (size, size), mode="bilinear")[0, 0]
    rows, columns = (torch.where((ink > 0.3).any(dim=dim))[0] for dim in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
