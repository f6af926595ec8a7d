"""The contents of ``headweights.json``: a run's data sets, heads and weights before its first iteration."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

RECORD = "headweights.json"
VERSION = 1

# Larger integers would not fit into a float.
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]


class RecordPart(BaseModel):
    """A part of a record. Unknown keys are ignored, so that an older version reads a newer record."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Sample(RecordPart):
    """An image of a data set and its annotated objects.

    Args:
        image: The image file.
        width: Its width in pixels.
        height: Its height in pixels.
        boxes: The objects' boxes: left, top, right, bottom in pixels.
        labels: The objects' classes, as indices into the data set's classes.
        object_weights: The objects' own weights. None if all of them are 1.
        image_weights: The image's own weights by target. None if it has none.
    """

    image: str
    width: FiniteFloat | None = None
    height: FiniteFloat | None = None
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]] = []
    labels: list[Whole] = []
    object_weights: list[FiniteFloat] | None = None
    image_weights: dict[str, FiniteFloat] | None = None


class DataSetRecord(RecordPart):
    """A data set.

    Args:
        name: Its name in the mix.
        ann_file: Its annotation file.
        images: The number of its images.
        objects: The number of its objects.
        drawn: Its share of the images drawn. The shares of all data sets sum to 1.
        classes: The names of the classes that it annotates.
        samples: A few of its images.
    """

    name: str
    ann_file: str | None = None
    images: Whole | None = None
    objects: Whole | None = None
    drawn: FiniteFloat | None = None
    classes: list[str] = []
    samples: list[Sample] = []


class HeadRecord(RecordPart):
    """A weighted head.

    Args:
        path: Its path in the model.
        class_name: The name of its class; ``class`` in the file.
        losses: Its losses that can be weighted separately.
        logs_weighted: Whether the losses that it logs include the weights.
    """

    path: str
    class_name: str = Field("", validation_alias="class", serialization_alias="class")
    losses: list[str] = []
    logs_weighted: bool | None = None


class ScheduleRecord(RecordPart):
    """How a weight changes.

    Args:
        schedule: How it gets from one point to the next, e.g. ``cosine``.
        points: (time, weight) pairs.
        by: The unit of time, ``epoch`` or ``iter``.
    """

    schedule: str
    points: list[tuple[Whole, FiniteFloat]] = []
    by: str = ""


class WeightRecord(RecordPart):
    """The weight of a data set in a loss of a head.

    Args:
        dataset: The data set's name.
        head: The head's path.
        loss: The loss; empty for the whole head.
        weight: The weight at the start of the training.
        effective_weight: The weight after normalisation, times the mean of the images' own weights.
        schedule: How the weight changes; None if it does not.
        source: Who set it: ``hook``, ``pipeline`` or ``default``.
        share: The data set's share of the loss: images drawn times weight, over the sum of all data sets.
    """

    dataset: str
    head: str
    loss: str = ""
    weight: FiniteFloat
    effective_weight: FiniteFloat | None = None
    schedule: ScheduleRecord | None = None
    source: str = ""
    share: FiniteFloat | None = None


class RunRecord(RecordPart):
    """A record.

    Args:
        target: The data set that the detector is meant for, if the user named one.
        datasets: The data sets.
        heads: The weighted heads.
        table: Every weight.
        weights: The weights as the config gave them, by data set and target.
    """

    target: str | None = None
    datasets: list[DataSetRecord] = []
    heads: list[HeadRecord] = []
    table: list[WeightRecord] = []
    weights: dict[str, Any] = {}
