"""Layouts: which part of a prediction belongs to which image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from torch import Tensor

from headweights.errors import WeightError
from headweights.gating.gate import SliceGate, gate_gradient

# Gates a prediction (a tensor, or nested lists and dicts of tensors) by one weight per image. The third argument holds all
# arguments of the loss function: some of them tell which image a row belongs to.
Layout: TypeAlias = Callable[[Any, Tensor, Mapping[str, Any]], Any]


def by_dimension(dim: int) -> Layout:
    """The images are the slices of every tensor along one dimension."""
    return partial(_along, dim)


def _along(dim: int, prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    return gate_each(prediction, weights, dim)


def by_layer(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """Decoder layers come first, then images: a tensor (layers, images, ...) or a list of tensors (images, ...)."""
    return gate_each(prediction, weights, 1 if isinstance(prediction, Tensor) else 0)


def by_entry(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """A list with one entry per image. The tensors of an entry have no dimension for images."""
    if isinstance(prediction, Tensor):
        return gate_each(prediction, weights)
    return type(prediction)([by_call(entry, weight, arguments) for entry, weight in zip(prediction, weights[:, None])])


def by_call(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """All of the prediction belongs to one image. Its tensors have no dimension for images."""
    return each_tensor(prediction, lambda tensor: gate_gradient(tensor[None], weights)[0])


def by_block(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """The rows of the first image come first, then those of the second, and so on; every image has the same number."""
    return each_tensor(prediction, lambda tensor: gate_gradient(tensor, blocks(weights, len(tensor))))


def blocks(weights: Tensor, rows: int) -> Tensor:
    """Repeats each image's weight, shape (images,), for its part of `rows` rows: image by image, the same number for each.

    Raises:
        WeightError: `rows` is not a multiple of the number of images.
    """
    rows_per_image, left_over = divmod(rows, len(weights))
    if left_over:
        raise WeightError(f"{rows} rows cannot be split evenly between {len(weights)} images.")
    return weights.repeat_interleave(rows_per_image)


def gate_each(prediction: Any, weights: Tensor, dim: int = 0) -> Any:
    """Gates every tensor of a prediction that requires a gradient (see :func:`headweights.gating.gate.gate_gradient`)."""
    return each_tensor(prediction, SliceGate(weights, dim))


def each_tensor(prediction: Any, gate: Callable[[Tensor], Tensor]) -> Any:
    """Applies a function to every tensor that requires a gradient, in nested lists, tuples and dicts."""
    return map_tensors(prediction, lambda tensor: gate(tensor) if tensor.requires_grad else tensor)


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Applies a function to every tensor in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)([map_tensors(part, change) for part in value])
    if isinstance(value, dict):
        return {name: map_tensors(part, change) for name, part in value.items()}
    return value


def first_trained(prediction: Any) -> Tensor | None:
    """Finds the first tensor that requires a gradient, in nested lists, tuples and dicts; None if there is none."""
    if isinstance(prediction, Tensor):
        return prediction if prediction.requires_grad else None
    parts = prediction.values() if isinstance(prediction, dict) else prediction if isinstance(prediction, (list, tuple)) else ()
    return next((found for found in map(first_trained, parts) if found is not None), None)
