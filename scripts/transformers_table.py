"""Writes the generated parts of docs/transformers.md: the model classes, where each is gated, and what can be weighted.

    .venv/bin/python scripts/transformers_table.py [--check]

They come from the wing's tables and from the models of tests/support/transformers_zoo.py, which are tested against the
pixel-gradient oracle. With --check nothing is written, and the exit code is 1 if the page is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.transformers_zoo import ZOO, build

from headweights.gating.matching import Matching
from headweights.transformers.weighting.criteria import LossMethod
from headweights.transformers.weighting.models import UNWEIGHTED, WEIGHTED, ModelLosses, losses_of

PAGE = ROOT / "docs" / "transformers.md"
TITLES = ("class", "gated in", "losses with a weight of their own", "objects", "labelled", "background")


def weighted_classes() -> dict[str, ModelLosses]:
    """The losses of each weighted class, as its models of the zoo have them."""
    found = {arch.model: losses_of(build(arch)) for arch in ZOO if arch.exists}
    if found.keys() != WEIGHTED.keys():
        sys.exit(f"without a model in the zoo, or without a row: {', '.join(sorted(found.keys() ^ WEIGHTED.keys()))}")
    return found


def table(found: dict[str, ModelLosses]) -> str:
    """A row for each class."""
    lines = [f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    for name, losses in sorted(found.items(), key=lambda item: item[0].lower()):
        criterion = losses.criterion.rpartition(".")[2]
        methods = ", ".join(f"`{method.name}`" for method in losses.methods)
        labelled, background = "no" if losses.fixed_classes else "yes", backgrounds(losses)
        gated = f"`{criterion}`: {methods}"
        cells = (f"`{name}`", gated, addressable(losses.methods), objects(losses.methods), labelled, background)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def addressable(methods: Sequence[LossMethod]) -> str:
    """The losses that have an address, each with those that it covers."""
    return "; ".join(" with ".join(f"`{loss}`" for loss in method.losses) for method in methods)


def objects(methods: Sequence[LossMethod]) -> str:
    """Whether objects can have weights of their own; if not, why."""
    reasons = dict.fromkeys(method.objects for method in methods if not isinstance(method.objects, Matching))
    return "yes" if not reasons else f"no: {'; '.join(reasons)}"


def backgrounds(losses: ModelLosses) -> str:
    """The losses whose background has an address."""
    return ", ".join(f"`{loss}`" for loss in losses.book.weighted if losses.book.has_background(loss, ""))


def fixed(found: dict[str, ModelLosses]) -> str:
    """The classes that cannot leave out classes of objects, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, losses in found.items():
        for loss, reason in losses.fixed_classes.items():
            reasons.setdefault(reason, []).append(f"`{loss}` of `{name}`")
    return in_lines(reasons)


def exceptions(found: dict[str, ModelLosses]) -> str:
    """The losses, and the classes, that cannot be weighted, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, losses in found.items():
        for loss, reason in losses.unweighted.items():
            reasons.setdefault(reason, []).append(f"`{loss}` of `{name}`")
    for name, reason in UNWEIGHTED.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    return in_lines(reasons)


def in_lines(reasons: dict[str, list[str]]) -> str:
    """A line for each reason."""
    return "\n".join(f"- {', '.join(names)}: {reason}." for reason, names in reasons.items())


def page(before: str) -> str:
    """The page with its generated parts made anew. They lie between the marks `<!-- models: name -->` and `<!-- end -->`."""
    found = weighted_classes()
    parts = {"weighted": table(found), "fixed": fixed(found), "unweighted": exceptions(found)}
    pattern = r"(<!-- models: (\w+) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, lambda mark: f"{mark[1]}\n{parts[mark[2]]}\n{mark[3]}", before, flags=re.DOTALL)


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8")
    after = page(before)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if after == before else f"{PAGE.name} is out of date: run {Path(__file__).name}")
    PAGE.write_text(after, encoding="utf-8")
