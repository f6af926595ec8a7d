"""Which object each prediction is matched to, learnt by listening to a head while it computes its loss.

A head matches its predictions to objects in one of a few ways: an assigner gives each prior or query the number of its object, a
sampler lists the objects of the RoIs that it drew, a point takes the smallest box around it. Each way is a class here, and the
table of families in :mod:`headweights.mmdet.seams` says which head does which. What is learnt looks up *tables*,
one an image: the weight of the background, then that of each object (:meth:`headweights.mmdet.batch.Batch.tables`).

A head receives its predictions before it matches them. So the gate is put on the predictions at once, and asks for the weights on
the way back (:func:`headweights.gate.gate_gradient_later`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import torch
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from torch import Tensor, nn

from headweights.errors import WeightError
from headweights.gate import gate_gradient, gate_gradient_later

# No loss has this name: a weight for it is the head's.
WHOLE = ""

# One an image, (1 + objects,): the background's weight, then each object's.
Tables: TypeAlias = Sequence[Tensor]


class Matching:
    """How a family of heads matches predictions to objects."""

    def reason_against(self, head: Any) -> str | None:
        """Why it does not hold for a head of the family as it is configured; None where it does."""
        return None

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        """Gates the predictions among a loss method's arguments, object by object; the loss is computed inside.

        Args:
            head: The weighted head.
            arguments: The arguments, by name; predictions are replaced by gated ones.
            tables: By the name of each argument that is a prediction, what to weigh it by.
        """
        raise NotImplementedError
        yield


# ----------------------------------------------------------------------------------------------------------------------
# RoIs
# ----------------------------------------------------------------------------------------------------------------------

_sampled: ContextVar[tuple[Any, Sequence[Any]] | None] = ContextVar("headweights_sampled", default=None)


@contextmanager
def sampled(head: nn.Module, sampling_results: Sequence[Any]) -> Iterator[None]:
    """Keeps what was sampled for a head, for a loss method of it that is not told."""
    token = _sampled.set((head, sampling_results))
    try:
        yield
    finally:
        _sampled.reset(token)


def sampled_for(head: nn.Module) -> Sequence[Any]:
    """What was sampled for a head whose loss is being computed.

    Raises:
        WeightError: The loss was called past the method that is given the sampling results.
    """
    kept = _sampled.get()
    if kept is None or kept[0] is not head:
        raise WeightError(
            f"{type(head).__name__}.loss was called by itself, without sampling results, so the objects of its RoIs are not "
            "known and cannot be weighed each by its own weight. Call loss_and_target."
        )
    return kept[1]


def positive_rows(tables: Tables, results: Sequence[Any]) -> Tensor:
    """The weight of each positive sample, image by image."""
    return torch.cat([table[1 + result.pos_assigned_gt_inds] for table, result in zip(tables, results)])


def sampled_rows(tables: Tables, results: Sequence[Any]) -> Tensor:
    """The weight of each sample: image by image the positive ones, then the negative ones."""
    return torch.cat(
        [
            rows
            for table, result in zip(tables, results)
            for rows in (table[1 + result.pos_assigned_gt_inds], table[:1].expand(len(result.neg_priors)))
        ]
    )


def query_rows(tables: Tables, results: Sequence[Any]) -> Tensor:
    """The weight of each query where all of them were sampled: image by image, in the order that they had."""
    ordered = []
    for table, result in zip(tables, results):
        rows = table[:1].repeat(len(result.pos_priors) + len(result.neg_priors))
        ordered.append(rows.index_put((result.pos_inds,), table[1 + result.pos_assigned_gt_inds]))
    return torch.cat(ordered)


@dataclass(frozen=True)
class BySampler(Matching):
    """A row a RoI that was sampled, and the sampling results know the objects.

    Args:
        rows: The weight of each row, of the tables and the sampling results.
        chosen: The argument with the rows that the head chose of them, if it did.
        told: Whether the sampling results are an argument of the loss method; otherwise ``loss_and_target`` is given them.
    """

    rows: Callable[[Tables, Sequence[Any]], Tensor]
    chosen: str | None = None
    told: bool = True

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        results = arguments["sampling_results"] if self.told else sampled_for(head)
        for name, of_images in tables.items():
            rows = self.rows(of_images, results)
            if self.chosen is not None:
                rows = rows[arguments[self.chosen]]
            arguments[name] = each_tensor(arguments[name], partial(_gate_rows, rows))
        yield


@dataclass(frozen=True)
class ByPositives(Matching):
    """A list of tensors, one an image, with a row for each positive sample of the box head, which ``positive_infos`` knows."""

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        infos = arguments["positive_infos"]
        for name, of_images in tables.items():
            arguments[name] = [
                gate_gradient(rows, table[1 + info.pos_assigned_gt_inds]) if rows.requires_grad else rows
                for rows, table, info in zip(arguments[name], of_images, infos)
            ]
        yield


def _gate_rows(rows: Tensor, prediction: Tensor) -> Tensor:
    return gate_gradient(prediction, rows)


# ----------------------------------------------------------------------------------------------------------------------
# Priors
# ----------------------------------------------------------------------------------------------------------------------


class Matched:
    """What was heard: for each image, the 1-based number of each prior's object, 0 or less for none.

    Args:
        head: The head that is listened to, for its name in errors.
    """

    def __init__(self, head: Any) -> None:
        self.head = head
        self.assigned: dict[str, list[Tensor]] = {}

    def add(self, assigner: str, gt_inds: Tensor) -> None:
        """An image more."""
        self.assigned.setdefault(assigner, []).append(gt_inds)

    def of(self, assigner: str, images: int, priors: int) -> list[Tensor]:
        """What one assigner matched, a tensor of shape (priors,) for each image."""
        heard = self.assigned.get(assigner, [])
        if len(heard) != images or any(len(gt_inds) != priors for gt_inds in heard):
            raise WeightError(
                f"{type(self.head).__name__}: the objects of {priors} priors in {images} images were to be learnt from its "
                f"{assigner}, which matched {[len(gt_inds) for gt_inds in heard]}."
            )
        return heard

    def rows(self, assigner: str, tables: Tables, priors: int) -> Tensor:
        """The weight of each prior, shape (images, priors)."""
        heard = self.of(assigner, len(tables), priors)
        return torch.stack([table[gt_inds.clamp(min=0)] for table, gt_inds in zip(tables, heard)])


@dataclass(frozen=True)
class ByTargets(Matching):
    """Priors, matched image by image as the head computes its targets. The base of those that say how that is heard.

    Predictions are lists with a tensor (images, anchors * channels, height, width) or (images, priors, channels) a level.
    """

    def listening(self, head: Any) -> Any:
        """A context in which the head is listened to; gives :class:`Matched`."""
        raise NotImplementedError

    def heard_by(self, argument: str) -> str:
        """The name under which an argument's matching is heard."""
        return "assigner"

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        with self.listening(head) as matched:
            for name, of_images in tables.items():
                arguments[name] = _gate_levels(head, matched, self.heard_by(name), of_images, arguments[name])
            yield


def _gate_levels(head: Any, matched: Matched, assigner: str, tables: Tables, levels: Sequence[Any]) -> list[Any]:
    """Gates the predictions of each level by the objects of their priors."""
    sizes = _priors_by_level(head, levels)
    known: list[Sequence[Tensor]] = []

    def weights(level: int) -> Tensor:
        if not known:
            known.append(matched.rows(assigner, tables, sum(sizes)).split_with_sizes(sizes, dim=1))
        return known[0][level]

    def gate(level: int, prediction: Tensor) -> Tensor:
        return gate_gradient_later(prediction, lambda: as_map(weights(level), prediction.shape))

    return [each_tensor(prediction, partial(gate, level)) for level, prediction in enumerate(levels)]


def _priors_by_level(head: Any, levels: Sequence[Any]) -> list[int]:
    """How many priors each level has."""
    generator = getattr(head, "prior_generator", None) or head.square_anchor_generator  # SABL's anchors
    at_a_place = generator.num_base_priors
    sizes = []
    for level, prediction in enumerate(levels):
        shape = _first(prediction).shape
        sizes.append(shape[1] if len(shape) == 3 else shape[2] * shape[3] * at_a_place[level])
    return sizes


def _first(prediction: Any) -> Tensor:
    return prediction if isinstance(prediction, Tensor) else _first(prediction[0])


def as_map(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """The weights of a level's priors, (images, priors), as those of its predictions: of the given shape, or broadcast to it.

    The priors of a level come place by place, row-major, and at each place one after the other, as the channels do.
    """
    if len(shape) == 3:
        return rows[..., None]
    images, channels, height, width = shape
    placed = rows.view(images, height, width, -1).permute(0, 3, 1, 2)
    return placed.repeat_interleave(channels // placed.shape[1], dim=1)


@dataclass(frozen=True)
class ByAssigner(ByTargets):
    """Priors, matched by the head's assigner.

    Args:
        of: For predictions that are matched by an assigner of their own, the head's attribute. Default: ``assigner``, which
            stands for whichever is used.
        pairs: Predictions of which the assigner itself takes rows, one for each match of an object (YOLOF's boxes: a prior may
            be taken for several objects); the rows are gated, not the argument.
        unless: Values of the head's attributes with which it does not use its assigner.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    unless: Mapping[str, Any] = field(default_factory=dict)

    def reason_against(self, head: Any) -> str | None:
        set_so = [f"{name}={value!r}" for name, value in self.unless.items() if getattr(head, name) == value]
        return f"with {set_so[0]} it does not use its assigner" if set_so else None

    def heard_by(self, argument: str) -> str:
        return self.of.get(argument, "assigner")

    @contextmanager
    def listening(self, head: Any, pairs: Tables | None = None) -> Iterator[Matched]:
        """Listens to the head's assigners, within what the head calls image by image; `pairs` weighs the rows they take."""
        matched = Matched(head)
        names = set(self.of.values()) | set(getattr(self, "stages", ())) or {"assigner"}
        image = _Image()
        with ExitStack() as stack:
            assigners: dict[int, Any] = {id(value): value for value in vars(head).values() if hasattr(value, "assign")}
            for assigner in assigners.values():
                own = [name for name in names if name != "assigner" and getattr(head, name) is assigner]
                name = own[0] if own else "assigner"
                stack.enter_context(_replaced(assigner, "assign", partial(_hear_assigner, matched, name, image, pairs)))
            if hasattr(head, "_get_targets_single"):
                signature = _signature_of_targets(type(head))
                hear = partial(_hear_image, matched, image, signature)
                stack.enter_context(_replaced(head, "_get_targets_single", hear))
            if hasattr(head, "get_anchors"):
                stack.enter_context(_replaced(head, "get_anchors", partial(_hear_anchors, image)))
            if hasattr(head, "paa_reassign"):
                stack.enter_context(_replaced(head, "paa_reassign", partial(_hear_reassigned, matched, image)))
            yield matched

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        taken = next((tables[name] for name in self.pairs if name in tables), None)
        with self.listening(head, taken) as matched:
            for name, of_images in tables.items():
                if name not in self.pairs:
                    arguments[name] = _gate_levels(head, matched, self.heard_by(name), of_images, arguments[name])
            yield


@dataclass(frozen=True)
class ByAssignerWithMasks(ByAssigner):
    """Priors, of which the positive ones predict masks in the loss, image by image, from features that all of them share.

    Args:
        masks: The arguments that the masks are predicted from; the masks are gated, not the arguments.
    """

    masks: tuple[str, ...] = ("kernel_preds", "mask_feat")

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        of_masks = tables[self.masks[0]]
        rows: list[Tensor] = []

        def hear_samples(loss: Any, feats: Any, kernels: Any, sampling_results: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            rows.extend(table[1 + result.pos_assigned_gt_inds] for table, result in zip(of_masks, sampling_results))
            return loss(feats, kernels, sampling_results, *args, **kwargs)

        def gate(predict: Any, *args: Any, **kwargs: Any) -> Any:
            masks, of_image = predict(*args, **kwargs), rows.pop(0)
            return gate_gradient(masks, of_image) if masks.requires_grad else masks

        with (
            super().gated(head, arguments, {name: given for name, given in tables.items() if name not in self.masks}),
            _replaced(head, "loss_mask_by_feat", hear_samples),
            _replaced(head, "_mask_predict_by_feat_single", gate),
        ):
            yield


@dataclass(frozen=True)
class ByAssignerWithPoints(ByAssigner):
    """Points that become boxes in the loss, level by level: first the initial ones, then the refined ones, which have an assigner
    of their own.

    How points become a box is learnt too, so the boxes are gated and not the points.
    """

    stages: tuple[str, str] = ("init_assigner", "refine_assigner")

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        of_boxes = tables[WHOLE]
        levels = arguments["cls_scores"]
        sizes = _priors_by_level(head, levels)
        asked: list[tuple[int, str]] = []

        def gate(convert: Any, *args: Any, **kwargs: Any) -> Any:
            boxes = convert(*args, **kwargs)
            if not asked:  # not for the loss, but to match the refined boxes
                return boxes
            level, assigner = asked.pop(0)
            rows = matched.rows(assigner, of_boxes, sum(sizes)).split_with_sizes(sizes, dim=1)[level]
            return gate_gradient(boxes, rows.flatten())

        level_of = iter(range(len(levels)))

        def hear_level(loss: Any, *args: Any, **kwargs: Any) -> Any:
            level = next(level_of)
            asked[:] = [(level, assigner) for assigner in self.stages]
            return loss(*args, **kwargs)

        with (
            self.listening(head) as matched,
            super().gated(head, arguments, {name: given for name, given in tables.items() if name != WHOLE}),
            _replaced(head, "points2bbox", gate),
            _replaced(head, "loss_by_feat_single", hear_level),
        ):
            yield


class _Image:
    """What is known of the image whose targets are being computed."""

    def __init__(self) -> None:
        self.inside: Callable[[], Tensor] | None = None  # which of all priors the assigner is given
        self.priors: int | None = None
        self.anchors: list[tuple[Tensor, Tensor, Any]] = []  # of each image, where only its batch is known
        self.number = 0
        self.assigned = 0
        self.reassigned = 0


def _hear_assigner(
    matched: Matched, name: str, image: _Image, pairs: Tables | None, assign: Any, *args: Any, **kwargs: Any
) -> Any:
    result = assign(*args, **kwargs)
    inside = image.inside
    if image.priors is None and image.anchors:  # not within what the head calls for each image (TOOD's first epochs)
        flat, valid, meta = image.anchors[image.assigned]
        inside = partial(_inside, matched.head, flat, valid, meta)
        matched.add(name, _of_all(result.gt_inds, inside, len(flat)))
    else:
        matched.add(name, _of_all(result.gt_inds, inside, image.priors))
    if pairs is not None:
        boxes = result.get_extra_property("pos_predicted_boxes")
        table = pairs[image.assigned]
        objects = len(table) - 1
        if len(boxes):
            rows = torch.arange(len(boxes), device=table.device) % objects
            # Set once by the assigner, and set_extra_property refuses a second time.
            result._extra_properties["pos_predicted_boxes"] = gate_gradient(boxes, table[1 + rows])
    image.assigned += 1
    return result


def _hear_image(matched: Matched, image: _Image, signature: inspect.Signature, targets: Any, *args: Any, **kwargs: Any) -> Any:
    given = signature.bind(matched.head, *args, **kwargs).arguments
    if "inside_flags" in given or "flat_proposals" in given:
        flags = given["inside_flags" if "inside_flags" in given else "valid_flags"]
        image.inside, image.priors = (lambda: flags), len(flags)
    elif "flat_anchors" in given and "img_meta" in given:
        flat, valid = given["flat_anchors"], given["valid_flags"]
        image.inside, image.priors = partial(_inside, matched.head, flat, valid, given["img_meta"]), len(flat)
    before = image.assigned
    try:
        result = targets(*args, **kwargs)
    finally:
        image.inside = image.priors = None
    if image.assigned == before:  # without objects some heads do not ask their assigner
        priors = next(value for name, value in given.items() if name in ("priors", "flat_anchors"))
        matched.add("assigner", priors.new_zeros(len(priors), dtype=torch.long))
        image.assigned += 1
    return result


def _hear_anchors(image: _Image, get_anchors: Any, *args: Any, **kwargs: Any) -> Any:
    found = get_anchors(*args, **kwargs)
    anchors, flags = found if isinstance(found, tuple) and len(found) == 2 else ((), ())
    metas = kwargs.get("batch_img_metas", args[1] if len(args) > 1 else None)
    # Copies, because some heads join the levels in place.
    image.anchors = [(torch.cat(list(a)), torch.cat(list(f)), m) for a, f, m in zip(anchors, flags, metas or ())]
    return found


def _hear_reassigned(matched: Matched, image: _Image, reassign: Any, *args: Any, **kwargs: Any) -> Any:
    """PAA takes priors from their objects by their losses."""
    labels, *rest = reassign(*args, **kwargs)
    heard = matched.assigned["assigner"]
    heard[image.reassigned] = torch.where(labels < matched.head.num_classes, heard[image.reassigned], 0)
    image.reassigned += 1
    return (labels, *rest)


def _inside(head: Any, flat: Any, valid: Tensor, meta: Any) -> Tensor:
    flags: Tensor = anchor_inside_flags(flat, valid, meta["img_shape"][:2], head.train_cfg["allowed_border"])
    return flags


def _of_all(gt_inds: Tensor, inside: Callable[[], Tensor] | None, priors: int | None) -> Tensor:
    """The object of each of all priors, of what an assigner said of those inside; 0 for the others."""
    if priors is None or len(gt_inds) == priors or inside is None:
        return gt_inds
    flags = inside().bool()
    place = (flags.long().cumsum(0) - 1).clamp(min=0)
    return torch.where(flags, gt_inds[place], 0)


def _signature_of_targets(head_class: type) -> inspect.Signature:
    """The signature of a head's ``_get_targets_single``: its own, or where that only hands on, its ancestor's."""
    signatures = [
        inspect.signature(vars(ancestor)["_get_targets_single"])
        for ancestor in head_class.__mro__
        if "_get_targets_single" in vars(ancestor)
    ]
    named = (s for s in signatures if all(p.kind is not p.VAR_POSITIONAL for p in s.parameters.values()))
    return next(named, signatures[0])


@dataclass(frozen=True)
class ByNumberedLabels(ByTargets):
    """Points that take the class of the smallest box around them: asked once more, with objects numbered in place of classes.

    Exact where the classes play no part in which box a point takes; the method must draw no random numbers.
    """

    @contextmanager
    def listening(self, head: Any) -> Iterator[Matched]:
        matched = Matched(head)
        first = head.num_classes + 1  # `num_classes` itself is the background

        def hear(targets: Any, gt_instances: Any, *args: Any, **kwargs: Any) -> Any:
            numbered = gt_instances.new()
            labels = gt_instances.labels
            numbered.labels = torch.arange(first, first + len(labels), dtype=labels.dtype, device=labels.device)
            taken = targets(numbered, *args, **kwargs)[0]
            flat = taken if isinstance(taken, Tensor) else torch.cat([level.reshape(-1) for level in taken])
            matched.add("assigner", (flat - head.num_classes).clamp(min=0))
            return targets(gt_instances, *args, **kwargs)

        with _replaced(head, "_get_targets_single", hear):
            yield matched


# ----------------------------------------------------------------------------------------------------------------------
# Queries
# ----------------------------------------------------------------------------------------------------------------------


class MatchedQueries:
    """What was heard: the numbers of the objects of each image's queries, one image and layer after the other."""

    def __init__(self) -> None:
        self.heard: list[Tensor] = []

    def rows(self, tables: Tables, start: int) -> Tensor:
        """The weight of each query in the layer that starts with an entry, shape (images, queries)."""
        layer = self.heard[start : start + len(tables)]
        # The numbers after the objects' are stuff: regions of the picture and no objects.
        return torch.stack(
            [table[torch.where(gt_inds < len(table), gt_inds, 0).clamp(min=0)] for table, gt_inds in zip(tables, layer)]
        )


@contextmanager
def listening_to_queries(head: Any) -> Iterator[MatchedQueries]:
    """Listens to the assigner that matches the queries of a layer, and to how denoising queries get their targets."""
    matched = MatchedQueries()

    def hear_assigner(assign: Any, *args: Any, **kwargs: Any) -> Any:
        result = assign(*args, **kwargs)
        matched.heard.append(result.gt_inds)
        return result

    def hear_denoising(targets: Any, gt_instances: Any, *args: Any, **kwargs: Any) -> Any:
        result = targets(gt_instances, *args, **kwargs)
        labels, positives = result[0], result[4]
        # Group by group, the objects in their order.
        numbers = 1 + torch.arange(len(positives), device=positives.device) % max(len(gt_instances), 1)
        none = torch.zeros(len(labels), dtype=torch.long, device=positives.device)
        matched.heard.append(none.index_put((positives,), numbers))
        return result

    with ExitStack() as stack:
        stack.enter_context(_replaced(head.assigner, "assign", hear_assigner))
        if hasattr(head, "_get_dn_targets_single"):
            stack.enter_context(_replaced(head, "_get_dn_targets_single", hear_denoising))
        yield matched


@dataclass(frozen=True)
class ByLayer(Matching):
    """Queries, matched anew in each decoder layer.

    Args:
        layers: The methods that compute the loss of a layer, and for each of their arguments that is a prediction of shape
            (images, queries, ...) the argument of the whole loss that it is a part of.
    """

    layers: Mapping[str, Mapping[str, str]]

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, Tables]) -> Iterator[None]:
        with listening_to_queries(head) as matched, ExitStack() as stack:
            for name, parts in self.layers.items():
                if hasattr(head, name):
                    stack.enter_context(_replaced(head, name, partial(self._gate_layer, matched, parts, tables)))
            yield

    @staticmethod
    def _gate_layer(
        matched: MatchedQueries, parts: Mapping[str, str], tables: Mapping[str, Tables], loss: Any, *args: Any, **kwargs: Any
    ) -> Any:
        given = inspect.signature(loss).bind(*args, **kwargs)
        start = len(matched.heard)
        for name, whole in parts.items():
            prediction = given.arguments[name]
            if whole in tables and prediction.requires_grad:
                given.arguments[name] = gate_gradient_later(
                    prediction, partial(_of_layer, matched, tables[whole], start, prediction.ndim)
                )
        return loss(*given.args, **given.kwargs)


def _of_layer(matched: MatchedQueries, tables: Tables, start: int, dimensions: int) -> Tensor:
    rows = matched.rows(tables, start)
    return rows.view(*rows.shape, *[1] * (dimensions - 2))


# ----------------------------------------------------------------------------------------------------------------------
# Tools
# ----------------------------------------------------------------------------------------------------------------------


def each_tensor(prediction: Any, gated: Callable[[Tensor], Tensor]) -> Any:
    """Applies a gate to every tensor that trains, in nested lists, tuples and dicts."""
    if isinstance(prediction, Tensor):
        return gated(prediction) if prediction.requires_grad else prediction
    if isinstance(prediction, (list, tuple)):
        return type(prediction)([each_tensor(part, gated) for part in prediction])
    if isinstance(prediction, dict):
        return {key: each_tensor(part, gated) for key, part in prediction.items()}
    return prediction


@contextmanager
def _replaced(owner: Any, name: str, by: Callable[..., Any]) -> Iterator[None]:
    """While inside, an object's method is `by`, which is given the method that was there before the arguments."""
    before = getattr(owner, name)
    own = vars(owner).get(name)

    def replacing(*args: Any, **kwargs: Any) -> Any:
        return by(before, *args, **kwargs)

    replacing.__signature__ = inspect.signature(before)  # type: ignore[attr-defined]
    object.__setattr__(owner, name, replacing)
    try:
        yield
    finally:
        if own is None:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, own)
