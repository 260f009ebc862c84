"""The study of tokens: its likelihood bound against enumeration, its methods, and a tiny run to its claims."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common.study import write_rows
from benchmarks.tokens import networks as nets
from benchmarks.tokens.cells import TokensSpec, run_cell
from benchmarks.tokens.claims import evaluate_claims
from benchmarks.tokens.data import LETTERS, WINDOW, digits, windows
from benchmarks.tokens.plots import draw_figures


def test_masks_hide_as_many_sites_as_their_factors_say() -> None:
    x = np.random.default_rng(0).integers(3, size=(200, 10))
    noisy, factors = nets.masked(x, 3, np.random.default_rng(1))
    hidden = noisy == 3
    np.testing.assert_allclose(factors[hidden], np.repeat(1.0 / hidden.sum(axis=1), hidden.sum(axis=1)))
    np.testing.assert_array_equal(noisy[~hidden], x[~hidden])
    assert set(hidden.sum(axis=1)) == set(range(1, 11))


@pytest.mark.slow
def test_bits_of_exact_posteriors_are_the_entropy() -> None:
    """For the exact conditionals of a law the bound is its negative log-likelihood, in the mean over masks."""
    states = np.array(list(product(range(2), repeat=3)))
    probs = np.random.default_rng(2).dirichlet(np.ones(8))
    x = states[np.random.default_rng(3).choice(8, 3000, p=probs)]
    test = nets.masks(x, 2)
    rows = []
    for noisy in test[0]:
        held = np.all((noisy == 2) | (states == noisy), axis=1)
        own = probs * held / (probs * held).sum()
        rows += [[own[states[:, i] == v].sum() for v in range(2)] for i in np.flatnonzero(noisy == 2)]
    entropy = -float(probs @ np.log2(probs)) / 3.0
    assert nets.bits(np.array(rows), test).mean() == pytest.approx(entropy, abs=0.02)
    assert nets.bits(np.full((len(rows), 2), 0.5), test).mean() == pytest.approx(1.0)


def test_pools_and_mixtures_of_posteriors() -> None:
    each = list(np.random.default_rng(0).dirichlet(np.ones(4), size=(2, 50)))
    for combine in (nets.pooled, nets.mixed):
        np.testing.assert_allclose(combine(each, np.array([1.0, 0.0])), each[0], atol=1e-9)
        np.testing.assert_allclose(combine(each, np.array([0.3, 0.7])).sum(axis=1), 1.0)
    own = np.array([[0.9, 0.8, 0.7], [0.1, 0.2, 0.9]])
    weights = nets.mixing_weights(own, np.ones(3))
    grid = np.linspace(0.0, 1.0, 1001)
    values = [np.log(w * own[0] + (1.0 - w) * own[1]).sum() for w in grid]
    assert weights[0] == pytest.approx(grid[int(np.argmax(values))], abs=2e-3)


def test_merged_parameters_and_training() -> None:
    torch.manual_seed(0)
    one, other = nets.MaskedMLP(3, 4), nets.MaskedMLP(3, 4)
    same = nets.merged([one, other], np.array([0.0, 1.0]))
    assert torch.equal(same.body[0].weight, other.body[0].weight)
    x = np.tile([[0, 1, 2, 0]], (40, 1))
    test = nets.masks(x, 3)
    trained = nets.train(one, x, 30, 0, looks=3, rate=1e-2)
    before, after = (nets.bits(nets.posteriors(net, *test[:2]), test).mean() for net in (one, trained))
    assert after < 0.5 * before


def test_data() -> None:
    data = digits()
    assert [len(part) for part in (*data.auxiliaries, data.target, data.held_out)] == [400] * 4 + [370] * 2
    held = {row.tobytes() for row in data.held_out}
    assert not held & {row.tobytes() for part in (data.base, *data.auxiliaries, data.target) for row in part}
    text = windows("Hello,   WORLD! " * 8, np.random.default_rng(0))
    assert text.shape == (6, WINDOW)
    known = {("hello world " * 20)[i : i + WINDOW] for i in range(12)}
    assert {"".join(LETTERS[i] for i in row) for row in text} <= known


@pytest.mark.slow
def test_a_tiny_run_has_every_method_and_a_certificate(tmp_path: Path) -> None:
    rows = run_cell(TokensSpec("digits", 24, (32,), 2, 0))
    claims = evaluate_claims(rows)
    names = " ".join(claim.name for claim in claims)
    assert all(method in names for method in ("fine-tuned", "merged", "mixed", "uniform", "from scratch"))
    assert all(claim.holds for claim in claims if "gap" in claim.name)
    write_rows(tmp_path, "tokens", rows)
    assert draw_figures(tmp_path)[0].stat().st_size > 10_000
