"""A property of all readers: any damage to a file ends in a volume where it lies, or in one sentence."""

import os
from collections import Counter

import pytest
from fuzzing import ACCEPTED, BAD, KINDS, REFUSED, outcomes

FILES = 25 * len(KINDS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each file is read in a fork")
def test_any_damage_ends_in_a_volume_in_its_place_or_in_one_sentence() -> None:
    results = list(outcomes(FILES))
    bad = [f"{name}, seed {seed}: {found.kind} {found.message}" for name, seed, found in results if found.kind in BAD]
    assert not bad, "\n".join(bad)
    counts = Counter(found.kind for _, _, found in results)
    assert min(counts[ACCEPTED], counts[REFUSED]) > FILES / 10, "both ends are tried"
