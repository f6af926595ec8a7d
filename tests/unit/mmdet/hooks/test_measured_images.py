"""A measured image counts for one data set, also where it is mixed from several."""

from __future__ import annotations

from headweights.mmdet.hooks.contributions import images_of
from headweights.provenance.origin import ORIGINS, Origin, Part


def test_a_mixed_image_counts_for_the_data_set_with_the_largest_area() -> None:
    real = Part(Origin("real", {"": 0.5}), 0.3), Part(Origin("real", {"": 2.0}), 0.3)  # two images that weigh differently
    mixed = {ORIGINS: (Part(Origin("rendered"), 0.4), *real)}
    other, nothing = {ORIGINS: (Part(Origin("not in the mix")),)}, {ORIGINS: ()}
    assert images_of([mixed, other, nothing, {}], ["real", "rendered"]) == {"real": [0], "rendered": []}
