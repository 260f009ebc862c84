"""Populations: exact counts, disjoint items, and refusals that name the largest feasible size."""

import re

import numpy as np
import pytest

from sfbench.data import PopulationError, make_populations
from sfbench.data.populations import class_counts

LABELS = np.repeat([7, 9, 1], [100, 80, 20])
ITEMS = np.arange(200)[:, None] * np.ones(3)


def test_exact_counts_disjoint_and_consistent():
    mixes = [{7: 0.1, 9: 0.9}, {7: 0.7, 9: 0.3}]
    populations = make_populations(ITEMS, LABELS, mixes, [30, 41], rng=0)
    seen = np.concatenate([index for _, _, index in populations])
    assert len(np.unique(seen)) == len(seen) == 71
    for (x, y, index), mix, n in zip(populations, mixes, (30, 41), strict=True):
        assert abs((y == 7).sum() - mix[7] * n) < 1
        np.testing.assert_array_equal(x, ITEMS[index])
        np.testing.assert_array_equal(y, LABELS[index])
        assert not np.array_equal(y, np.sort(y))


def test_depends_on_the_seed_alone():
    first, again, other = (make_populations(ITEMS, LABELS, [{7: 1.0}], 20, rng=s)[0][2] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("n", [1, 7, 10, 333])
def test_counts_add_up(n):
    mix = {0: 0.3, 1: 0.3, 2: 0.4}
    counts = class_counts(mix, n)
    assert sum(counts.values()) == n
    assert all(abs(counts[c] - n * share) < 1 for c, share in mix.items())


@pytest.mark.parametrize("disjoint", [True, False])
def test_largest_feasible_size_is_the_largest(disjoint):
    mixes = [{7: 0.9, 9: 0.1}, {7: 0.6, 9: 0.4}]
    with pytest.raises(PopulationError, match="largest feasible n is") as error:
        make_populations(ITEMS, LABELS, mixes, 500, disjoint=disjoint, rng=0)
    largest = int(re.search(r"feasible n is (\d+)", str(error.value)).group(1))
    assert len(make_populations(ITEMS, LABELS, mixes, largest, disjoint=disjoint, rng=0)) == 2
    with pytest.raises(PopulationError):
        make_populations(ITEMS, LABELS, mixes, largest + 2, disjoint=disjoint, rng=0)
    assert ("disjoint=False" in str(error.value)) == disjoint


def test_a_class_that_does_not_exist_leaves_nothing():
    with pytest.raises(PopulationError, match=r"class 3 has 0 items.*feasible n is 0"):
        make_populations(ITEMS, LABELS, [{3: 1.0}], 1)


def test_bad_input():
    for mixes, n in (([], 3), ([{7: 0.5}], 3), ([{7: 1.5, 9: -0.5}], 3), ([{7: 1.0}], 0), ([{7: 1.0}], [1, 2])):
        with pytest.raises(PopulationError):
            make_populations(ITEMS, LABELS, mixes, n)
    with pytest.raises(PopulationError, match="same number of items"):
        make_populations(ITEMS[:0], LABELS[:0], [{7: 1.0}], 1)
