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

    Args:
        layers: The methods that compute the loss of a layer. For each, its arguments that are predictions (images, queries, ...),
            and for each argument the argument of the whole loss that it is a part of.
    """

    layers: Mapping[str, Mapping[str, str]]

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        with listening_to_queries(head) as matched, ExitStack() as stack:
            for method, parts in self.layers.items():
                if hasattr(head, method):
                    stack.enter_context(replaced(head, method, partial(_gate_layer, matched, parts, tables)))
            yield


def _gate_layer(
    matched: MatchedQueries, parts: Mapping[str, str], tables: Mapping[str, WeightTables], loss: Any, *args: Any, **kwargs: Any
) -> Any:
    given = inspect.signature(loss).bind(*args, **kwargs)
    for name, whole in parts.items():
        prediction = given.arguments[name]
        if whole in tables and prediction.requires_grad:
            given.arguments[name] = matched.gate(prediction, tables[whole])
    return loss(*given.args, **given.kwargs)
