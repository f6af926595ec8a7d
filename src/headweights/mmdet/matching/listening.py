"""Listens to a head's assigners while the head computes its targets, and records the object of each prior."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from torch import Tensor

from headweights.errors import WeightError
from headweights.gating.matching import WeightTables
from headweights.patching import replaced

# Stands for whichever assigner the head uses, where several have no names of their own.
ASSIGNER = "assigner"


class AssignedObjects:
    """The object that each prior is assigned to, in every image. The head is for its name in errors."""

    def __init__(self, head: Any) -> None:
        self.head = head
        # By assigner, one tensor (priors,) per image: the 1-based number of each prior's object, 0 or less for none.
        self.numbers: dict[str, list[Tensor]] = {}

    def add(self, assigner: str, numbers: Tensor) -> None:
        """Adds what an assigner found for the next image."""
        self.numbers.setdefault(assigner, []).append(numbers)

    def rows(self, assigner: str, tables: WeightTables, sizes: Sequence[int]) -> tuple[Tensor, ...]:
        """Looks up the weight of each prior, or of its classes; returns a tensor (images, priors of the level, ...) a level.

        Args:
            assigner: The assigner that matches the priors.
            tables: The weight tables of the images.
            sizes: The number of priors of each level.

        Raises:
            WeightError: The numbers of images or priors differ from those that were assigned.
        """
        assigned = self.numbers.get(assigner, [])
        if len(assigned) != len(tables) or any(len(numbers) != sum(sizes) for numbers in assigned):
            raise WeightError(
                f"{type(self.head).__name__}: its loss is computed from {sum(sizes)} priors in each of {len(tables)} images, but "
                f"its {assigner} matched {[len(numbers) for numbers in assigned]} priors to objects."
            )
        rows = torch.stack([table[numbers.clamp(min=0)] for table, numbers in zip(tables, assigned)])
        return rows.split_with_sizes(list(sizes), dim=1)


@contextmanager
def listening_to_assigners(head: Any, names: Sequence[str] = ()) -> Iterator[AssignedObjects]:
    """Records what the head's assigners find while the context is open.

    Args:
        head: The head.
        names: The head's attributes with assigners that are recorded under their own name; the others under `ASSIGNER`.
    """
    listener = _Listener(head)
    named = {id(getattr(head, name)): name for name in names}
    assigners: dict[int, Any] = {id(value): value for value in vars(head).values() if hasattr(value, "assign")}
    with ExitStack() as stack:
        for key, assigner in assigners.items():
            stack.enter_context(replaced(assigner, "assign", partial(listener.hear_assigner, named.get(key, ASSIGNER))))
        for method, around in {
            "_get_targets_single": listener.hear_targets,
            "get_anchors": listener.hear_anchors,
            "paa_reassign": listener.hear_reassigned,
        }.items():
            if hasattr(head, method):
                stack.enter_context(replaced(head, method, around))
        yield listener.assigned


class _Listener:
    """Stands around the methods of a head and its assigners, and records what they find, image by image."""

    def __init__(self, head: Any) -> None:
        self.head = head
        self.assigned = AssignedObjects(head)
        self.calls = 0  # of assigners
        self.reassigned = 0  # images
        # An assigner may be given a part of an image's priors. This spreads its numbers over all of them, for the image whose
        # targets are being computed ...
        self.spread: Callable[[Tensor], Tensor] | None = None
        # ... and for each image of the batch.
        self.spread_by_image: list[Callable[[Tensor], Tensor]] = []

    def hear_assigner(self, name: str, assign: Any, *args: Any, **kwargs: Any) -> Any:
        result = assign(*args, **kwargs)
        spread = self.spread
        if spread is None and self.spread_by_image:  # outside of _get_targets_single (TOOD's first epochs)
            spread = self.spread_by_image[self.calls]
        self.assigned.add(name, spread(result.gt_inds) if spread else result.gt_inds)
        self.calls += 1
        return result

    def hear_targets(self, targets: Any, *args: Any, **kwargs: Any) -> Any:
        given = self._signature.bind(self.head, *args, **kwargs).arguments
        if "inside_flags" in given or "flat_proposals" in given:
            flags = given["inside_flags" if "inside_flags" in given else "valid_flags"]
            self.spread = partial(_spread, len(flags), lambda: flags)
        elif "flat_anchors" in given and "img_meta" in given:
            self.spread = self._spread_over(given["flat_anchors"], given["valid_flags"], given["img_meta"])
        before = self.calls
        try:
            result = targets(*args, **kwargs)
        finally:
            self.spread = None
        if self.calls == before:  # some heads do not ask their assigner if there are no objects
            priors = next(value for name, value in given.items() if name in ("priors", "flat_anchors"))
            self.assigned.add(ASSIGNER, priors.new_zeros(len(priors), dtype=torch.long))
            self.calls += 1
        return result

    def hear_anchors(self, get_anchors: Any, *args: Any, **kwargs: Any) -> Any:
        found = get_anchors(*args, **kwargs)
        anchors, flags = found if isinstance(found, tuple) and len(found) == 2 else ((), ())
        metas = kwargs.get("batch_img_metas", args[1] if len(args) > 1 else None)
        # torch.cat copies: some heads join the levels in place.
        self.spread_by_image = [
            self._spread_over(torch.cat(list(of_levels)), torch.cat(list(valid)), meta)
            for of_levels, valid, meta in zip(anchors, flags, metas or ())
        ]
        return found

    def hear_reassigned(self, reassign: Any, *args: Any, **kwargs: Any) -> Any:
        """PAA takes priors away from their objects, judging by their losses."""
        labels, *rest = reassign(*args, **kwargs)
        numbers = self.assigned.numbers[ASSIGNER]
        numbers[self.reassigned] = torch.where(labels < self.head.num_classes, numbers[self.reassigned], 0)
        self.reassigned += 1
        return (labels, *rest)

    def _spread_over(self, anchors: Tensor, valid: Tensor, meta: Any) -> Callable[[Tensor], Tensor]:
        def inside() -> Any:
            return anchor_inside_flags(anchors, valid, meta["img_shape"][:2], self.head.train_cfg["allowed_border"])

        return partial(_spread, len(anchors), inside)

    @cached_property
    def _signature(self) -> inspect.Signature:
        """The signature of ``_get_targets_single``: the class's own, or its ancestor's if its own only passes ``*args`` on."""
        name = "_get_targets_single"
        signatures = [inspect.signature(vars(cls)[name]) for cls in type(self.head).__mro__ if name in vars(cls)]
        named = (s for s in signatures if all(p.kind is not p.VAR_POSITIONAL for p in s.parameters.values()))
        return next(named, signatures[0])


def _spread(priors: int, inside: Callable[[], Tensor], numbers: Tensor) -> Tensor:
    """Spreads the numbers of the priors that an assigner was given over all priors of the image; the others get 0."""
    if len(numbers) == priors:
        return numbers
    flags = inside().bool()
    place = (flags.long().cumsum(0) - 1).clamp(min=0)
    return torch.where(flags, numbers[place], 0)
