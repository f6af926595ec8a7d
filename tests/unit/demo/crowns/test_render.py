"""Rendered crowns: the same from the same seed, with tight boxes inside the image."""

import numpy as np
import pytest

from headweights.demo.crowns import render
from headweights.demo.crowns.render import render_crowns


def test_the_same_seed_renders_the_same_image() -> None:
    one, other = render_crowns("a", 96, 5), render_crowns("a", 96, 5)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.boxes, other.boxes)


def test_another_seed_renders_another_image() -> None:
    one, other = render_crowns("a", 96, 5), render_crowns("a", 96, 6)
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("size", [32, 128, 150])
def test_boxes_lie_inside_the_image_and_hold_something(size: int) -> None:
    for seed in range(20):
        image = render_crowns("a", size, seed)
        assert image.image.shape == (size, size, 3)
        assert image.image.dtype == np.uint8
        assert len(image.boxes) >= 1
        assert image.ignored is None
        assert (image.boxes >= 0).all()
        assert (image.boxes <= size).all()
        assert (image.boxes[:, 2:] - image.boxes[:, :2] >= render.SMALLEST_BOX).all()


def test_boxes_are_tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Painted in a colour of their own, crowns fill their boxes to each side and nothing outside of them."""
    pink = np.array([255.0, 0.0, 255.0], dtype=np.float32)
    monkeypatch.setattr(render, "_lit_crown", lambda crown, sun, rng: np.broadcast_to(pink, (*crown.mask.shape, 3)))
    monkeypatch.setattr(render, "_ground", lambda size, rng: np.zeros((size, size, 3), dtype=np.float32))
    monkeypatch.setattr(render, "_shadow", lambda crown, sun: np.ones(crown.mask.shape, dtype=np.float32))
    monkeypatch.setattr(render.cv2, "GaussianBlur", lambda image, kernel, sigma: image)
    for seed in range(20):
        image = render_crowns("a", 128, seed)
        crown = image.image[..., 0] > 100
        outside = crown.copy()
        for left, top, right, bottom in image.boxes.astype(int):
            inside = crown[top:bottom, left:right]
            for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert side.any()
            outside[top:bottom, left:right] = False
        assert not outside.any()


def test_crowns_are_lighter_towards_the_sun_and_shadows_fall_away_from_it() -> None:
    crown = render._grow(128, 20.0, np.random.default_rng(0))
    assert crown is not None
    sun = render._Sun(1.0, 0.0, 1.0)
    lit = render._lit_crown(crown, sun, np.random.default_rng(1)).mean(axis=2)
    columns = np.broadcast_to(np.arange(128), (128, 128))
    assert lit[crown.mask & (columns > crown.x)].mean() > lit[crown.mask & (columns < crown.x)].mean()
    dark = render._shadow(crown, sun) < 0.9
    assert columns[dark].mean() < crown.x
