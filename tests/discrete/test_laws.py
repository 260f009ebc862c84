"""Laws on product spaces against brute-force enumeration that shares no code with them."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import IntractableError, NotFiniteError, ShapeError, SyntheticError, UnknownNameError
from synthetic.discrete import (
    DiscreteLaw,
    DiscretePool,
    DiscreteTable,
    MarkovChain,
    ProductMixture,
    all_states,
    discrete_kl,
    discrete_total_variation,
    ising_chain,
    ising_lattice,
    known_discrete_problems,
    make_discrete_problem,
    potts_chain,
    potts_lattice,
)

LAWS: dict[str, DiscreteLaw] = {
    "product": make_discrete_problem("product_mixtures", components=1, length=3).auxiliaries[0],
    "mixture": make_discrete_problem("product_mixtures", components=3, length=3).auxiliaries[1],
    "chain": make_discrete_problem("markov_chains", length=3).auxiliaries[0],
    "one site": MarkovChain([0.2, 0.3, 0.5], np.empty((0, 3, 3))),
    "table": DiscreteTable.from_law(make_discrete_problem("markov_chains", length=3).auxiliaries[1]),
    "pool of mixtures": make_discrete_problem("product_mixtures", length=3).target,
    "pool of chains": make_discrete_problem("markov_chains", length=3).target,
    "lattice": ising_lattice(2, 2, 0.4, [0.1, -0.3, 0.2, 0.0]),
    "zeros": MarkovChain([0.5, 0.5, 0.0], [[[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]] * 2),
}


def states_of(law: DiscreteLaw) -> np.ndarray:
    return np.array(list(itertools.product(range(law.alphabet), repeat=law.length)))


@pytest.mark.parametrize("name", LAWS)
def test_posteriors_are_those_of_enumeration(name: str) -> None:
    law = LAWS[name]
    x = states_of(law)
    np.testing.assert_array_equal(x, all_states(law.alphabet, law.length))
    p = np.exp(law.log_prob(x))
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    evidence = np.random.default_rng(0).gamma(0.5, size=(4, law.length, law.alphabet))
    log_evidence, posteriors = law.infer(evidence)
    for row, e in enumerate(evidence):
        joint = p * np.prod(e[np.arange(law.length), x], axis=1)
        assert log_evidence[row] == pytest.approx(np.log(joint.sum()), abs=1e-12)
        for site in range(law.length):
            marginal = [joint[x[:, site] == v].sum() / joint.sum() for v in range(law.alphabet)]
            np.testing.assert_allclose(posteriors[row, site], marginal, atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_samples_follow_the_law(name: str) -> None:
    law = LAWS[name]
    n = 20_000
    drawn = DiscreteTable.from_samples(law.sample(n, rng=1), law.alphabet)
    p = np.exp(law.log_prob(states_of(law)))
    chi = np.abs(drawn.probs - p) / np.sqrt(p * (1 - p) / n + 1e-300)
    assert chi.max() < 5.0
    np.testing.assert_array_equal(law.sample(5, rng=3), law.sample(5, rng=3))


@pytest.mark.parametrize("family", sorted(known_discrete_problems()))
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), raw=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3))
def test_pools_are_those_of_enumeration(family: str, seed: int, raw: list[float]) -> None:
    problem = make_discrete_problem(family, rng=seed)
    weights = (np.array(raw) + 1e-3) / (sum(raw) + 3e-3)
    pool = problem.barycenter(weights)
    x = all_states(pool.alphabet, pool.length)
    logs = sum(w * law.log_prob(x) for w, law in zip(weights, problem.auxiliaries, strict=True))
    z = np.exp(logs).sum()
    assert pool.log_partition().value == pytest.approx(np.log(z), abs=1e-10)
    np.testing.assert_allclose(pool.log_prob(x), logs - np.log(z), atol=1e-9)
    assert z <= 1 + 1e-12
    # The barycenter's value: sum_i w_i KL(p_w || p_i) = -log Z, and no other law of the family does better.
    value = sum(w * discrete_kl(pool, law).value for w, law in zip(weights, problem.auxiliaries, strict=True))
    assert value == pytest.approx(-np.log(z), abs=1e-9)
    other = sum(
        w * discrete_kl(problem.auxiliaries[0], law).value for w, law in zip(weights, problem.auxiliaries, strict=True)
    )
    assert other >= value - 1e-12


def test_pools_of_ising_laws_average_couplings_and_fields() -> None:
    w, fields = [0.3, 0.7], np.random.default_rng(0).normal(size=(2, 6))
    for make in (lambda j, h: ising_lattice(2, 3, j, h), lambda j, h: ising_chain(6, j, h)):
        pool = DiscretePool([make(0.5, fields[0]), make(-0.2, fields[1])], w)
        expected = make(0.3 * 0.5 - 0.7 * 0.2, w @ fields)
        assert discrete_total_variation(pool, expected).value < 1e-12


def test_chains_and_lattices_of_one_row_agree() -> None:
    field = np.random.default_rng(1).normal(size=(5, 3))
    assert discrete_total_variation(potts_chain(5, 3, 0.7, field), potts_lattice(1, 5, 3, 0.7, field)).value < 1e-12
    ring = potts_lattice(1, 5, 2, 0.7, periodic=True)
    assert ring.log_prob([[0, 0, 1, 1, 0]])[0] == pytest.approx(ring.log_prob([[0, 1, 1, 0, 0]])[0])
    assert discrete_total_variation(ring, potts_lattice(1, 5, 2, 0.7)).value > 0.01


def test_long_chains_need_no_enumeration() -> None:
    problem = make_discrete_problem("potts_chains", length=200, alphabet=4)
    pool = problem.target
    assert isinstance(pool.law, MarkovChain)
    x = pool.sample(2000, rng=0)
    gap = sum(w * law.log_prob(x) for w, law in zip(problem.true_weights, problem.auxiliaries, strict=True))
    np.testing.assert_allclose(gap - pool.log_partition().value, pool.log_prob(x), atol=1e-8)
    kl = discrete_kl(pool, problem.auxiliaries[0])
    ratio = pool.log_prob(x) - problem.auxiliaries[0].log_prob(x)
    assert kl.value == pytest.approx(ratio.mean(), abs=5 * ratio.std() / np.sqrt(len(x)))


def test_pools_of_products_are_products_and_vertices_are_the_auxiliaries() -> None:
    laws = make_discrete_problem("product_mixtures", components=1, length=30).auxiliaries
    assert isinstance(DiscretePool(laws, [0.2, 0.3, 0.5]).law, ProductMixture)
    assert discrete_kl(DiscretePool(laws, [0.0, 1.0, 0.0]).law, DiscretePool(laws, [0.0, 1.0, 0.0])).value < 1e-12
    chain = LAWS["zeros"]
    pool = DiscretePool([chain, LAWS["chain"]], [0.0, 1.0])  # 0^0 = 1: a law of weight zero cuts no support
    assert discrete_total_variation(pool, LAWS["chain"]).value < 1e-12


def test_kl_is_infinite_where_support_is_missed() -> None:
    with pytest.raises(NotFiniteError, match="inf"):
        discrete_kl(LAWS["chain"], LAWS["zeros"])
    assert discrete_kl(LAWS["zeros"], LAWS["chain"]).value > 0


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ProductMixture([1.0], [[[0.5, 0.6]]]), SyntheticError, "sum to 1"),
        (lambda: ProductMixture([1.0], [[[-0.5, 1.5]]]), SyntheticError, "at least 0"),
        (lambda: ProductMixture([1.0], [[0.5, 0.5]]), ShapeError, "3 axes"),
        (lambda: MarkovChain([0.5, 0.5], np.ones((2, 3, 3)) / 3), ShapeError, "transitions"),
        (lambda: MarkovChain.from_potentials(np.full((2, 2), -np.inf), np.zeros((1, 2, 2))), IntractableError, "Z"),
        (lambda: MarkovChain.from_potentials(np.full((2, 2), np.nan), np.zeros((1, 2, 2))), SyntheticError, "NaN"),
        (lambda: DiscreteTable(np.zeros(4), 2, 2), SyntheticError, "sum to 1"),
        (lambda: DiscreteTable(np.zeros(3), 2, 2), ShapeError, r"\(4,\)"),
        (lambda: all_states(2, 60), IntractableError, "too many"),
        (lambda: LAWS["chain"].log_prob([[0, 1, 3]]), SyntheticError, r"x\[0, 2\] is 3"),
        (lambda: LAWS["chain"].log_prob([[0.0, 1.0, 1.0]]), SyntheticError, "whole numbers"),
        (lambda: LAWS["chain"].log_prob([[0, 1]]), ShapeError, r"\(n, 3\)"),
        (lambda: LAWS["chain"].infer(np.full((1, 3, 3), np.nan)), SyntheticError, "finite"),
        (lambda: LAWS["zeros"].infer(np.tile([0.0, 0.0, 1.0], (1, 3, 1))), SyntheticError, "no posterior"),
        (lambda: DiscretePool([LAWS["chain"], LAWS["lattice"]], [0.5, 0.5]), ShapeError, "one space"),
        (lambda: DiscretePool([], []), ShapeError, "at least one"),
        (lambda: DiscretePool([object()], [1.0]), SyntheticError, "not a law"),
        (lambda: ising_chain(4, np.nan), NotFiniteError, "coupling"),
        (lambda: ising_chain(4, 0.1, [1.0, 2.0]), ShapeError, "field"),
        (lambda: make_discrete_problem("markov_chain"), UnknownNameError, "markov_chains"),
        (lambda: make_discrete_problem("markov_chains", size=3), SyntheticError, "takes no parameter"),
        (lambda: make_discrete_problem("markov_chains", contrast=-1.0), SyntheticError, "contrast"),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_disjoint_supports_have_no_pool() -> None:
    left, right = (ProductMixture([1.0], [[p, p]]) for p in ([1.0, 0.0], [0.0, 1.0]))
    with pytest.raises(IntractableError):
        DiscretePool([left, right], [0.5, 0.5])
    with pytest.raises(IntractableError):
        DiscretePool([DiscreteTable.from_law(left), DiscreteTable.from_law(right)], [0.5, 0.5])
