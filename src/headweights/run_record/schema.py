"""The contents of ``headweights.json``: a run's data sets, heads and weights before its first iteration.

A value that is None or empty is unknown or does not exist.
"""

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
    """An image of a data set and its annotated objects."""

    image: str  # the file
    width: FiniteFloat | None = None  # in pixels, as all lengths are
    height: FiniteFloat | None = None
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]] = []  # left, top, right, bottom
    labels: list[Whole] = []  # indices into the data set's classes
    object_weights: list[FiniteFloat] | None = None  # the objects' own weights; None if all of them are 1
    image_weights: dict[str, FiniteFloat] | None = None  # the image's own weights by target


class DataSetRecord(RecordPart):
    """A data set, under its name in the mix, with a few of its images."""

    name: str
    ann_file: str | None = None
    images: Whole | None = None
    objects: Whole | None = None
    drawn: FiniteFloat | None = None  # its share of the images drawn; the shares of all data sets sum to 1
    classes: list[str] = []
    labelled: list[str] | None = None  # those of the classes that it labels; None if all of them
    samples: list[Sample] = []


class HeadRecord(RecordPart):
    """A weighted head, at its path in the model."""

    path: str
    class_name: str = Field("", validation_alias="class", serialization_alias="class")
    losses: list[str] = []  # those that can be weighted separately
    logs_weighted: bool | None = None  # whether the losses that it logs include the weights


class ScheduleRecord(RecordPart):
    """How a weight changes."""

    schedule: str  # how it gets from one point to the next, e.g. "cosine"
    points: list[tuple[Whole, FiniteFloat]] = []  # (time, weight)
    by: str = ""  # the unit of time, "epoch" or "iter"


class WeightRecord(RecordPart):
    """The weight of a data set in a loss of a head."""

    dataset: str
    head: str  # the path
    loss: str = ""  # empty for the whole head
    weight: FiniteFloat  # at the start of the training
    effective_weight: FiniteFloat | None = None  # after normalisation, times the mean of the images' own weights
    schedule: ScheduleRecord | None = None
    background: FiniteFloat | None = None  # of predictions that are matched to no object; None if they weigh the same
    source: str = ""  # who set it: "hook", "pipeline" or "default"
    share: FiniteFloat | None = None  # of the loss: images drawn times weight, over the sum of all data sets


class RunRecord(RecordPart):
    """A record: the data sets, the weighted heads and every weight."""

    target: str | None = None  # the data set that the detector is meant for
    datasets: list[DataSetRecord] = []
    heads: list[HeadRecord] = []
    table: list[WeightRecord] = []
    weights: dict[str, Any] = {}  # as the config gave them, by data set and target
    settings: dict[str, Any] = {}  # of the training, by the framework's names, if it writes them into no other readable file
