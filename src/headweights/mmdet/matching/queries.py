"""The DETR family: an assigner matches the queries of every decoder layer."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from headweights.gating.matching import MatchedQueries, Matching, WeightTables
from headweights.patching import replaced

# The argument with the objects of the batch, of a whole loss and of a layer.
_OBJECTS = "batch_gt_instances"


@contextmanager
def listening_to_queries(head: Any) -> Iterator[MatchedQueries]:
    """Records the objects that queries and denoising queries are matched to while the context is open."""
    matched = MatchedQueries()

    def hear_assigner(assign: Any, *args: Any, **kwargs: Any) -> Any:
        result = assign(*args, **kwargs)
        matched.numbers.append(result.gt_inds)
        return result

    def hear_denoising(targets: Any, gt_instances: Any, *args: Any, **kwargs: Any) -> Any:
        result = targets(gt_instances, *args, **kwargs)
        labels, positives = result[0], result[4]
        # Group by group, the objects in their order.
        numbers = 1 + torch.arange(len(positives), device=positives.device) % max(len(gt_instances), 1)
        none = torch.zeros(len(labels), dtype=torch.long, device=positives.device)
        matched.numbers.append(none.index_put((positives,), numbers))
        return result

    with ExitStack() as stack:
        stack.enter_context(replaced(head.assigner, "assign", hear_assigner))
        if hasattr(head, "_get_dn_targets_single"):
            stack.enter_context(replaced(head, "_get_dn_targets_single", hear_denoising))
        yield matched


@dataclass(frozen=True)
class ByLayer(Matching):
    """Queries that are matched anew in each decoder layer.

    A layer that is computed with other objects than those of the batch tells only objects from background (the encoder of
    Deformable DETR): weights by class do not apply to it.

    Args:
        layers: The methods that compute the loss of a layer. For each, its arguments that are predictions (images, queries, ...),
            and for each argument the argument of the whole loss that it is a part of.
    """

    layers: Mapping[str, Mapping[str, str]]

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        objects = arguments[_OBJECTS]

        def gate_layer(parts: Mapping[str, str], loss: Any, *args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(loss).bind(*args, **kwargs)
            for name, whole in parts.items():
                prediction, of_images = given.arguments[name], tables.get(whole, ())
                by_class = any(table.ndim > 1 for table in of_images)
                if of_images and prediction.requires_grad and not (by_class and given.arguments[_OBJECTS] is not objects):
                    given.arguments[name] = matched.gate(prediction, of_images)
            return loss(*given.args, **given.kwargs)

        with listening_to_queries(head) as matched, ExitStack() as stack:
            for method, parts in self.layers.items():
                if hasattr(head, method):
                    stack.enter_context(replaced(head, method, partial(gate_layer, parts)))
            yield
