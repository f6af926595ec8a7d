"""Pictures for pipelines whose every object is of a class of its own: the class tells which object it is.

So what an object should weigh after a pipeline follows from its class alone, by :func:`weight_of`, and not from how weights
are carried.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.random as random

SIZE = 160
OBJECTS = 8


def weight_of(label: int) -> float:
    """The weight of the object of a class; every third one has none given, which is 1."""
    return 1.0 if label % 3 == 0 else (label % 50 + 1) / 64


def scene(first: int = 0, seed: int = 0, objects: int = OBJECTS, weighted: bool = True, size: int = SIZE) -> dict[str, Any]:
    """What a data set hands to a pipeline, with the picture loaded: objects of the classes `first`, `first + 1`, ..."""
    rng = np.random.default_rng([seed, first])
    picture = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    instances = []
    for number in range(objects):
        x, y = (int(v) for v in rng.integers(0, size - 50, 2))
        w, h = (int(v) for v in rng.integers(24, 50, 2))
        cv2.rectangle(picture, (x, y), (x + w, y + h), (number * 20, 200, 90), -1)
        instance: dict[str, Any] = dict(
            bbox=[x, y, x + w, y + h],
            bbox_label=first + number,
            ignore_flag=int(number % 4 == 3),
            mask=[[x, y, x + w, y, x + w, y + h, x, y + h]],
        )
        if weighted and (first + number) % 3:
            instance["loss_weight"] = weight_of(first + number)
        instances.append(instance)
    shape = picture.shape[:2]
    return dict(
        img=picture,
        img_shape=shape,
        ori_shape=shape,
        height=size,
        width=size,
        img_path=f"folder/{first}.png",
        img_id=first,
        sample_idx=first // 100,
        instances=instances,
    )


def seeded(seed: int) -> None:
    """Seeds the generators that mmdetection's pipelines draw from."""
    import random as python_random

    random.seed(seed)
    python_random.seed(seed)
