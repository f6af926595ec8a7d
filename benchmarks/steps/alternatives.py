"""Steps that weigh by data set or by image without the library, for detectors of mmdetection.

They are not exact, since the losses of a smaller batch have another normaliser.
"""

from __future__ import annotations

import torch

from steps.detector import Step
from steps.mmdet import MMDetDetector, summed


def pass_per_data_set(detector: MMDetDetector, images: int, data_sets: int) -> Step:
    """Returns a step that splits the batch by data set, with a weighted forward and backward pass for each part."""
    model = detector.build()
    data = detector.batch(model, images)
    groups = [list(range(images))[start::data_sets] for start in range(data_sets)]

    def step(number: int) -> None:
        model.zero_grad()
        for index, group in enumerate(groups):
            losses = model.loss(data["inputs"][group], [data["data_samples"][image] for image in group])
            ((0.1 + index) * summed(losses)).backward()

    return step


def loss_per_image(detector: MMDetDetector, images: int) -> Step:
    """Returns a step that computes the features once, and the heads' losses image by image."""
    model = detector.build()
    data = detector.batch(model, images)
    extract = model.extract_feat

    def step(number: int) -> None:
        model.zero_grad()
        features = extract(data["inputs"])
        loss = torch.zeros(())
        for image in range(images):
            model.extract_feat = lambda inputs, image=image: tuple(level[image : image + 1] for level in features)
            loss = loss + (0.1 + image) * summed(model.loss(data["inputs"][image : image + 1], [data["data_samples"][image]]))
        loss.backward()

    return step
