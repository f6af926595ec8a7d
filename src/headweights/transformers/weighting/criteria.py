"""The methods of transformers' criteria through which predictions enter a loss.

A criterion computes each loss in a method of its own, once for each decoder layer. The method receives predictions whose first
dimension counts the images, wherever the model had put its layers, and the pairs of queries and objects that are matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from headweights.gating.entry_point import EntryPoint
from headweights.gating.matching import MatchedQueries, Matching, WeightTables

# Arguments of the methods: predictions by name, the matched pairs of each image, and the number of pairs in the batch.
OUTPUTS, PAIRS, NORMALIZERS = "outputs", "indices", ("num_boxes", "num_masks")


class MatchedPairs(Matching):
    """Queries whose objects the criterion passes on: for each image, the matched queries and the object of each."""

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        matched = MatchedQueries()
        for name, table in tables.items():
            like = arguments[name]
            arguments[name] = matched.gate(like, table)
            numbers = matched_objects(arguments[PAIRS], like)
        matched.numbers += numbers
        yield


def matched_objects(pairs: Sequence[Any], like: Tensor) -> list[Tensor]:
    """Returns the 1-based number of each query's object, 0 for none: a tensor (queries,) for each image.

    Args:
        pairs: For each image, the matched queries and the object of each.
        like: A prediction (images, queries, ...).
    """
    return [_numbers(of_image, like) for of_image in pairs]


def _numbers(pairs: Any, like: Tensor) -> Tensor:
    queries, objects = map(torch.as_tensor, pairs)
    none = torch.zeros(like.shape[1], dtype=torch.long, device=queries.device)
    return none.index_put((queries,), objects + 1).to(like.device, non_blocking=True)


@dataclass(frozen=True, kw_only=True)
class LossMethod(EntryPoint):
    """A method of a criterion that computes losses.

    Args:
        name: The method's name.
        losses: The losses that it returns, by their names in the model's ``loss_dict``. They are computed from the same
            predictions and have one weight, under the name of the first.
        classes: How the predictions score classes: independently, or together with a background. Default: None, they do not.
        fixed_classes: Why no class can be left out, as the end of a sentence. Default: None, any can.
        has_background: Whether the losses learn from queries that are matched to no object. Default: False.
    """

    name: str
    losses: Sequence[str]
    objects: Matching | str = field(default_factory=MatchedPairs)
    classes: Literal["sigmoid", "softmax"] | None = None
    fixed_classes: str | None = None
    has_background: bool = False

    @property
    def target(self) -> str:
        """The address of the losses."""
        return self.losses[0]


def predictions_of(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the predictions among a loss method's arguments, by name: the entries of `outputs`, or arguments themselves."""
    outputs: Mapping[str, Any] = arguments.get(OUTPUTS, arguments)
    return outputs


def _method(name: str, prediction: str, *losses: str, **known: Any) -> LossMethod:
    return LossMethod(name=name, predictions=(prediction,), losses=losses, **known)


_SIGMOID: dict[str, Any] = dict(classes="sigmoid", has_background=True)
_SOFTMAX: dict[str, Any] = dict(classes="softmax", has_background=True)

# Box losses use the scores, and quality-aware classification losses the boxes, without their gradient.
CLASSES = _method("loss_labels", "logits", "loss_ce", **_SIGMOID)
SOFTMAX_CLASSES = _method("loss_labels", "logits", "loss_ce", **_SOFTMAX)
TOKENS = _method(
    "loss_labels",
    "logits",
    "loss_ce",
    **_SIGMOID,
    fixed_classes="it scores the tokens of a text, which is an image's own list of classes: leave the class out of the prompt",
)
BOXES = _method("loss_boxes", "pred_boxes", "loss_bbox", "loss_giou")
MASKS = _method("loss_masks", "pred_masks", "loss_mask", "loss_dice")
SAMPLED_MASKS = _method("loss_masks", "pred_masks", "loss_mask_ce", "loss_mask_dice")
VARIFOCAL = _method("loss_labels_vfl", "logits", "loss_vfl", **_SIGMOID)
MATCHABILITY = _method("loss_labels_mal", "logits", "loss_mal", **_SIGMOID)
# Queries without an object still learn the corners of the last layer (loss_ddf).
CORNERS = _method("loss_local", "pred_corners", "loss_fgl", "loss_ddf", has_background=True)
MASK_CLASSES = _method("loss_labels", "class_queries_logits", "loss_cross_entropy", **_SOFTMAX)
QUERY_MASKS = _method("loss_masks", "masks_queries_logits", "loss_mask", "loss_dice")
