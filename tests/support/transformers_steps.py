"""One training step of a detector of transformers, and what can be seen of it from outside.

What a weight must do is derived from the stock model alone: which losses it sums, with which coefficients, which predictions each
is computed from, and which objects these are matched to. Nothing here knows how weighting is done.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from support.transformers_zoo import CLASSES, OBJECTS, Architecture, Batch

Labels = Sequence[Mapping[str, Any]]

# Losses that share their predictions with another, whose weight is that of both.
SHARED = {"loss_giou": "loss_bbox", "loss_ddf": "loss_fgl", "loss_dice": "loss_mask", "loss_mask_dice": "loss_mask_ce"}
# What a target's losses are computed from. An entry of a layer's predictions has one of these names.
PREDICTIONS = {
    "loss_ce": ("logits",),
    "loss_vfl": ("logits",),
    "loss_mal": ("logits",),
    "loss_cross_entropy": ("class_queries_logits",),
    "loss_bbox": ("pred_boxes",),
    "loss_fgl": ("pred_corners",),
    "loss_mask": ("pred_masks", "masks_queries_logits"),
    "loss_mask_ce": ("pred_masks",),
    "loss_contrastive": ("contrastive_queries_logits",),
}


# The targets that score classes.
CLASSIFYING = ("loss_ce", "loss_vfl", "loss_mal", "loss_cross_entropy")


def target_of(loss: str) -> str:
    """The target of a loss, by its name in the loss dict: without the layer, and the first of those that share predictions."""
    name, _ = _split(loss)
    return SHARED.get(name, name)


def _split(loss: str) -> tuple[str, str]:
    """The name of a loss and its layer: '' for the last one, or such as '0', 'aux_0', 'dn_0' or 'enc'."""
    match = re.fullmatch(r"(.*?)_?((?:aux_|dn_)?\d+|enc|)", loss)
    assert match is not None
    return match[1], match[2]


# ----------------------------------------------------------------------------------------------------------------------
# A step
# ----------------------------------------------------------------------------------------------------------------------


class Step:
    """One loss computation of a model, always from the same random state.

    Args:
        arch: The architecture.
        model: A stock or a weighted model of it.
        labels: What goes into the label dicts beside boxes, one dict for each image.
        objects: The number of objects of each image.
        change: Changes the batch in place.
    """

    def __init__(
        self,
        arch: Architecture,
        model: nn.Module,
        labels: Labels | None = None,
        objects: Sequence[int] = OBJECTS,
        change: Callable[[Batch], None] = lambda batch: None,
    ) -> None:
        self.model = model
        self.batch = with_labels(arch, arch.batch(objects), labels)
        change(self.batch)
        self.pixels = self.batch["pixel_values"].requires_grad_()
        torch.manual_seed(0)
        with _calls(model, self.seam(arch)) as self.calls:
            output = model(**self.batch)
        self.loss: Tensor = output.loss
        self.loss_dicts = [output.loss_dict] if arch.takes_labels else [call.result for call in self.calls]
        self.random_state = torch.get_rng_state()

    def seam(self, arch: Architecture) -> str | None:
        """The method whose calls are recorded. A model with a criterion of its own does not return its loss dict."""
        return None if arch.takes_labels else "get_loss_dict"

    @property
    def values(self) -> list[tuple[str, Tensor]]:
        """Every loss by its name; EoMT has a loss dict for each layer, with the same names."""
        return [item for losses in self.loss_dicts for item in losses.items()]

    @cached_property
    def pixel_gradient(self) -> Tensor:
        """Of the loss, shaped like the images."""
        return torch.autograd.grad(self.loss, self.pixels, retain_graph=True)[0]

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """Of the loss; see :meth:`gradients_of`."""
        return self.gradients_of(self.loss)

    def gradients_of(self, loss: Tensor) -> dict[str, Tensor]:
        """The gradient of a loss for the pixels and, by its name, every parameter that the loss reaches."""
        parameters = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        inputs = {"pixels": self.pixels, **parameters}
        gradients = torch.autograd.grad(loss, list(inputs.values()), retain_graph=True, allow_unused=True)
        return {name: gradient for name, gradient in zip(inputs, gradients) if gradient is not None}


def with_labels(arch: Architecture, batch: Batch, labels: Labels | None) -> Batch:
    """The batch with further entries in its label dicts. A model that takes none gets them as an argument of their own."""
    if labels is None:
        return batch
    if not arch.takes_labels:
        return {**batch, "labels": [dict(label) for label in labels]}
    return {**batch, "labels": [{**own, **label} for own, label in zip(batch["labels"], labels)]}


@dataclass(frozen=True)
class _Call:
    """A call of a method: the arguments by name, and what it returned."""

    arguments: Mapping[str, Any]
    result: Any


@contextmanager
def _calls(model: nn.Module, method: str | None) -> Iterator[list[_Call]]:
    """Records the calls of a model's method."""
    calls: list[_Call] = []
    if method is None:
        yield calls
        return
    compute = getattr(model, method)
    before = set(vars(model))

    def spy(*args: Any, **kwargs: Any) -> Any:
        result = compute(*args, **kwargs)
        calls.append(_Call(inspect.signature(compute).bind(*args, **kwargs).arguments, result))
        return result

    setattr(model, method, spy)
    try:
        yield calls
    finally:
        for name in set(vars(model)) - before:  # `loss_function` is a property
            delattr(model, name)


# ----------------------------------------------------------------------------------------------------------------------
# A step of the stock model
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Term:
    """A loss that the stock model sums.

    Args:
        name: Its name in the loss dict.
        value: Its value there.
        coefficient: What it is multiplied by in the sum.
        prediction: What it is computed from, the images first.
        objects: For each image and query, the object that the query is matched to, or -1. Shape (images, [layers,] queries).
    """

    name: str
    value: Tensor
    coefficient: float
    prediction: Tensor
    objects: Tensor

    @property
    def target(self) -> str:
        return target_of(self.name)


class StockStep(Step):
    """A step of a stock model, taken apart."""

    def __init__(self, arch: Architecture, model: nn.Module, objects: Sequence[int] = OBJECTS, **kwargs: Any) -> None:
        self.counts = tuple(objects)
        with _matchings() as self.matchings:
            super().__init__(arch, model, None, objects, **kwargs)

    def seam(self, arch: Architecture) -> str | None:
        return super().seam(arch) or "loss_function"

    @cached_property
    def terms(self) -> list[Term]:
        """The losses that have a part in the sum and a gradient."""
        losses = [
            (call, *item) for call, values in enumerate(self.loss_dicts) for item in values.items() if item[1].requires_grad
        ]
        parts = torch.autograd.grad(self.loss, [value for *_, value in losses], retain_graph=True, allow_unused=True)
        return [self._term(*loss, float(part)) for loss, part in zip(losses, parts) if part is not None]

    def _term(self, call: int, name: str, value: Tensor, coefficient: float) -> Term:
        prediction = self._prediction(call, name)
        return Term(name, value, coefficient, prediction, self._objects(call, name, prediction))

    @property
    def targets(self) -> list[str]:
        """What the losses are addressed by, in the order of the loss dict."""
        return list(dict.fromkeys(term.target for term in self.terms))

    def _prediction(self, call: int, name: str) -> Tensor:
        predictions = _layers(self.calls[call])[_split(name)[1]]
        return next(predictions[key] for key in PREDICTIONS[target_of(name)] if predictions.get(key) is not None)

    def _objects(self, call: int, name: str, prediction: Tensor) -> Tensor:
        dimensions = 3 if _split(name)[1].startswith("dn") else 2
        objects = torch.full(prediction.shape[:dimensions], -1)
        if target_of(name) == "loss_contrastive":
            return objects
        for image, (queries, numbers) in enumerate(self._matched(call, name, prediction)):
            objects[image, ..., queries] = numbers
        return objects

    def _matched(self, call: int, name: str, prediction: Tensor) -> Pairs:
        """The pairs of queries and objects that a loss was computed with, by image."""
        layer = _split(name)[1]
        if layer.startswith("dn"):
            return _denoising_pairs(self.calls[call].arguments["denoising_meta_values"], self.counts)
        matching = self.matchings[self._matching_index(call, layer)]
        pairs = matching.pairs
        if getattr(self.model.config, "use_dense_one_to_one", False) and target_of(name) in ("loss_bbox", "loss_fgl"):
            pairs = _in_all_layers([matching.pairs for matching in self.matchings])
        # Denoising queries come before the matched ones in what the model predicts.
        before = prediction.shape[1] - matching.queries if matching.queries else 0
        return [(queries + before, numbers) for queries, numbers in pairs]

    def _matching_index(self, call: int, layer: str) -> int:
        """The last layer is matched first, then the others in order, then the encoder; EoMT matches in a call for each layer."""
        if len(self.calls) > 1:
            return call
        if layer == "enc":
            return -1
        return int(layer.removeprefix("aux_")) + 1 if layer else 0

    def pixel_gradients(self) -> dict[str, Tensor]:
        """The gradient of each target's losses, with their coefficients; also of losses that have no target."""
        return {target: self._pixel_gradient(target) for target in self.targets}

    def _pixel_gradient(self, target: str) -> Tensor:
        total = sum(term.coefficient * term.value for term in self.terms if term.target == target)
        return torch.autograd.grad(total, self.pixels, retain_graph=True)[0]

    def weighted_pixel_gradient(
        self,
        images: Mapping[str, Sequence[float]],
        objects: Sequence[Tensor],
        backgrounds: Mapping[str, Sequence[float]] | None = None,
        unlabelled: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """The gradient that weights of images and objects must give, from the gradients of the stock predictions.

        Args:
            images: The weight of each image, by target; 1 where a target has none.
            objects: For each image, the weight of each object.
            backgrounds: The weight of what is matched to no object in each image, by target. Default: None, that of the image.
            unlabelled: The classes that are not labelled in each image. Default: None.
        """
        predictions, gradients = [], []
        for term in self.terms:
            (gradient,) = torch.autograd.grad(term.value, term.prediction, retain_graph=True, allow_unused=True)
            if gradient is not None:
                of_images = images.get(term.target, [1.0] * len(objects))
                rows = _rows(of_images, (backgrounds or {}).get(term.target, of_images), objects, term.objects)
                if unlabelled is not None and term.target in CLASSIFYING:
                    gradient = _without_unlabelled(gradient, term, unlabelled)
                predictions.append(term.prediction)
                gradients.append(term.coefficient * gradient * rows.view(*rows.shape, *[1] * (gradient.dim() - rows.dim())))
        return torch.autograd.grad(predictions, self.pixels, gradients, retain_graph=True)[0]


def _rows(images: Sequence[float], backgrounds: Sequence[float], objects: Sequence[Tensor], numbers: Tensor) -> Tensor:
    """The weight of each query: its image's times its object's, or that of the background (a number of -1)."""
    of_images = zip(images, backgrounds, objects, numbers)
    return torch.stack([torch.cat([image * own, torch.tensor([none])])[of_image] for image, none, own, of_image in of_images])


def _without_unlabelled(gradient: Tensor, term: Term, unlabelled: Sequence[Sequence[int]]) -> Tensor:
    """The gradient of class scores that are matched to no object, without the classes that are not labelled.

    Independent scores have none there. With a background, it is that of ``-log(p[background] + sum of p[unlabelled])``, with the
    factor that stock's ``-log p[background]`` has.
    """
    scores = term.prediction.detach()
    left_out = torch.zeros(len(unlabelled), scores.shape[-1], dtype=torch.bool)
    for image, classes in enumerate(unlabelled):
        left_out[image, list(classes)] = True
    left_out = left_out.view(len(unlabelled), *[1] * (scores.ndim - 2), -1)
    if scores.shape[-1] == CLASSES:
        expected = gradient.masked_fill(left_out, 0)
    else:
        p = scores.softmax(-1)
        target = left_out.clone().expand_as(p).clone()
        target[..., -1] = True
        expected = gradient[..., -1:] / (p[..., -1:] - 1) * (p - p * target / (p * target).sum(-1, keepdim=True))
    changes = (term.objects < 0)[..., None] & left_out.any(-1, keepdim=True)
    return torch.where(changes, expected, gradient)


# ----------------------------------------------------------------------------------------------------------------------
# Seams of the stock model
# ----------------------------------------------------------------------------------------------------------------------

Pairs = list[tuple[Tensor, Tensor]]


def _layers(call: _Call) -> dict[str, Mapping[str, Tensor]]:
    """The predictions of each layer by name, all with the images first."""
    given = call.arguments
    returned = call.result[2] if isinstance(call.result, tuple) else None
    auxiliary = dict(enumerate(returned or given.get("auxiliary_logits") or given.get("auxiliary_predictions") or []))
    denoising = {
        "logits": given.get("outputs_class"),
        "pred_boxes": given.get("outputs_coord"),
        "pred_corners": given.get("predicted_corners"),
    }
    encoder = {
        "logits": given.get("enc_outputs_class", given.get("encoder_logits")),
        "pred_boxes": given.get("enc_outputs_coord", given.get("encoder_pred_boxes")),
        "pred_masks": given.get("enc_outputs_masks"),
    }
    return {
        "": given,
        "enc": encoder,
        **{f"{prefix}{number}": layer for number, layer in auxiliary.items() for prefix in ("", "aux_")},
        **{f"dn_{number}": denoising for number in range(len(auxiliary) + 1)},
    }


@dataclass(frozen=True)
class _Matching:
    """What a matcher returned, and the number of queries that it was given, if it was given a dict of predictions."""

    pairs: Pairs
    queries: int | None


@contextmanager
def _matchings() -> Iterator[list[_Matching]]:
    """Records what every Hungarian matcher returns."""
    matchings: list[_Matching] = []

    def record(module: nn.Module, args: Any, output: Any) -> None:
        if type(module).__name__.endswith("HungarianMatcher"):
            queries = args[0]["logits"].shape[1] if args and isinstance(args[0], Mapping) else None
            matchings.append(_Matching([(torch.as_tensor(q), torch.as_tensor(o)) for q, o in output], queries))

    handle = nn.modules.module.register_module_forward_hook(record)
    try:
        yield matchings
    finally:
        handle.remove()


def _denoising_pairs(meta: Mapping[str, Any], counts: Sequence[int]) -> Pairs:
    """Denoising queries belong to the objects that they were made from."""
    return [
        (queries if count else torch.zeros(0, dtype=torch.long), torch.arange(count).repeat(meta["dn_num_group"]))
        for queries, count in zip(meta["dn_positive_idx"], counts)
    ]


def _in_all_layers(layers: Sequence[Pairs]) -> Pairs:
    """DEIMv2 may match boxes to the objects of all layers together."""
    from transformers.loss.loss_deimv2 import Deimv2Loss

    return Deimv2Loss._get_dense_o2o_indices(None, list(layers[0]), [list(layer) for layer in layers[1:]])
