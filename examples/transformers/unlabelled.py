"""Trains a small RT-DETR on digits in scenes, where one data set labels only some digits and the other only the others.

    pip install "headweights[transformers]" scikit-learn pycocotools
    python unlabelled.py --output unlabelled

The scenes of both show all ten digits. `labelled` says which of them each data set labels. In its scenes, a query that is matched
to no object does not learn that it is none of the other digits. With `--as-is`, every digit without a box is background.
"""

import numpy as np
from digits import CLASSES, handwriting, held_out, item, scene
from train import arguments, coco_map, collate, option_parser, small_rt_detr
from transformers import Trainer, set_seed

from headweights.transformers import LossWeights

LABELLED = {"low": CLASSES[:7], "high": CLASSES[7:]}


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--as-is", action="store_true", help="take all digits without a box for background")
    options = parser.parse_args()
    set_seed(options.seed)
    weights = LossWeights(labelled=None if options.as_is else LABELLED)
    trainer = Trainer(
        model=small_rt_detr(),
        args=arguments(options.output, options),
        train_dataset=weights.mix(partly_labelled(options.seed)),
        data_collator=collate,
        callbacks=[weights],
    )
    trainer.train()
    trainer.log({"eval_map": coco_map(trainer.model, held_out())})
    trainer.save_state()  # the log, for `headweights report`
    print(f"mAP on held-out scenes {trainer.state.log_history[-1]['eval_map']:.3f}")


def partly_labelled(seed, size=600):
    """Returns the data sets by name; of each scene, only the objects of the classes that its data set labels."""
    rng = np.random.default_rng(seed)
    digits = handwriting(slice(0, 1300))
    return {name: [with_boxes_of(names, *scene(digits, rng)) for _ in range(size)] for name, names in LABELLED.items()}


def with_boxes_of(names, image, classes, boxes):
    kept = np.array([CLASSES[digit] in names for digit in classes], dtype=bool)
    return item(image, classes[kept], boxes[kept])


if __name__ == "__main__":
    main()
