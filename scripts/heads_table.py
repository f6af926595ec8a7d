"""Writes docs/heads.md: every weighted head, its mechanism, and the config that verifies it.

    .venv/bin/python scripts/heads_table.py [--check]

It is generated from the code and the models of tests/support/zoo.py, which are tested against the pixel-gradient oracle. With
--check nothing is written, and the exit code is 1 if the file is out of date.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mmdet.registry import MODELS
from support.zoo import NOT_RUN, ZOO, build_zoo

import headweights.mmdet  # noqa: F401  (registers the weighted heads)
from headweights.mmdet import make_weighted
from headweights.mmdet.heads.model_heads import ModelHeads
from headweights.mmdet.heads.weighted_head import WeightedHead, reason_no_objects
from headweights.mmdet.weighting.anchors import AnchorTargetsWeighted
from headweights.mmdet.weighting.gated import GatedPredictions
from headweights.mmdet.weighting.labelled import ClassHeads, class_heads
from headweights.mmdet.weighting.queries import QueryTargetsWeighted
from headweights.mmdet.weighting.rois import RoITargetsWeighted

TARGET = ROOT / "docs" / "heads.md"
SUFFIX = "WithWeightPerImage"
MECHANISMS = {
    RoITargetsWeighted: "weighted targets",
    AnchorTargetsWeighted: "weighted targets",
    QueryTargetsWeighted: "weighted targets",
    GatedPredictions: "gradient gate",
}

PREFACE = f"""\
# Heads

<!-- Written by scripts/heads_table.py; do not edit. The tests check that it is current. -->

Every head below is registered as `<Head>{SUFFIX}`.

- *weighted targets*: the weight multiplies the sample weights that the head passes to its losses. The log shows the weighted
  loss.
- *gradient gate*: the weight multiplies the gradient with respect to the head's predictions. The log shows the loss of the stock
  head, but training is weighted in the same way.
- *objects*: whether each object can have its own weight, `gt_instances.loss_weights`; see [below](#objects).
- *labelled*: whether the head can leave out [classes that a data set does not label](unlabelled.md); see [below](#labelled). An
  *agnostic* head only tells objects from background, and an empty cell means that the head does neither.
- *background*: the losses whose address may end in [`.background`](unlabelled.md#background).
  *whole* stands for the head as a whole. *no*: the head cannot tell its background from objects. Empty: it has no background.
- *addressable losses*: losses that can have their own weight, `<head path>.<loss>.loss_weight`. A loss that shares its
  predictions with another one cannot; a weight for it is an error.
- *verified with*: the config of mmdetection whose model, with fewer channels, is tested against the pixel-gradient oracle in
  `tests/exactness/test_zoo.py`: bit for bit stock with weights of 1, exact for every image, head, loss and parameter otherwise.

Mechanism, log and losses apply to the head in that config. If a loss does not accept a weight per sample (GHM, EQL v2, or one of
your own), a head with weighted targets uses the gate for that loss.
"""

OBJECTS = """\
## Objects

A head with *yes* multiplies the loss terms of each prior, RoI or query that is matched to an object by the object's weight, and
all other terms by the weight of their image. It observes its own assigner or sampler while it computes the loss, so the matching
and the normaliser do not change, and ignored or unsampled predictions have no term. In panoptic segmentation, stuff is not an
object and has the weight of the image. If several objects train one prediction (a box of YOLOF, the mask features of RTMDet-Ins),
each object's weight multiplies its own part. As for images, the log includes the weights if they are part of the targets.

`tests/exactness/test_objects.py` tests these heads against an oracle: with a different weight for each object, the gradient of
every element of the head's predictions is its stock gradient times the weight of one object, or of none. To test which object it
is, one object gets weight 0 and is changed. Another class must have no effect (not tested if the matching depends on the class).
A slightly moved box, or another mask, must have at most half the effect that it has with weight 1, since it may change a
normaliser. Not tested in this way: the masks of BoxInst, the RPN of DetectoRS, Soft Teacher.

For a head with *no*, objects with their own weights are an error (`objects=False` ignores them), and a mixed image has one weight
by area. Semantic heads are the exception: they have no objects and use the weight of the image. The reasons:
"""

LABELLED = """\
## Labelled

A head with *no* cannot leave out classes, whatever its config. For a head with *yes*, a reason holds only in configs with the
loss or the sampler that it names.
"""

# Of the data sets of every config of the zoo.
CLASSES = 80
AGNOSTIC = "agnostic"


@dataclass
class Row:
    """The row of one head.

    Args:
        mechanism: How it is weighted, in words.
        logged: Whether the log includes the weights, in words.
        reason_no_objects: Why objects cannot have weights of their own.
        losses: Those with an address.
        backgrounds: Those whose background has an address; or why it has none.
        labelled: What the head does about classes that are not labelled: yes, no, agnostic, or nothing.
        fixed: The reasons against leaving out classes, of all configs.
        configs: The configs of the zoo with this head.
    """

    mechanism: str
    logged: str
    reason_no_objects: str | None
    losses: tuple[str, ...]
    backgrounds: tuple[str, ...] | str
    labelled: str = ""
    fixed: list[str] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)

    @property
    def background(self) -> str:
        """The cell of the losses whose background has an address."""
        if isinstance(self.backgrounds, str):
            return "no"
        return ", ".join(f"`{loss}`" if loss else "whole" for loss in self.backgrounds)


def rows() -> dict[str, Row]:
    """A row per head class, by its name, from the models of the zoo."""
    found: dict[str, Row] = {}
    for arch in ZOO:
        model = build_zoo(arch)
        for path in arch.parts:
            make_weighted(model.get_submodule(path))
        heads = ModelHeads(model)
        able = class_heads(model, CLASSES)
        for path in arch.parts:
            head = model.get_submodule(path)
            name = type(head).__name__.removesuffix(SUFFIX)
            by_roi_head = path in heads.weighed_by_roi_head
            mechanism = "gradient gate" if by_roi_head else mechanism_of(type(head))
            losses = heads.book.weighted[path]
            if by_roi_head:
                name += " in PISARoIHead"
            logged = "yes" if heads.logs_weighted(path) else "no"
            backgrounds = heads.book.backgrounds[path]
            backgrounds = backgrounds if isinstance(backgrounds, str) else tuple(backgrounds)
            row = found.setdefault(name, Row(mechanism, logged, reason_no_objects(head), tuple(losses), backgrounds))
            row.losses = max(row.losses, tuple(losses), key=len)  # a stage of a cascade may have fewer
            # A config may have stuff, or a stage of a cascade that does not classify.
            row.backgrounds = max(row.backgrounds, backgrounds, key=lambda of: 0 if isinstance(of, str) else 1 + len(of))
            row.labelled = max(row.labelled, labelled(able, path, head), key=("", AGNOSTIC, "no", "yes").index)
            row.fixed += [able.fixed[path]] if path in able.fixed and able.fixed[path] not in row.fixed else []
            if arch.config not in row.configs:
                row.configs.append(arch.config)
    return found


def labelled(able: ClassHeads, path: str, head: WeightedHead) -> str:
    """What the head at a path does about classes that are not labelled."""
    if any(path == classifying for classifying, _ in able.classifying):
        return "yes"
    if path in able.fixed:
        return "no"
    return AGNOSTIC if any(method.class_scores for method in head.loss_methods) else ""


def with_fixed_classes(found: dict[str, Row]) -> dict[str, list[str]]:
    """The heads that cannot leave out classes, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name in sorted(found):
        for reason in found[name].fixed:
            reasons.setdefault(reason, []).append(f"`{name}`")
    return reasons


def without_objects(found: dict[str, Row]) -> dict[str, list[str]]:
    """The heads without weights by object, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name in sorted(found):
        reason = found[name].reason_no_objects
        if reason is not None:
            reasons.setdefault(reason, []).append(f"`{name}`")
    return reasons


def mechanism_of(weighted_class: type) -> str:
    """The mechanism of a weighted class, in words."""
    return next(words for mechanism, words in MECHANISMS.items() if issubclass(weighted_class, mechanism))


def page() -> str:
    found = rows()
    registered = sorted(name.removesuffix(SUFFIX) for name in MODELS.module_dict if name.endswith(SUFFIX))
    titles = (
        "head",
        "mechanism",
        "log includes weights",
        "objects",
        "labelled",
        "background",
        "addressable losses",
        "verified with",
    )
    lines = [PREFACE, f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name in sorted(found):
        row = found[name]
        more = f" and {len(row.configs) - 1} more" if len(row.configs) > 1 else ""
        losses = ", ".join(f"`{loss}`" for loss in row.losses) or "the head as a whole"
        objects = "yes" if row.reason_no_objects is None else "no"
        cells = (
            f"`{name}`",
            row.mechanism,
            row.logged,
            objects,
            row.labelled,
            row.background,
            losses,
            f"`{row.configs[0]}`{more}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    bases = [name for name in registered if name not in found]
    lines += [
        "",
        f"{len(ZOO)} configs were run. These heads are also weighted, but not used in the zoo (most are base classes): ",
    ]
    lines[-1] += ", ".join(f"`{name}`" for name in bases) + "."
    lines += ["", OBJECTS, *(f"- {why}: {', '.join(names)}" for why, names in sorted(without_objects(found).items()))]
    lines += ["", LABELLED, *(f"- {why}: {', '.join(names)}" for why, names in sorted(with_fixed_classes(found).items()))]
    if NOT_RUN:
        lines += ["", "Not run:", "", *(f"- {name}: {reason}" for name, reason in NOT_RUN.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv[1:]:
        sys.exit(
            0 if TARGET.exists() and TARGET.read_text() == text else f"{TARGET.name} is out of date: run {Path(__file__).name}"
        )
    TARGET.write_text(text)
