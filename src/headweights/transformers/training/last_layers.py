"""Finds the last layers of a model: the parameters that its predictions are made with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

_SUM = "AddBackward0"
_COMPILED = "CompiledFunction"


def last_layers(predictions: Iterable[Tensor]) -> list[nn.Parameter]:
    """Returns the trained parameters of the layers that predictions come from, found in the graph of their gradients.

    Every way back from a prediction ends at the first parameter that it is multiplied by, in a linear map, a convolution or a
    normalisation. Parameters that are added on the way, such as biases, belong to the layer. Of predictions that were stacked,
    each part has its own. In a compiled model there are none: its graph shows no layers.

    Args:
        predictions: Tensors with a gradient.
    """
    found: dict[nn.Parameter, None] = {}
    nodes = [prediction.grad_fn for prediction in predictions]
    seen = set(nodes)
    for node in nodes:  # the list grows meanwhile
        if node is None or _COMPILED in node.name():
            continue
        inputs = {input: _parameter(input) for input, _ in node.next_functions if input is not None}
        parameters = {parameter: None for parameter in inputs.values() if parameter is not None}
        found.update(parameters)
        if not parameters or node.name() == _SUM:
            following = [input for input, parameter in inputs.items() if parameter is None and input not in seen]
            seen.update(following)
            nodes += following
    return list(found)


def _parameter(node: Any) -> nn.Parameter | None:
    """Returns the parameter that a node passes on alone, transposed or cast perhaps; None if it passes on something else."""
    while not hasattr(node, "variable"):
        inputs = [input for input, _ in node.next_functions if input is not None]
        if len(inputs) != 1:
            return None
        (node,) = inputs
    return node.variable if isinstance(node.variable, nn.Parameter) else None
