"""Every detector of transformers, held against the pixel-gradient oracle."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import product
from typing import Any

import pytest
import torch
from support.oracle import assert_scaled, relative_error
from support.transformers_steps import CLASSIFYING, Step, StockStep, target_of
from support.transformers_zoo import CLASSES, NO_LOSS, OBJECTS, ZOO, Architecture, Batch, stock_model
from torch import Tensor, nn
from transformers.loss.loss_utils import LOSS_MAPPING
from transformers.models.auto import modeling_auto

from headweights import WeightError
from headweights.batch.in_force import InForce, put_in_force
from headweights.transformers import weigh
from headweights.transformers.weighting.models import WEIGHTED, targets_of

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
# By a power of two a gradient is scaled without rounding.
EXACT = 1e-6
HERE = [arch for arch in ZOO if arch.exists]
# Losses that compare the images of a batch with each other: no image has a part of its own.
COUPLED = {"loss_contrastive"}
# They subtract the largest attention score of the batch before a softmax. That changes nothing, but its gradient is 0 only up to
# rounding, and goes to the image with that score.
LEAKS_ROUNDING = {"GroundingDinoForObjectDetection", "MMGroundingDinoForObjectDetection"}


def every_architecture_but(left_out: Callable[[Architecture], Any]) -> pytest.MarkDecorator:
    # The tests of an architecture share its models and the stock step, so they stay in one process, one after the other.
    params = [
        pytest.param(arch, marks=pytest.mark.xdist_group(f"transformers-{arch.name}")) for arch in HERE if not left_out(arch)
    ]
    return pytest.mark.parametrize("arch", params, ids=str)


every_architecture = every_architecture_but(lambda arch: False)
# As many images as decoder layers: whoever tells their dimensions apart by size alone takes one for the other.
AS_MANY_AS_LAYERS = (3, 2)
every_batch = pytest.mark.parametrize("objects", [OBJECTS, AS_MANY_AS_LAYERS], ids=["three-images", "two-images"])

ImageWeights = Sequence[float]


@lru_cache(maxsize=1)
def weighted_model(arch: Architecture) -> nn.Module:
    return weigh(copy.deepcopy(stock_model(arch)))


@lru_cache(maxsize=2)
def stock_step(arch: Architecture, objects: tuple[int, ...] = OBJECTS) -> StockStep:
    return StockStep(arch, stock_model(arch), objects)


@lru_cache(maxsize=2)
def stock_gradients(arch: Architecture, objects: tuple[int, ...] = OBJECTS) -> dict[str, Tensor]:
    return stock_step(arch, objects).pixel_gradients()


def weightable(arch: Architecture) -> list[str]:
    return [target for target in stock_step(arch).targets if target not in COUPLED]


def is_coupled(arch: Architecture) -> bool:
    return not COUPLED.isdisjoint(stock_step(arch).targets)


def everywhere(arch: Architecture, weight: float) -> float | dict[str, float]:
    """The weight of an image for each loss that can have one."""
    if is_coupled(arch):
        return dict.fromkeys(weightable(arch), weight)
    return weight


def image_labels(weights: Sequence[float | Mapping[str, float]]) -> list[dict[str, Any]]:
    return [{"loss_weight": weight} for weight in weights]


def expected_pixel_gradient(arch: Architecture, objects: tuple[int, ...], weights: Mapping[str, ImageWeights]) -> Tensor:
    """From the stock model, the sum over the targets of each image's gradient times its weight; 1 where a target has none."""
    ones = [1.0] * len(objects)
    return sum(gradient * as_factors(weights.get(target, ones)) for target, gradient in stock_gradients(arch, objects).items())  # type: ignore[return-value]


def as_factors(weights: ImageWeights) -> Tensor:
    """The weights of images in the shape of pixels."""
    return torch.tensor(weights)[:, None, None, None]


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    """Image by image, so that a large gradient does not hide a small one."""
    for image, (one, other) in enumerate(zip(actual, expected)):
        if not other.any():
            assert not one.any(), f"image {image} weighs 0 and has a gradient"
        else:
            error = relative_error(one, other)
            assert error <= tolerance, f"image {image}: relative error {error:.2e}"


# ----------------------------------------------------------------------------------------------------------------------
# One is nothing
# ----------------------------------------------------------------------------------------------------------------------


@every_architecture
@pytest.mark.parametrize("given", ["nothing", "ones"])
def test_without_weights_or_with_ones_all_is_stock_bit_for_bit(arch: Architecture, given: str) -> None:
    ones: list[dict[str, Any]] = [
        {"loss_weight": 1},
        {"loss_weight": dict.fromkeys(weightable(arch), 1.0), "loss_weights": torch.ones(OBJECTS[1])},
        {"loss_weights": torch.ones(OBJECTS[2])},
    ]
    stock, weighted = stock_step(arch), Step(arch, weighted_model(arch), ones if given == "ones" else None)
    assert torch.equal(weighted.random_state, stock.random_state)
    assert torch.equal(weighted.loss, stock.loss)
    assert_same_values(weighted, stock)
    assert weighted.gradients.keys() == stock.gradients.keys()
    for name, gradient in stock.gradients.items():
        assert torch.equal(weighted.gradients[name], gradient), name


def assert_same_values(weighted: Step, stock: Step) -> None:
    assert [name for name, _ in weighted.values] == [name for name, _ in stock.values]
    for (name, value), (_, other) in zip(weighted.values, stock.values):
        assert torch.equal(value, other), name


@every_architecture
def test_checkpoints_and_predictions_are_untouched(arch: Architecture) -> None:
    stock, weighted = stock_model(arch), weighted_model(arch)
    assert list(weighted.state_dict()) == list(stock.state_dict())
    assert type(weighted) is type(stock)
    batch = {name: value for name, value in arch.batch(OBJECTS).items() if name not in ("labels", "mask_labels", "class_labels")}
    with torch.no_grad():
        predictions = []
        for model in (stock, weighted):
            torch.manual_seed(0)
            predictions.append(model(**batch))
    for name, expected in predictions[0].items():
        if isinstance(expected, Tensor):
            assert torch.equal(predictions[1][name], expected), name


# ----------------------------------------------------------------------------------------------------------------------
# Images
# ----------------------------------------------------------------------------------------------------------------------


@every_architecture
def test_each_image_weighs_what_it_is_given(arch: Architecture) -> None:
    weights = (0, 0.25, 2)
    stock = stock_step(arch)
    weighted = Step(arch, weighted_model(arch), image_labels([everywhere(arch, weight) for weight in weights]))
    assert torch.equal(weighted.loss, stock.loss)
    assert_same_values(weighted, stock)
    if is_coupled(arch):
        assert_close(weighted.pixel_gradient, expected_pixel_gradient(arch, OBJECTS, dict.fromkeys(weightable(arch), weights)))
    elif arch.model in LEAKS_ROUNDING:
        assert_close(weighted.pixel_gradient + stock.pixel_gradient, stock.pixel_gradient * (1 + as_factors(weights)), EXACT)
    else:
        assert_scaled(weighted.pixel_gradient, stock.pixel_gradient, weights, EXACT)


@every_architecture
def test_each_target_has_a_weight_of_its_own(arch: Architecture) -> None:
    stock = stock_step(arch, AS_MANY_AS_LAYERS)
    for target in weightable(arch):
        weights = (0.25, 2)
        weighted = Step(arch, weighted_model(arch), image_labels([{target: weight} for weight in weights]), AS_MANY_AS_LAYERS)
        assert_same_values(weighted, stock)
        expected = expected_pixel_gradient(arch, AS_MANY_AS_LAYERS, {target: weights})
        assert min(map(relative_error, expected, stock.pixel_gradient)) > 100 * TOLERANCE, f"{target}: its weight would not show"
        assert_close(weighted.pixel_gradient, expected)


@every_architecture
def test_all_targets_are_weighted_apart_in_one_batch(arch: Architecture) -> None:
    values = (0.5, 3, 0, 1.5)
    images = range(len(OBJECTS))
    weights = {target: [values[(index + image) % 4] for image in images] for index, target in enumerate(weightable(arch))}
    labels = image_labels([{target: of_images[image] for target, of_images in weights.items()} for image in images])
    weighted = Step(arch, weighted_model(arch), labels)
    assert_close(weighted.pixel_gradient, expected_pixel_gradient(arch, OBJECTS, weights))


@every_architecture
def test_the_weight_of_a_target_replaces_that_of_every_loss(arch: Architecture) -> None:
    if is_coupled(arch):
        with pytest.raises(WeightError, match="|".join(COUPLED)):
            Step(arch, weighted_model(arch), image_labels([{"": 0.5}] * len(OBJECTS)))
        return
    target, *others = weightable(arch)
    weighted = Step(arch, weighted_model(arch), image_labels([{"": 0.5, target: 2}, {"": 2}, {"": 0, target: 0.5}]))
    weights = {target: (2, 2, 0.5), **dict.fromkeys(others, (0.5, 2, 0))}
    assert_close(weighted.pixel_gradient, expected_pixel_gradient(arch, OBJECTS, weights))


@every_architecture
def test_parameters_learn_from_the_weighted_losses_only(arch: Architecture) -> None:
    """The gradient of every parameter is linear in the weights: no way to a parameter leads around the weights.

    The pixels do not see a parameter that is used in the loss itself.
    """

    def gradients(*weights: float) -> dict[str, Tensor]:
        labels = image_labels([everywhere(arch, weight) for weight in weights])
        return Step(arch, weighted_model(arch), labels).gradients

    stock = stock_step(arch).gradients
    images = [gradients(*row) for row in torch.eye(len(OBJECTS)).tolist()]
    mixed = gradients(0.25, 2, 4)
    largest = max(float(gradient.abs().max()) for gradient in stock.values())
    rest = coupled_gradients(arch)
    for name, gradient in stock.items():
        first, second, third = (image[name] - rest.get(name, 0) for image in images)
        # Before a normalisation layer a bias has no gradient but noise, hence the floor.
        scale = float(gradient.abs().max()) + 1e-2 * largest
        assert (first + second + third + rest.get(name, 0) - gradient).abs().max() <= 10 * TOLERANCE * scale, name
        combined = 0.25 * first + 2 * second + 4 * third + rest.get(name, 0)
        assert (combined - mixed[name]).abs().max() <= 10 * TOLERANCE * scale, name


def coupled_gradients(arch: Architecture) -> dict[str, Tensor]:
    """What losses without a target give to pixels and parameters."""
    step = stock_step(arch)
    losses = [term.coefficient * term.value for term in step.terms if term.target in COUPLED]
    return step.gradients_of(sum(losses)) if losses else {}


# ----------------------------------------------------------------------------------------------------------------------
# Objects
# ----------------------------------------------------------------------------------------------------------------------


@every_architecture
@every_batch
def test_each_object_weighs_what_it_is_given(arch: Architecture, objects: tuple[int, ...]) -> None:
    """What is predicted for an object has its weight times its image's; what is predicted for none has the image's alone."""
    of_objects = [torch.tensor([0, 0.25, 2, 0.5][image : image + count]) for image, count in enumerate(objects)]
    of_images = (0.5, 1, 2)[: len(objects)]
    target = weightable(arch)[0]
    labels = [{"loss_weight": {target: weight}, "loss_weights": own} for weight, own in zip(of_images, of_objects)]
    weighted = Step(arch, weighted_model(arch), labels, objects)
    stock = stock_step(arch, objects)
    assert_same_values(weighted, stock)
    expected = stock.weighted_pixel_gradient({target: of_images}, of_objects)
    of_images_alone = expected_pixel_gradient(arch, objects, {target: of_images})
    for image, count in enumerate(objects):
        assert (relative_error(expected[image], of_images_alone[image]) > 100 * TOLERANCE) == (count > 0)
    assert_close(weighted.pixel_gradient, expected)


@every_architecture
def test_the_oracle_of_objects_finds_the_stock_gradient(arch: Architecture) -> None:
    ones = [torch.ones(count) for count in OBJECTS]
    assert_close(stock_step(arch).weighted_pixel_gradient({}, ones), stock_step(arch).pixel_gradient)


@every_architecture_but(lambda arch: arch.settings.get("num_denoising"))
def test_an_object_of_weight_zero_leaves_no_trace(arch: Architecture) -> None:
    """Its class, box and mask may be anything that is matched to the same predictions.

    With denoising it does leave one: queries are made from the objects, and those of a group see each other.
    """
    change, stock = unnoticed(arch)
    labels = [{"loss_weights": torch.tensor([0.0] + [1.0] * (count - 1))[:count]} for count in OBJECTS]
    before = Step(arch, weighted_model(arch), labels)
    after = Step(arch, weighted_model(arch), labels, change=change)
    assert relative_error(stock.pixel_gradient, stock_step(arch).pixel_gradient) > 100 * TOLERANCE, "stock does not notice either"
    assert_close(after.gradients["pixels"], before.gradients["pixels"])
    largest = max(float(gradient.abs().max()) for gradient in before.gradients.values())
    for name, gradient in before.gradients.items():
        assert (after.gradients[name] - gradient).abs().max() <= TOLERANCE * largest, name


def unnoticed(arch: Architecture) -> tuple[Callable[[Batch], None], StockStep]:
    """A change of the first object of an image, after which the same queries are matched, and the stock step with it."""
    expected = pairs_of(stock_step(arch))
    # Another class and box; if that is always matched to other queries, another box alone.
    for classes, image, shift in product((4, 3, 2, 1, 0), (0, 2), (0.03, 0.01)):
        change = partial(change_first_object, image=image, classes=classes, shift=shift)
        step = StockStep(arch, stock_model(arch), change=change)
        if pairs_of(step) == expected:
            return change, step
    raise AssertionError("every change is matched to other queries")


def pairs_of(step: StockStep) -> list[list[tuple[list[int], list[int]]]]:
    return [[(queries.tolist(), numbers.tolist()) for queries, numbers in matching.pairs] for matching in step.matchings]


def change_first_object(batch: Batch, image: int, classes: int, shift: float) -> None:
    if "labels" in batch and "boxes" in batch["labels"][image]:
        label = batch["labels"][image]
        label["boxes"][0] += shift
    else:
        label = {"class_labels": batch["class_labels"][image], "masks": batch["mask_labels"][image]}
    label["class_labels"][0] = (label["class_labels"][0] + classes) % CLASSES
    if "masks" in label:
        label["masks"][0] = label["masks"][0].roll(round(100 * shift), dims=-1)


# ----------------------------------------------------------------------------------------------------------------------
# The background, and classes that are not labelled
# ----------------------------------------------------------------------------------------------------------------------


@every_architecture
def test_the_background_weighs_what_it_is_given_and_objects_what_they_weighed(arch: Architecture) -> None:
    of_images, backgrounds = (0.5, 2, 1), (0.25, 3, 0)
    (target,) = set(CLASSIFYING) & set(weightable(arch))
    labels = [
        {"loss_weight": {target: image, f"{target}.background": none}} for image, none in zip(of_images, backgrounds, strict=True)
    ]
    weighted, stock = Step(arch, weighted_model(arch), labels), stock_step(arch)
    assert_same_values(weighted, stock)
    ones = [torch.ones(count) for count in OBJECTS]
    expected = stock.weighted_pixel_gradient({target: of_images}, ones, {target: backgrounds})
    assert relative_error(expected, stock.weighted_pixel_gradient({target: of_images}, ones)) > 10 * TOLERANCE
    assert_close(weighted.pixel_gradient, expected)


UNLABELLED = ((3, 4), (), (0,))


def labelled_step(arch: Architecture, unlabelled: Sequence[Sequence[int]]) -> Step:
    """A step in which each image's data set does not label some classes."""
    model = weighted_model(arch)
    names = [f"data set {image}" for image in range(len(OBJECTS))]
    left_out = {name: frozenset(classes) for name, classes in zip(names, unlabelled, strict=True)}
    put_in_force(model, InForce({name: {} for name in names}, unlabelled=left_out))
    try:
        return Step(arch, model, [{"dataset": name} for name in names], change=labelled_only(unlabelled))
    finally:
        put_in_force(model, None)


def labelled_only(unlabelled: Sequence[Sequence[int]]) -> Callable[[Batch], None]:
    """Gives the objects of a batch classes that are labelled in their image."""

    def change(batch: Batch) -> None:
        of_images = batch["class_labels"] if "class_labels" in batch else [label["class_labels"] for label in batch["labels"]]
        for classes, left_out in zip(of_images, unlabelled, strict=True):
            labelled = [number for number in range(CLASSES) if number not in left_out]
            classes.copy_(torch.tensor([labelled[int(number) % len(labelled)] for number in classes], dtype=classes.dtype))

    return change


every_closed_vocabulary = every_architecture_but(lambda arch: WEIGHTED[arch.model].fixed_classes)


@every_closed_vocabulary
def test_what_is_matched_to_nothing_learns_nothing_of_a_class_that_is_not_labelled(arch: Architecture) -> None:
    labelled = labelled_step(arch, UNLABELLED)
    stock = StockStep(arch, stock_model(arch), change=labelled_only(UNLABELLED))
    expected = stock.weighted_pixel_gradient({}, [torch.ones(count) for count in OBJECTS], unlabelled=UNLABELLED)
    for image, classes in enumerate(UNLABELLED):
        changes = relative_error(expected[image], stock.pixel_gradient[image]) > 2 * TOLERANCE
        assert changes == bool(classes), f"image {image}"
    assert_close(labelled.pixel_gradient, expected)


@every_closed_vocabulary
def test_where_all_classes_are_labelled_all_is_stock_bit_for_bit(arch: Architecture) -> None:
    labelled, stock = labelled_step(arch, ((), (), ())), stock_step(arch)
    assert_same_values(labelled, stock)
    for name, gradient in stock.gradients.items():
        assert torch.equal(labelled.gradients[name], gradient), name


# ----------------------------------------------------------------------------------------------------------------------
# The table is complete
# ----------------------------------------------------------------------------------------------------------------------


@every_architecture
def test_every_loss_that_is_summed_has_a_target(arch: Architecture) -> None:
    assert set(targets_of(weighted_model(arch))) == set(weightable(arch))
    for name, value in stock_step(arch).values:
        assert target_of(name) in stock_step(arch).targets or not value.requires_grad, f"{name} is not summed"


def test_every_class_that_computes_a_detection_loss_is_in_the_zoo() -> None:
    tasks = ("OBJECT_DETECTION", "ZERO_SHOT_OBJECT_DETECTION", "IMAGE_SEGMENTATION", "INSTANCE_SEGMENTATION")
    tables = [getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES") for task in (*tasks, "UNIVERSAL_SEGMENTATION")]
    listed = {name for table in tables for name in table.values()}
    zoo = {arch.model for arch in ZOO}
    assert listed <= zoo | NO_LOSS.keys()
    assert not zoo & NO_LOSS.keys()
    # transformers chooses the loss by the name of the class, or by a part of it.
    endings = ("DetectionLoss", "ForSegmentationLoss")
    chosen = {name for name, loss in LOSS_MAPPING.items() if loss.__name__.endswith(endings)}
    assert all(any(name in model for model in zoo) for name in chosen)
