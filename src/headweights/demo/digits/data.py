"""Letters to pretrain on, three data sets of digits with different kinds of errors, and test scenes by other writers."""

from pathlib import Path

from headweights.demo.digits import digits, letters
from headweights.demo.scenes import DataSet, write

CONTENTS = {
    "clean": "labels and boxes right",
    "wrong_labels": "boxes right, labels random",
    "wrong_boxes": "labels right, boxes moved",
}


def make_data(folder: Path, seed: int) -> list[DataSet]:
    """Writes `letters`, `clean`, `wrong_labels`, `wrong_boxes` and `held_out` to `folder`. The same seed gives the same data."""
    sources = (
        ("letters", "pretraining", "printed letters, all right", letters.letter_scenes(letters.SCENES, seed), letters.CLASSES),
        *((name, "training", CONTENTS[name], scenes, digits.CLASSES) for name, scenes in digits.training_scenes(seed).items()),
        ("held_out", "test", "other handwriting, all right", digits.held_out_scenes("test"), digits.CLASSES),
    )
    return [
        DataSet(folder / name, use, content, *write(scenes, folder / name, classes))
        for name, use, content, scenes, classes in sources
    ]
