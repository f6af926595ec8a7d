"""Heads of RoIs: the sampling results know the image and the object of each RoI."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headweights.errors import WeightError
from headweights.gating.gate import as_tensor, gate_each_element
from headweights.gating.layouts import Layout, gate_each
from headweights.gating.matching import Matching, WeightTables

_sampled: ContextVar[tuple[nn.Module, Sequence[Any]] | None] = ContextVar("headweights_sampled", default=None)


@contextmanager
def sampled(head: nn.Module, sampling_results: Sequence[Any]) -> Iterator[None]:
    """Makes a head's sampling results available to :func:`sampled_for`, for loss methods that do not receive them."""
    token = _sampled.set((head, sampling_results))
    try:
        yield
    finally:
        _sampled.reset(token)


def sampled_for(head: nn.Module) -> Sequence[Any]:
    """Returns the sampling results of a head whose loss is being computed.

    Raises:
        WeightError: The loss was not called by the method that receives the sampling results.
    """
    of_head = _sampled.get()
    if of_head is None or of_head[0] is not head:
        raise WeightError(
            f"{type(head).__name__}.loss was called directly, without sampling results, so the objects of its RoIs are not known "
            "and cannot be weighted. Call loss_and_target instead."
        )
    return of_head[1]


def rows_of_positives(table: Tensor, result: Any) -> Tensor:
    """Looks up the weight of each positive sample of one image, given its weight table and its sampling result."""
    return table[1 + result.pos_assigned_gt_inds]


def positive_rows(tables: WeightTables, results: Sequence[Any]) -> Tensor:
    """Looks up the weight of each positive sample, image by image."""
    return torch.cat(list(map(rows_of_positives, tables, results)))


def sampled_rows(tables: WeightTables, results: Sequence[Any]) -> Tensor:
    """Looks up the weight of each sample, or of each of its classes: image by image, first the positive ones."""
    rows = []
    for table, result in zip(tables, results):
        rows += [rows_of_positives(table, result), table[:1].expand(len(result.neg_priors), *table.shape[1:])]
    return torch.cat(rows)


def rows_of_rois(head: nn.Module, tables: WeightTables | None, weights: Sequence[float] | None, rois: Tensor) -> Tensor | None:
    """Looks up the weight of each RoI of a head, shape (RoIs,), by its object or else its image; None where all are 1.

    Args:
        head: The head whose loss is being computed.
        tables: The weight tables; None where the weights depend on the images alone.
        weights: One weight per image; None where all are 1.
        rois: Shape (RoIs, 5). The first column is the image.
    """
    if tables is not None:
        return sampled_rows(tables, sampled_for(head))
    return None if weights is None else as_tensor(weights, rois)[rois[:, 0].long()]


def query_rows(tables: WeightTables, results: Sequence[Any]) -> Tensor:
    """Looks up the weight of each query, where all queries are sampled: image by image, in the order of the queries."""
    ordered = []
    for table, result in zip(tables, results):
        rows = table[:1].expand(len(result.pos_priors) + len(result.neg_priors), *table.shape[1:])
        ordered.append(rows.index_put((result.pos_inds,), rows_of_positives(table, result)))
    return torch.cat(ordered)


@dataclass(frozen=True)
class BySampler(Matching):
    """One row per sampled RoI. The sampling results are an argument of the loss method, or else those of :func:`sampled_for`.

    Args:
        rows: Looks up the weight of each row, given the weight tables and the sampling results.
        chosen: The argument with the indices of the rows that the head uses. Default: it uses all of them.
    """

    rows: Callable[[WeightTables, Sequence[Any]], Tensor]
    chosen: str | None = None

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        results = arguments["sampling_results"] if "sampling_results" in arguments else sampled_for(head)
        for name, of_images in tables.items():
            rows = self.rows(of_images, results)
            rows = rows if self.chosen is None else rows[arguments[self.chosen]]
            if rows.ndim == 1:
                arguments[name] = gate_each(arguments[name], rows)
            else:
                arguments[name] = gate_each_element(arguments[name], rows)
        yield


@dataclass(frozen=True)
class ByPositives(Matching):
    """A list with one tensor per image, with one row per positive sample of the box head (``positive_infos``)."""

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        for name, of_images in tables.items():
            arguments[name] = [
                gate_each(prediction, rows_of_positives(table, info))
                for prediction, table, info in zip(arguments[name], of_images, arguments["positive_infos"])
            ]
        yield


def by_roi(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """Layout: one row per RoI. The first column of the argument ``rois`` is the RoI's image."""
    return gate_each(prediction, weights[arguments["rois"][:, 0].long()])


def by_sample(which: str, chosen: str | None = None) -> Layout:
    """Layout: one row per sampled prior, image by image in the order of the argument ``sampling_results``.

    Args:
        which: ``"priors"`` for all samples, ``"pos_priors"`` for the positive ones.
        chosen: The argument with the indices of the rows that the head uses. Default: it uses all of them.
    """

    def gate(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
        counts = [len(getattr(result, which)) for result in arguments["sampling_results"]]
        if len(counts) != len(weights):
            raise WeightError(f"priors were sampled from {len(counts)} images, but the published batch has {len(weights)}.")
        rows = torch.cat([weight.expand(count) for weight, count in zip(weights, counts)])
        return gate_each(prediction, rows if chosen is None else rows[arguments[chosen]])

    return gate
