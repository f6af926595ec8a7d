"""Finds the last layers of a model: the parameters that its predictions are made with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

# A layer's bias is met at the first step, its transposed weight one or two steps later.
_STEPS_ON = 2
_COMPILED = "CompiledFunction"


def last_layers(predictions: Iterable[Tensor]) -> list[nn.Parameter]:
    """Returns the trained parameters that lie nearest to predictions in the graph of their gradients.

    Of predictions that were stacked, each part has its own. In a compiled model there are none: its graph shows no layers.

    Args:
        predictions: Tensors with a gradient.
    """
    found: dict[int, nn.Parameter] = {}
    for prediction in predictions:
        for parameter in _nearest(prediction.grad_fn):
            found[id(parameter)] = parameter
    return list(found.values())


def _nearest(node: Any) -> list[nn.Parameter]:
    nodes, seen = [node], {node}
    found: list[nn.Parameter] = []
    steps_left = None
    while nodes and steps_left != 0:
        following = []
        for node in nodes:
            if node is None or _COMPILED in node.name():
                continue
            if hasattr(node, "variable"):
                found.append(node.variable)
            for other, _ in node.next_functions:
                if other is not None and other not in seen:
                    seen.add(other)
                    following.append(other)
        if steps_left is not None:
            steps_left -= 1
        elif found:
            steps_left = _STEPS_ON
        nodes = following
    return found
