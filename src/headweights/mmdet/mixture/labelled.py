"""What a training's heads and pipelines can do about classes that a data set does not label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from headweights.errors import WeightError
from headweights.mixture.mix import Mix
from headweights.mixture.problems import Problem
from headweights.mmdet.classes.order import categories_of as file_categories
from headweights.mmdet.data.mixing import mixed_together
from headweights.mmdet.data.source_datasets import SourceDataset, source_datasets
from headweights.mmdet.weighting.labelled import ClassHeads
from headweights.weights.addresses import listed


def categories_of(source: SourceDataset) -> Sequence[str]:
    """Returns the names of the categories that a data set's annotation file lists.

    Raises:
        WeightError: They are not known.
    """
    found = file_categories(source.dataset)
    if found is None:
        raise WeightError(
            f"the categories of {source.annotations or type(source.dataset).__name__} are not known. Give the classes as a list."
        )
    return list(found.values())


def wrong_heads(able: ClassHeads, partial: bool) -> Iterator[str]:
    """Yields what is wrong with the heads of a model, if data sets do not label all classes (`partial`)."""
    for path, reason in able.fixed.items():
        yield f"labelled: {path} cannot leave out classes that a data set does not label: {reason}."
    if partial and not able.classifying and not able.fixed:
        weights = ", ".join(f"'{path}.{loss}.background'" if loss else f"'{path}.background'" for path, loss in able.agnostic)
        instead = f" Weigh {weights} of that data set lower instead." if weights else ""
        yield f"labelled: no head of this model pushes background away from classes, so it would change nothing.{instead}"


def advice_on_labels(mix: Mix, able: ClassHeads, sources: Sequence[SourceDataset]) -> Iterator[Problem]:
    """Yields what `labelled` leaves as it is: heads that know no classes, and pictures that are mixed of several data sets."""
    if not able.classifying:
        return
    partial = [name for name, dataset in mix.datasets.items() if dataset.unlabelled]
    for head, loss in able.agnostic:
        given = [mix.given(name, head, loss, background=True) for name in partial]
        if any(one.source == "default" for one in given):
            target = f"{head}.{loss}.background" if loss else f"{head}.background"
            yield Problem(
                "labelled",
                f"{head} tells objects from background and knows no classes. What {', '.join(map(repr, partial))} does not label "
                f"is background there. You can weigh its background lower: weights={{{partial[0]!r}: {{{target!r}: 0.3}}}}.",
            )
    for group in mixed_together(sources):
        datasets = [mix.datasets[source.name] for source in group]
        unlabelled = {each.classes[number] for each in datasets for number in each.unlabelled}
        left = [name for name in datasets[0].classes if name not in unlabelled]
        if len(left) < min(len(each.classes) - len(each.unlabelled) for each in datasets):
            names = ", ".join(repr(each.name) for each in datasets)
            yield Problem(
                "labelled",
                f"A picture that is mixed of {names} (mosaic, MixUp) counts as labelled for the classes that all of them label: "
                f"{len(left)} of {len(datasets[0].classes)}. Mix within a data set: give each its own MultiImageMixDataset.",
            )


def advice_on_validation(mix: Mix, dataset: Any) -> Iterator[Problem]:
    """Yields the data sets of a validation that do not label all classes, where those of the training may do so too.

    Args:
        mix: The data sets of the training. A data set of the validation labels what one with the same name or file labels, or
            else the categories that its file lists.
        dataset: The data set of the validation, wrapped to any depth; None where there is none.
    """
    if dataset is None or not any(known.unlabelled for known in mix.datasets.values()):
        return
    labelled = {key: known.labelled for known in mix.datasets.values() for key in (known.name, known.annotations) if key}
    for source in source_datasets(dataset):
        key = next((key for key in (source.metainfo.get("dataset_name"), source.annotations) if key in labelled), None)
        listed_in_file = file_categories(source.dataset)
        names = labelled[key] if key is not None else listed_in_file and tuple(listed_in_file.values())
        missing = [name for name in source.classes if names is not None and name not in names]
        if missing:
            yield Problem(
                "labelled",
                f"validation data set {source.known_as} does not label {listed(list(map(repr, missing)), 8)}. Its metrics say "
                "nothing about these classes, or count right detections of them as wrong.",
            )
