"""Writes docs/heads.md: every weighted head, how it is weighted, and the configuration that verified it.

    .venv/bin/python scripts/heads_table.py [--check]

Read off the code and the models of tests/support/zoo.py, which the tests hold against the pixel-gradient oracle. With --check
nothing is written; the exit code is 1 where the file is not current.
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
from headweights.mmdet.heads.weighted_head import reason_no_objects
from headweights.mmdet.weighting.anchors import AnchorTargetsWeighted
from headweights.mmdet.weighting.gated import GatedPredictions
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

- *weighted targets*: the weight multiplies the weights of the head's samples, at the door of the loss; the log shows the
  weighted loss.
- *gradient gate*: the weight multiplies the gradient that comes back through the head's predictions; the log shows the loss of
  the stock head, and training is weighted all the same.
- *objects*: whether each object can have a weight of its own, `gt_instances.loss_weights`; see [below](#objects).
- *Addressable losses* can have a weight of their own, `<head path>.<loss>.loss_weight`. A loss that shares its predictions with
  another cannot; asking for it is an error.
- *Verified with*: the configuration of mmdetection whose model, narrowed, is held against the pixel-gradient oracle in
  `tests/exactness/test_zoo.py`: weights of 1 bit for bit stock, other weights exact for every image, head, loss and parameter.

Mechanism, log and losses are those of the head in that configuration. A loss that does not carry weights per sample (GHM,
EQL v2, or one of your own) makes a head of weighted targets use the gate for that loss.
"""

OBJECTS = """\
## Objects

A head that says *yes* multiplies the terms of each prior, RoI or query that it matches to an object by the object's weight,
and all others by the weight of their image. It listens to its own assigner or sampler while it computes its loss, so what is
matched, and the normaliser, stay as they are; what is ignored or never sampled has no term. In panoptic segmentation stuff is
no object and weighs what the image weighs. Where several objects train one prediction (a box of YOLOF, the mask features of
RTMDet-Ins) each of them weighs its own part. The log follows as for images: where weights ride on targets it includes them.

`tests/exactness/test_objects.py` holds these heads against an oracle: with a different weight for each object every element
of the head's predictions gets its stock gradient times the weight of one object or of none. Which object, is checked by
changing one of weight 0: another class leaves no trace (not tried where the class has a say in the matching), and a box that
moves a little, or another mask, shows at most half as much as with weight 1, because it may move a normaliser. Not checked
so: the masks of BoxInst, the RPN of DetectoRS, Soft Teacher.

A head that says *no* is an error as soon as objects have weights of their own (`objects=False` leaves them out), and weighs a
mixed picture as a whole, by area. Only semantic heads are none: they have no objects, and weigh the picture. Why:
"""


@dataclass
class Row:
    """What is known of one head."""

    mechanism: str
    logged: str
    reason_no_objects: str | None
    losses: tuple[str, ...]
    configs: list[str] = field(default_factory=list)


def rows() -> dict[str, Row]:
    """A row a head class, by its name, from the models of the zoo."""
    found: dict[str, Row] = {}
    for arch in ZOO:
        model = build_zoo(arch)
        for path in arch.parts:
            make_weighted(model.get_submodule(path))
        heads = ModelHeads(model)
        for path in arch.parts:
            head = model.get_submodule(path)
            name = type(head).__name__.removesuffix(SUFFIX)
            by_roi_head = path in heads.weighed_by_roi_head
            mechanism = "gradient gate" if by_roi_head else mechanism_of(type(head))
            losses = heads.book.weighted[path]
            if by_roi_head:
                name += " in PISARoIHead"
            logged = "yes" if heads.logs_weighted(path) else "no"
            row = found.setdefault(name, Row(mechanism, logged, reason_no_objects(head), tuple(losses)))
            row.losses = max(row.losses, tuple(losses), key=len)  # a stage of a cascade may have fewer
            if arch.config not in row.configs:
                row.configs.append(arch.config)
    return found


def without_objects(found: dict[str, Row]) -> dict[str, list[str]]:
    """The heads that cannot tell objects apart, by the reason."""
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
    titles = ("head", "mechanism", "log includes weights", "objects", "addressable losses", "verified with")
    lines = [PREFACE, f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name in sorted(found):
        row = found[name]
        more = f" and {len(row.configs) - 1} more" if len(row.configs) > 1 else ""
        losses = ", ".join(f"`{loss}`" for loss in row.losses) or "the head as a whole"
        objects = "yes" if row.reason_no_objects is None else "no"
        lines.append(f"| `{name}` | {row.mechanism} | {row.logged} | {objects} | {losses} | `{row.configs[0]}`{more} |")
    bases = [name for name in registered if name not in found]
    lines += [
        "",
        f"{len(ZOO)} configurations were run. Weighted too, but of no model in the zoo (mostly base classes of the above): ",
    ]
    lines[-1] += ", ".join(f"`{name}`" for name in bases) + "."
    lines += ["", OBJECTS, *(f"- {why}: {', '.join(names)}" for why, names in sorted(without_objects(found).items()))]
    if NOT_RUN:
        lines += ["", "Not run here:", "", *(f"- {name}: {reason}" for name, reason in NOT_RUN.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv[1:]:
        sys.exit(
            0 if TARGET.exists() and TARGET.read_text() == text else f"{TARGET.name} is not current: run {Path(__file__).name}"
        )
    TARGET.write_text(text)
