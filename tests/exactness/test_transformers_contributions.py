"""What is measured in a training step is what stock models and explicit gradients say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pytest
import torch
from support.transformers_steps import StockStep, Term, with_labels
from support.transformers_training import architecture
from support.transformers_zoo import ZOO, Architecture, Batch, build, stock_model
from torch import Tensor, nn

from headweights.transformers import LossWeights

pytestmark = pytest.mark.slow

OBJECTS = (3, 0, 2, 2)
IMAGES = {"real": (0, 2), "rendered": (1, 3)}
WEIGHTS = {"real": 3.0, "rendered": 0.2}
COUPLED = "loss_contrastive"  # no image has a part of its own in it, and it has no weight
# Not comparable with a stock model that sees a data set's images alone: what denoises makes its queries from the boxes of all
# images together, and RF-DETR matches masks at a number of points that grows with the batch.
TOGETHER = [arch.name for arch in ZOO if arch.settings.get("num_denoising") or arch.name == "rf-detr-masks"]


def each(names: Iterable[str]) -> pytest.MarkDecorator:
    """Runs a test with these architectures. The tests of one share its stock steps, so they run one after the other."""
    here = [name for name in names if architecture(name).exists]
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=pytest.mark.xdist_group(f"transformers-{name}")) for name in here]
    )


every_architecture = each(arch.name for arch in ZOO)
every_comparable = each(arch.name for arch in ZOO if arch.name not in TOGETHER)
every_other = each(TOGETHER)


@pytest.fixture(autouse=True)
def same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks are compared at random points: the same for every mask, whatever the batch holds."""
    draw = torch.rand

    def rand(*size: Any, generator: torch.Generator | None = None, **settings: Any) -> Tensor:
        if generator is not None or len(size) < 3:  # images and boxes of the batch; or nothing of masks
            return draw(*size, generator=generator, **settings)
        masks, *of_one = size
        return draw(1, *of_one, generator=torch.Generator().manual_seed(0)).repeat(masks, *[1] * len(of_one))

    monkeypatch.setattr(torch, "rand", rand)


def measured(arch: Architecture, datasets: Sequence[str], weights: Mapping[str, Any]) -> tuple[dict[str, float], Tensor]:
    """Measures a step of a new model on a batch; returns the log entries and the loss."""
    model = build(arch)
    of_losses = LossWeights(weights, interval=1)
    of_losses.weigh(model)
    batch = with_labels(arch, arch.batch(OBJECTS), [{"dataset": dataset} for dataset in datasets])
    torch.manual_seed(0)
    loss = model(**batch).loss
    loss.sum().backward()
    return of_losses.step(), loss.detach()


@lru_cache(maxsize=1)
def of_two(name: str) -> dict[str, float]:
    """The measurements of a batch of two data sets, with weights."""
    arch = architecture(name)
    datasets = [next(name for name, images in IMAGES.items() if image in images) for image in range(len(OBJECTS))]
    targets = [target for target in stock(name).targets if target != COUPLED]
    return measured(arch, datasets, {dataset: dict.fromkeys(targets, weight) for dataset, weight in WEIGHTS.items()})[0]


@lru_cache(maxsize=3)
def stock(name: str, images: Sequence[int] = range(len(OBJECTS))) -> StockStep:
    """A step of the stock model on some images of the batch."""

    def alone(batch: Batch) -> None:
        for key, value in batch.items():
            batch[key] = value[list(images)] if isinstance(value, Tensor) else [value[image] for image in images]

    arch = architecture(name)
    step = StockStep(arch, stock_model(arch), OBJECTS, change=alone)
    step.counts = tuple(OBJECTS[image] for image in images)
    return step


def total(terms: Sequence[Term], target: str) -> Tensor:
    return sum((term.coefficient * term.value.sum() for term in terms if term.target == target), torch.zeros(()))


@every_comparable
def test_raw_losses_are_those_of_the_stock_model_on_the_data_sets_images_alone(name: str) -> None:
    entries = of_two(name)
    for dataset, images in IMAGES.items():
        alone = stock(name, images)
        for target in alone.targets:
            if target == COUPLED:
                assert f"raw_loss/{target}/{dataset}" not in entries
                continue
            expected = float(total(alone.terms, target))
            assert expected > 0
            assert entries[f"raw_loss/{target}/{dataset}"] == pytest.approx(expected, rel=1e-4), target
            assert entries[f"weighted_loss/{target}/{dataset}"] == pytest.approx(WEIGHTS[dataset] * expected, rel=1e-4)
            assert entries[f"weight/{target}/{dataset}"] == WEIGHTS[dataset]


@every_other
def test_raw_losses_of_one_data_set_add_up_to_the_loss_of_the_step(name: str) -> None:
    """Those of denoising queries too, with the coefficients of the model. What has no gradient is left out."""
    entries, loss = measured(architecture(name), ["real"] * len(OBJECTS), {"real": 1.0})
    step = stock(name)
    assert torch.equal(loss, step.loss)
    expected = sum(float(total(step.terms, target)) for target in step.targets if target != COUPLED)
    raw = {quantity: value for quantity, value in entries.items() if quantity.startswith("raw_loss/")}
    assert {quantity.split("/")[1] for quantity in raw} == {target for target in step.targets if target != COUPLED}
    assert sum(raw.values()) == pytest.approx(expected, rel=1e-5)


@every_comparable
def test_gradient_shares_are_those_of_gradients_at_the_predictions(name: str) -> None:
    entries, step = of_two(name), stock(name)
    for target in step.targets:
        if target == COUPLED:
            continue
        terms = [term for term in step.terms if term.target == target]
        predictions = list({id(term.prediction): term.prediction for term in terms}.values())
        gradients = torch.autograd.grad(total(terms, target), predictions, retain_graph=True)
        norms = {
            dataset: weight * sum(float(gradient[[*IMAGES[dataset]]].square().sum()) for gradient in gradients) ** 0.5
            for dataset, weight in WEIGHTS.items()
        }
        for dataset, norm in norms.items():
            share = norm / sum(norms.values())
            assert entries[f"gradient_share/{target}/{dataset}"] == pytest.approx(share, abs=1e-4), (target, dataset)


# The last layers by hand: the parameters that match a pattern, by target.
LAST_LAYERS = {
    "detr": {"loss_ce": r"class_labels_classifier\.", "loss_bbox": r"bbox_predictor\.layers\.2\."},
    "yolos": {"loss_ce": r"class_labels_classifier\.layers\.2\.", "loss_bbox": r"bbox_predictor\.layers\.2\."},
    "deformable-detr-two-stage": {
        "loss_ce": r"decoder\.class_embed\.[01]\.",
        "loss_bbox": r"decoder\.bbox_embed\.[01]\.layers\.2\.",
    },
    "rt-detr": {
        "loss_vfl": r"decoder\.class_embed\.|enc_score_head\.",
        "loss_bbox": r"decoder\.bbox_embed\.\d\.layers\.2\.|enc_bbox_head\.layers\.2\.",
    },
    "d-fine": {
        "loss_vfl": r"decoder\.class_embed\.|reg_conf\.layers\.1\.|enc_score_head\.",
        "loss_bbox": r"pre_bbox_head\.layers\.2\.|decoder\.bbox_embed\.\d\.layers\.2\.|enc_bbox_head\.layers\.2\.",
        "loss_fgl": r"decoder\.bbox_embed\.\d\.layers\.2\.",
    },
    "lw-detr": {"loss_ce": r"^class_embed\.|enc_out_class_embed\."},
    "mask2former": {
        "loss_cross_entropy": r"class_predictor\.",
        "loss_mask": r"mask_embedder\.2\.|decoder\.mask_projection\.",
    },
    "oneformer": {
        "loss_cross_entropy": r"decoder\.class_embed\.",
        "loss_mask": r"mask_embed\.layers\.2\.|decoder\.mask_projection\.",
    },
}


@each(LAST_LAYERS)
def test_cosines_are_those_of_explicit_gradients_of_the_last_layers(name: str) -> None:
    entries, model = of_two(name), stock_model(architecture(name))
    steps = [stock(name, images) for images in IMAGES.values()]
    found = []
    for target, pattern in LAST_LAYERS[name].items():
        parameters = [parameter for path, parameter in model.named_parameters() if re.search(pattern, path)]
        vectors = [gradient_of(total(step.terms, target), parameters) for step in steps]
        expected = torch.nn.functional.cosine_similarity(*vectors, dim=0)
        found.append(abs(float(expected)))
        assert entries[f"gradient_cosine/{target}/real vs rendered"] == pytest.approx(float(expected), abs=1e-3), target
    assert min(found) < 0.99


def gradient_of(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss, list(parameters), retain_graph=True, allow_unused=True)
    return torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, found)])


@every_architecture
def test_every_loss_has_a_cosine(name: str) -> None:
    entries = of_two(name)
    expected = {f"gradient_cosine/{target}/real vs rendered" for target in stock(name).targets if target != COUPLED}
    assert {entry for entry in entries if entry.startswith("gradient_cosine/")} == expected
