"""Trains a small RT-DETR on digits in scenes twice, without and with loss weights, and compares the two.

    pip install "headweights[transformers]" scikit-learn pycocotools
    python train.py --output digits

Nearly all scenes have errors: half of them wrong labels, the other half wrong boxes (digits.py). The weights tell each loss which
data set it should not learn from. Both detectors start from the same random parameters and see the same images in the same order.
They are so small that each is trained by one core, side by side.
"""

import argparse
import contextlib
import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
from digits import CLASSES, SIDE, held_out, training_data
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from transformers import (
    PrinterCallback,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrResNetConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from headweights.transformers import LossWeights

# A random label says nothing about the class of a digit, but its box is correct. A moved box says little about the edges of a
# digit, but its label is correct. RT-DETR's loss for classes is `loss_vfl`. The weight of `loss_bbox` also holds for `loss_giou`.
WEIGHTS = {
    "clean": 1.0,
    "wrong_labels": {"loss_vfl": 0.05, "loss_bbox": 1.0},
    "wrong_boxes": {"loss_vfl": 1.0, "loss_bbox": 0.05},
}
RUNS = {"unweighted": {}, "weighted": WEIGHTS}


def main():
    options = option_parser(__doc__).parse_args()
    spawn = multiprocessing.get_context("spawn")  # a process that may have used a GPU cannot be forked
    with ProcessPoolExecutor(len(RUNS), spawn, initializer=torch.set_num_threads, initargs=(1,)) as processes:
        logs = dict(zip(RUNS, processes.map(partial(train, options=options), RUNS)))
    print_comparison(logs)
    print(f"\nheadweights report {options.output}/unweighted {options.output}/weighted")


def option_parser(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("digits"), help="folder of what is written (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=600, help="steps of each training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the data, the parameters and the order (default: %(default)s)")
    return parser


def train(name, options):
    """Trains and evaluates a detector, and returns what its trainer has logged."""
    set_seed(options.seed)
    weights = LossWeights(RUNS[name], normalize=True, target="clean")
    trainer = Trainer(
        model=small_rt_detr(),
        args=arguments(options.output / name, options),
        train_dataset=weights.mix(training_data(options.seed)),
        data_collator=collate,
        callbacks=[weights, PrintLoss(name)],
    )
    trainer.remove_callback(PrinterCallback)  # it does not say which run a line is of
    trainer.train()
    trainer.log({"eval_map": coco_map(trainer.model, held_out())})
    trainer.save_state()  # the log, for `headweights report`
    trainer.save_model()
    return trainer.state.log_history


class PrintLoss(TrainerCallback):
    def __init__(self, name):
        self.name = name

    def on_log(self, args, state, control, logs, **more):
        if "loss" in logs:
            print(f"{self.name}: step {state.global_step} of {state.max_steps}, loss {logs['loss']:.1f}", flush=True)


def arguments(folder, options):
    return TrainingArguments(
        str(folder),
        max_steps=options.steps,
        per_device_train_batch_size=16,
        learning_rate=4e-3,
        warmup_steps=options.steps // 10,
        lr_scheduler_type="cosine",
        weight_decay=1e-4,
        max_grad_norm=0.1,
        logging_steps=max(1, options.steps // 16),
        remove_unused_columns=False,  # or the names of the data sets would be dropped
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
    )


def small_rt_detr():
    """An RT-DETR with random parameters: a hundredth of the usual number, and two levels of features instead of three."""
    backbone = RTDetrResNetConfig(
        embedding_size=24,
        hidden_sizes=[24, 32, 64],
        depths=[1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3"],
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,  # there is nothing to keep in them yet
        num_feature_levels=2,
        feat_strides=[8, 16],
        encoder_in_channels=[32, 64],
        encode_proj_layers=[1],
        d_model=64,
        encoder_hidden_dim=64,
        encoder_ffn_dim=128,
        encoder_attention_heads=4,
        hidden_expansion=0.5,
        decoder_in_channels=[64, 64],
        decoder_ffn_dim=128,
        decoder_attention_heads=4,
        decoder_layers=2,
        num_queries=20,
        num_denoising=20,
        id2label=dict(enumerate(CLASSES)),
        weight_loss_vfl=5.0,  # without pretraining, classes are harder to learn than boxes
    )
    return RTDetrForObjectDetection(config)


def collate(items):
    # The label dicts go to the model as they are; `weights.mix` wrote the names of the data sets into them.
    return {"pixel_values": torch.stack([item["pixel_values"] for item in items]), "labels": [item["labels"] for item in items]}


def coco_map(model, items):
    """Returns COCO's mean average precision."""
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number in range(len(items))],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES)],
        "annotations": [
            {**annotation, "id": number + 1, "iscrowd": 0, "area": annotation["bbox"][2] * annotation["bbox"][3]}
            for number, annotation in enumerate(true_objects(items))
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints much
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(list(detections(model, items))), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def true_objects(items):
    for number, item in enumerate(items):
        for label, box in zip(item["labels"]["class_labels"].tolist(), coco_boxes(item["labels"]["boxes"])):
            yield {"image_id": number, "category_id": label, "bbox": box}


@torch.no_grad()
def detections(model, items, batch=50):
    """The thirty best of all classes at all queries, image by image."""
    model.eval()
    for first in range(0, len(items), batch):
        images = torch.stack([item["pixel_values"] for item in items[first : first + batch]])
        output = model(pixel_values=images.to(model.device))
        for number, (logits, boxes) in enumerate(zip(output.logits, output.pred_boxes)):
            scores, places = logits.sigmoid().flatten().topk(30)
            labels, found = places % len(CLASSES), coco_boxes(boxes[places // len(CLASSES)])
            for score, label, box in zip(scores.tolist(), labels.tolist(), found):
                yield {"image_id": first + number, "category_id": label, "bbox": box, "score": score}


def coco_boxes(boxes):
    """Turns (centre x, centre y, width, height), as fractions, into (left, top, width, height) in pixels."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], dim=1).mul(SIDE).tolist()


def print_comparison(logs):
    """Prints the mAP, and which part of each loss each data set had, on average over the training."""
    names = sorted({name for log in logs.values() for entries in log for name in entries if name.startswith("loss_share/")})
    print(f"\n{'':40}" + "".join(f"{name:>12}" for name in logs))
    print(f"{'mAP on held-out scenes':40}" + "".join(f"{log[-1]['eval_map']:12.3f}" for log in logs.values()))
    for name in names:
        _, loss, dataset = name.split("/")
        print(f"{f'share of {dataset} in {loss}':40}" + "".join(f"{mean_share(log, name):12.0%}" for log in logs.values()))


def mean_share(log, name):
    """A measurement is of one batch. It has no entry for a data set without images in that batch."""
    measured = [entries for entries in log if any(entry.startswith("loss_share/") for entry in entries)]
    return sum(entries.get(name, 0) for entries in measured) / len(measured)


if __name__ == "__main__":
    main()
