"""Finds what is questionable about a mix although every name and value in it is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headweights.mixture.mix import Mix, Moment
from headweights.weights.addresses import listed, target_of
from headweights.weights.schedules import Schedule

_TINY_SHARE = 0.001
# The mean weight over the mix acts as a factor on the head's learning rate. Outside of this range it is worth a warning.
_MEAN_LOW, _MEAN_HIGH = 0.8, 1.25
_TERMS_SHOWN = 8


@dataclass(frozen=True)
class Problem:
    """Something that a user should know before the training starts.

    Args:
        kind: A short name for this sort of problem. It is stable.
        message: What is wrong, where, and what to do about it.
        stops: Whether it stops the training. Otherwise it is advice.
    """

    kind: str
    message: str
    stops: bool = False


@dataclass(frozen=True)
class Length:
    """The length of a training in iterations and epochs; None where it is unknown."""

    iterations: int | None = None
    epochs: int | None = None

    def moment(self, schedule: Schedule, time: int) -> Moment:
        """Converts a time of a schedule to a moment of the training."""
        an_epoch = self.iterations / self.epochs if self.iterations and self.epochs else 0
        if schedule.by == "iter":
            return Moment(time, int(time / an_epoch) if an_epoch else 0)
        return Moment(int(time * an_epoch), time)

    def of(self, by: str) -> int | None:
        """Returns the length in iterations or epochs."""
        return self.iterations if by == "iter" else self.epochs


def problems_of(mix: Mix, length: Length = Length()) -> Iterator[Problem]:
    """Yields everything questionable about a mix. Nothing of it stops a training."""
    yield from _schedules(mix, length)
    yield from _classes(mix)
    yield from _without_objects(mix)
    if not mix.is_known or not mix.datasets:
        return
    yield from _terms(mix, mix.moments(length.moment))


def _terms(mix: Mix, moments: list[Moment]) -> Iterator[Problem]:
    """Losses without weight, data sets with a tiny share, changed learning rates; one problem for all losses concerned."""
    silent: list[str] = []
    tiny: dict[tuple[str, str], list[str]] = {}
    moved: dict[str, list[str]] = {}
    for head, loss in mix.terms:
        term = f"{head}.{loss}" if loss else head
        shares = [mix.shares(head, loss, moment) for moment in moments]
        if not any(any(of.values()) for of in shares):
            silent.append(term)
            continue
        for dataset in mix.datasets:
            largest = max(of[dataset] for of in shares)
            if 0 < largest < _TINY_SHARE:
                tiny.setdefault((dataset, f"{100 * largest:.2g}%"), []).append(term)
        if not mix.normalize:
            means = [mix.mean(head, loss, moment) for moment in moments]
            furthest = max(means, key=lambda mean: max(mean, 1 / mean) if mean else float("inf"))
            if not _MEAN_LOW <= furthest <= _MEAN_HIGH:
                moved.setdefault(f"{furthest:.3g}", []).append(term)
    if silent:
        yield Problem("no weight", f"Every data set weighs 0 in {listed(silent, _TERMS_SHOWN)}: nothing trains it.")
    for (dataset, share), terms in tiny.items():
        yield Problem(
            "tiny share",
            f"Data set {dataset!r} has an effective share of only {share} in {listed(terms, _TERMS_SHOWN)} "
            "(images drawn times weight): it costs time and changes nothing.",
        )
    for mean, terms in moved.items():
        yield Problem(
            "learning rate",
            f"The mean weight over the mix is {mean} in {listed(terms, _TERMS_SHOWN)}: it acts like a learning rate times {mean} "
            "there. normalize=True rescales the weights to a mean of 1.",
        )


def wrong_backgrounds(mix: Mix) -> Iterator[str]:
    """Yields the losses in which the background weighs 0 in every data set, and an address says so."""
    moments = mix.moments()
    for head, loss in mix.terms:
        given = [mix.given(name, head, loss, background=True) for name in mix.datasets]
        of_objects = [mix.given(name, head, loss) for name in mix.datasets]
        silent = not any(one.weight.at(moment.iteration, moment.epoch) for one in given for moment in moments)
        if mix.book.has_background(head, loss) and silent and given != of_objects:
            target = f"{head}.{loss}" if loss else head
            yield f"weights: the background weighs 0 in {target} in every data set, so it never learns what background is."


def _schedules(mix: Mix, length: Length) -> Iterator[Problem]:
    for dataset, address, schedule in mix.schedules:
        end = length.of(schedule.by)
        if end is not None and schedule.end > end:
            target = target_of(address.field) or "every head"
            yield Problem(
                "schedule",
                f"The schedule of data set {dataset!r}, {target}, ends at {schedule.by} {schedule.end}, after the training does "
                f"({end} {schedule.by}s): it never reaches its last value, {schedule.points[-1][1]:g}.",
            )


def _classes(mix: Mix) -> Iterator[Problem]:
    by_classes: dict[tuple[str, ...], list[str]] = {}
    for dataset in mix.datasets.values():
        if dataset.classes:
            by_classes.setdefault(dataset.classes, []).append(dataset.name)
    if len(by_classes) > 1:
        shown = [f"{', '.join(names)}: {len(classes)} ({listed(classes, 5)})" for classes, names in by_classes.items()]
        yield Problem("classes", "The data sets have different classes: " + "; ".join(shown) + ".")


def _without_objects(mix: Mix) -> Iterator[Problem]:
    for dataset in mix.datasets.values():
        if dataset.objects == 0 and dataset.images:
            yield Problem(
                "no objects",
                f"Data set {dataset.name!r} has {dataset.images} images and no object of the classes of this training "
                f"({listed(dataset.classes, 5)}): it teaches background only. Does its annotation file name them otherwise?",
            )
