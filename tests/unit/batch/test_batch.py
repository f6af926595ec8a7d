"""The weights of a batch become a tensor once for all losses that weigh its images alike."""

from __future__ import annotations

import torch

from headweights import Address
from headweights.batch.batch import Batch, ImageWeights, PartWeights


def image(name: str, **weights: float) -> ImageWeights:
    given = {Address("bbox_head", loss): weight for loss, weight in weights.items()}
    return ImageWeights(name, [PartWeights(given, {})])


def test_losses_that_weigh_the_images_alike_share_a_tensor() -> None:
    batch = Batch([image("first", loss_cls=0.5, loss_bbox=0.5, loss_iou=2), image("second", loss_cls=3, loss_bbox=3)])
    like = torch.zeros(1)
    tensors = [batch.tensor(batch.image_weights("bbox_head", loss) or (), like) for loss in ("loss_cls", "loss_bbox", "loss_iou")]
    assert [tensor.tolist() for tensor in tensors] == [[0.5, 3], [0.5, 3], [2, 1]]
    assert tensors[0] is tensors[1]
    assert batch.tensor((0.5, 3.0), torch.zeros(1, device="meta")).device.type == "meta"
