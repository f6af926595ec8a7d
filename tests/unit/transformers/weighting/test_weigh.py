"""A model is weighted in place: whatever is done to it, its weights act, or an error says that they do not."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from support.oracle import assert_scaled
from support.transformers_training import architecture, new
from support.transformers_zoo import build
from torch import Tensor, nn
from transformers import Trainer
from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss, ImageLoss

from headweights import WeightError
from headweights.batch.current import published
from headweights.batch.in_force import InForce, put_in_force
from headweights.transformers import uninstall, weigh
from headweights.transformers.training.trainer_log import log_measurements
from headweights.transformers.weighting.weigh import weighed_forward

OBJECTS = (2, 1)
WEIGHTS = (0.25, 2.0)
Call = Callable[[nn.Module, Mapping[str, Any]], Any]


def batch(name: str = "yolos", weights: tuple[Any, ...] = WEIGHTS) -> dict[str, Any]:
    """A batch of two images that weigh something."""
    found = architecture(name).batch(OBJECTS)
    labels = found.setdefault("labels", [{} for _ in OBJECTS])
    for label, weight in zip(labels, weights):
        label["loss_weight"] = weight
    return found


def by_name(model: nn.Module, given: Mapping[str, Any]) -> Tensor:
    return model(**given).loss


def pixel_gradient(model: nn.Module, given: Mapping[str, Any], call: Call = by_name) -> Tensor:
    pixels = given["pixel_values"].clone().requires_grad_(True)
    torch.manual_seed(0)
    return torch.autograd.grad(call(model, {**given, "pixel_values": pixels}), pixels)[0]


def stock_gradient(name: str = "yolos") -> Tensor:
    given = batch(name)
    if not architecture(name).takes_labels:
        del given["labels"]
    return pixel_gradient(build(architecture(name)), given)


def assert_weighted(model: nn.Module, call: Call = by_name, name: str = "yolos") -> None:
    assert_scaled(pixel_gradient(model, batch(name), call), stock_gradient(name), WEIGHTS, 1e-5)


# --- what a model goes through ---


def hooks_of(model: nn.Module) -> list[int]:
    return [len(hooks) for hooks in (model._forward_pre_hooks, model._forward_hooks)]


def test_weighing_twice_does_no_harm() -> None:
    model = new()
    assert weigh(model) is model
    hooks = hooks_of(model)
    assert weigh(model) is model
    assert hooks_of(model) == hooks == [1, 1]
    assert_weighted(model)


def pickled(model: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(model))


def saved(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, saved])
def test_a_copy_is_weighted_and_independent(copied: Callable[[nn.Module], nn.Module]) -> None:
    model = weigh(new())
    other = copied(model)
    assert weighed_forward(other) is not weighed_forward(model)
    assert hooks_of(other) == [1, 1]
    assert_weighted(other)
    # What is in force in the one is not in force in the other.
    put_in_force(model, InForce({"real": {}}))
    assert_weighted(other)
    with pytest.raises(WeightError, match="does not say which data set it is of"):
        by_name(model, batch())
    put_in_force(model, None)
    assert_weighted(model)


def test_a_copy_in_another_process_gates_anew() -> None:
    """Unpickling wraps the criterion, as it has to in a new process."""
    written = pickle.dumps(weigh(new()))
    uninstall()
    assert_weighted(pickle.loads(written))


def test_uninstall_puts_classes_back_and_a_weighted_model_says_so() -> None:
    uninstall()
    stock = ImageLoss.forward, Trainer.log
    model = weigh(new())
    log_measurements()
    assert ImageLoss.forward is not stock[0] and Trainer.log is not stock[1]
    uninstall()
    assert (ImageLoss.forward, Trainer.log) == stock
    with pytest.raises(WeightError, match="computed a loss, but not with ImageLoss"):
        by_name(model, batch())
    assert_weighted(weigh(model))


# --- how it is called ---


def as_tuple(model: nn.Module, given: Mapping[str, Any]) -> Tensor:
    output = model(**given, return_dict=False)
    assert isinstance(output, tuple)
    return output[0]


def by_position(model: nn.Module, given: Mapping[str, Any]) -> Tensor:
    return model(given["pixel_values"], given["labels"]).loss


def masks_by_position(model: nn.Module, given: Mapping[str, Any]) -> Tensor:
    return model(given["pixel_values"], given["mask_labels"], given["class_labels"], labels=given["labels"]).loss


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("yolos", as_tuple),
        ("yolos", by_position),
        ("maskformer", as_tuple),
        ("maskformer", masks_by_position),
        ("eomt", masks_by_position),
    ],
)
def test_weights_act_however_the_model_is_called(name: str, call: Call) -> None:
    assert_weighted(weigh(build(architecture(name))), call, name)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_read(mode: Callable[[], Any]) -> None:
    model, stock = weigh(new()).eval(), new().eval()
    put_in_force(model, InForce({"real": {}}))
    with mode():
        given = batch(weights=("no weight", -1))
        assert torch.equal(by_name(model, given), by_name(stock, given))
    put_in_force(model, None)


def test_predictions_need_no_labels() -> None:
    model = weigh(new())
    put_in_force(model, InForce({"real": {}}))
    images = batch()["pixel_values"]
    with torch.no_grad():
        assert torch.equal(model(images).logits, new()(images).logits)
    assert model.eval()(images).logits.requires_grad
    with pytest.raises(WeightError, match=r"YolosForObjectDetection trains without labels.*no compute_loss_func"):
        model.train()(images)
    put_in_force(model, None)


def test_after_a_forward_that_fails_the_next_is_as_ever() -> None:
    model = weigh(new())
    given = batch()
    for label in given["labels"]:
        label["boxes"] = label["boxes"][:, :3]
    with pytest.raises(Exception, match="same number of columns"):
        by_name(model, given)
    assert published() is None
    assert_weighted(model)


def test_one_label_dict_for_each_image() -> None:
    model = weigh(build(architecture("eomt")))
    given = batch("eomt")
    given["labels"].append({})
    with pytest.raises(WeightError, match="There are 3 labels for a batch of 2 images; give one dict for each"):
        by_name(model, given)


# --- a loss function of one's own ---


def test_a_module_as_loss_function_is_an_error() -> None:
    model = new()
    model.loss_function = nn.Identity()
    with pytest.raises(WeightError, match=r"YolosForObjectDetection\.loss_function was set to a module.*ignores silently"):
        weigh(model)


def test_a_function_around_the_models_own_is_weighted() -> None:
    model, calls = new(), []

    def loss_function(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return ForObjectDetectionLoss(*args, **kwargs)

    model.loss_function = loss_function
    assert_weighted(weigh(model))
    assert len(calls) == 1


def test_a_function_that_uses_another_criterion_is_an_error_and_not_unweighted() -> None:
    model = weigh(new())

    def loss_function(logits: Tensor, labels: Any, device: Any, boxes: Tensor, *args: Any, **kwargs: Any) -> Any:
        return boxes.sum(), {}, None

    model.loss_function = loss_function
    with pytest.raises(WeightError, match="YolosForObjectDetection computed a loss, but not with ImageLoss, so weights did not"):
        by_name(model, batch())
