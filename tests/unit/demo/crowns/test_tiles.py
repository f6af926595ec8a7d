"""Cutting tiles: boxes stay on their crowns, and slivers are ignored."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headweights.demo.crowns.photographs import cut_tile, cut_tiles, read_photograph
from headweights.demo.scenes import Scene, as_boxes, of_one_class


def picture(width: int, height: int, boxes: object) -> Scene:
    """A picture in which every pixel says where it is: blue is x, green is y."""
    rows, columns = np.indices((height, width))
    image = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    return of_one_class("picture", image, as_boxes(boxes))


def test_tiles_lie_side_by_side_and_what_does_not_fill_one_is_left_out() -> None:
    tiles = list(cut_tiles(picture(250, 130, []), 60))
    assert [tile.name for tile in tiles] == [f"picture_{x}_{y}" for y in (0, 60) for x in (0, 60, 120, 180)]
    assert all(tile.image.shape == (60, 60, 3) for tile in tiles)
    assert all(tile.boxes.shape == tile.ignored.shape == (0, 4) for tile in tiles)


def test_a_picture_smaller_than_a_tile_has_none() -> None:
    assert list(cut_tiles(picture(59, 100, []), 60)) == []


@given(st.integers(0, 180), st.integers(0, 180), st.integers(1, 60), st.integers(1, 60), st.integers(0, 140), st.integers(0, 140))
def test_a_box_keeps_its_pixels(x: int, y: int, width: int, height: int, left: int, top: int) -> None:
    """The pixels in the tile's box are those of the picture's box that lie in the tile, by the place that each pixel names."""
    tile = cut_tile(picture(240, 240, [[x, y, x + width, y + height]]), left, top, 100)
    seen = {(int(b), int(g)) for b, g, _ in tile.image.reshape(-1, 3)}
    wanted = {(i, j) for i in range(x, x + width) for j in range(y, y + height)} & seen
    kept, ignored = len(tile.boxes), len(tile.ignored)
    assert kept + ignored == bool(wanted)
    assert kept == (bool(wanted) and len(wanted) >= 0.5 * width * height)
    for a, b, c, d in [*tile.boxes.astype(int), *tile.ignored.astype(int)]:
        assert {(int(p), int(q)) for p, q, _ in tile.image[b:d, a:c].reshape(-1, 3)} == wanted


def test_a_crown_cut_in_half_keeps_a_box_and_a_sliver_is_ignored() -> None:
    tile = cut_tile(picture(200, 200, [[90, 10, 110, 30], [91, 50, 111, 70], [100, 90, 120, 99]]), 0, 0, 100)
    assert tile.boxes.tolist() == [[90, 10, 100, 30]]
    assert tile.ignored.tolist() == [[91, 50, 100, 70]]


def test_real_tiles_are_pieces_of_their_picture() -> None:
    whole = read_photograph("OSBS")
    for tile in cut_tiles(whole, 128):
        left, top = (int(number) for number in tile.name.split("_")[-2:])
        assert np.array_equal(tile.image, whole.image[top : top + 128, left : left + 128])
        assert (tile.boxes >= 0).all()
        assert (tile.boxes <= 128).all()
