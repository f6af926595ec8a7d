"""The provenance of mixed images."""

from __future__ import annotations

from headweights.provenance.origin import Origin, Part, Provenance, mix_provenance


def test_provenance_of_a_mixing_step_of_ones_own() -> None:
    a, b = Provenance((Part(Origin("a")),)), Provenance((Part(Origin("b")),), objects_weighted=True)
    mixed = mix_provenance([a, mix_provenance([a, b, None], [1, 1, 2])], [30, 10])
    assert [(part.origin.dataset, part.share) for part in mixed.parts] == [("a", 0.8125), ("b", 0.0625), (None, 0.125)]
    assert mixed.objects_weighted
    assert [part.share for part in mix_provenance([a, b], [0, 0]).parts] == [0.5, 0.5]
    assert mix_provenance([a, a], [1, 2]) == a
