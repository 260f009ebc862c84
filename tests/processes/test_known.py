"""Every named process keeps the identities that samplers rely on, and `check_process` finds what breaks them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sfbench
from sfbench import FusedScore, GridError, SfbenchError
from sfbench.processes import (
    FlowMatching,
    ForwardProcess,
    Tabulated,
    beta_schedule,
    check_process,
    from_betas,
    known_processes,
    make_process,
    register_process,
)
from synthetic import GaussianMixture

every_process = pytest.mark.parametrize("name", known_processes())


@every_process
def test_named_processes_pass_the_check(name: str) -> None:
    process = make_process(name)
    assert check_process(process) is process
    assert process == make_process(name)
    assert hash(process) == hash(make_process(name))


@given(name=st.sampled_from(known_processes()), share=st.floats(1e-6, 1.0))
def test_time_at_inverts_the_ratio(name: str, share: float) -> None:
    process = make_process(name)
    t = share * process.horizon
    assert float(process.time_at(process.log_snr(t))) == pytest.approx(t, rel=1e-6)


@every_process
def test_the_generic_inverse_agrees_with_the_closed_one(name: str) -> None:
    process = make_process(name)
    levels = process.log_snr(process.horizon * np.array([1e-4, 1e-2, 0.3, 0.9]))
    np.testing.assert_allclose(process.time_at(levels), ForwardProcess.time_at(process, levels), rtol=1e-9)


@pytest.mark.slow
@every_process
@pytest.mark.parametrize("sampler", ["fused", "ode", "corrected"])
def test_samplers_work_to_the_ends_of_every_process(name: str, sampler: str) -> None:
    """Two equal Gaussians: every sampler must return their law, whether or not f and g are singular at the ends."""
    process, law = make_process(name), GaussianMixture([1.0], [[0.3]], 0.5)
    score = FusedScore((law, law), (0.5, 0.5), process=process)
    with np.errstate(all="raise", under="ignore"):
        x = sfbench.sample(score, 4000, sampler, rng=0).x
    assert float(x.mean()) == pytest.approx(0.3, abs=0.06)
    assert float(x.var()) == pytest.approx(0.5, abs=0.06)


def test_a_table_of_betas_is_kept_exactly() -> None:
    betas = beta_schedule("scaled_linear", 50, 0.001, 0.2)
    process = from_betas(betas)
    times = np.arange(1, 51) / 50
    np.testing.assert_allclose(process.alpha(times) ** 2, np.cumprod(1 - betas), rtol=1e-12)
    np.testing.assert_allclose(process.sigma(times) ** 2, 1 - np.cumprod(1 - betas), rtol=1e-10)
    np.testing.assert_allclose(process.timestep(times), np.arange(50), atol=1e-12)


def test_many_linear_betas_are_the_continuous_process() -> None:
    """beta_i = beta(t_i)/N: DDPM's table is the variance-preserving process with (0.1, 20) up to 1/N."""
    times = np.array([0.01, 0.1, 0.5, 0.9])
    table, continuous = make_process("ddpm"), make_process("variance_preserving")
    np.testing.assert_allclose(table.log_snr(times), continuous.log_snr(times), atol=0.06)


def test_zero_terminal_signal_ends_one_step_earlier() -> None:
    betas = beta_schedule("linear", 100)
    process = from_betas(betas, zero_terminal_snr=True)
    assert process.alpha_bar[-1] == pytest.approx(0.0, abs=1e-15)
    assert process.alpha_bar[0] == pytest.approx(1 - betas[0])
    assert process.horizon == pytest.approx(0.99)
    assert check_process(process) is process


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_betas([0.1, 0.2]), "at least 3 numbers"),
        (lambda: from_betas([0.1, 0.2, 1.5]), "strictly between 0 and 1"),
        (lambda: from_betas([0.1, np.nan, 0.2]), "finite"),
        (lambda: Tabulated((0.9, 0.95, 0.5)), "strictly decrease"),
        (lambda: beta_schedule("quadratic"), "unknown kind 'quadratic'"),
        (lambda: beta_schedule("linear", 10, 0.5, 0.1), "beta_start <= beta_end"),
        (lambda: FlowMatching(1.0), "strictly between 0 and 1"),
        (lambda: make_process("karas"), "did you mean 'karras'"),
        (lambda: make_process("cosine").alpha(float("nan")), "t must be at least 0"),
        (lambda: make_process("ornstein_uhlenbeck").sigma(-1.0), "t must be at least 0"),
        (lambda: make_process("karras").perturb([[1.0]], float("nan")), "t must be finite"),
        (lambda: make_process("karras").perturb([[float("nan")]], 1.0), r"x0\[0, 0\] is nan"),
    ],
)
def test_bad_schedules_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SfbenchError, match=message):
        make()


# ---------------------------------------------------------------------- processes of one's own
@dataclass(frozen=True)
class Own(ForwardProcess):
    """Ornstein-Uhlenbeck at another speed, with one method spoilt on request."""

    spoilt: str = ""

    @property
    def horizon(self) -> float:
        return 2.5

    def alpha(self, t: Any) -> Any:
        value = np.exp(-2.0 * np.asarray(t, float))
        return (
            float(value.mean()) if self.spoilt == "elementwise" else 1.0 / value if self.spoilt == "rising" else value
        )

    def sigma(self, t: Any) -> Any:
        value = np.sqrt(-np.expm1(-4.0 * np.asarray(t, float)))
        return -value if self.spoilt == "negative" else value

    def f(self, t: Any) -> Any:
        return np.full_like(np.asarray(t, float), -1.0 if self.spoilt == "drift" else -2.0)

    def g(self, t: Any) -> Any:
        return np.full_like(np.asarray(t, float), np.sqrt(2.0) if self.spoilt == "diffusion" else 2.0)

    def prior_std(self, t: float) -> float:
        return 1.0


class Unequal(Own):
    """Compares by identity."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ("drift", r"Own.f contradicts alpha and sigma: it must be \(log alpha\)'"),
        ("diffusion", "Own.g contradicts alpha and sigma"),
        ("negative", "Own.sigma must be positive"),
        ("rising", "Own.log_snr must be strictly decreasing|Own.f contradicts"),
        ("elementwise", "Own.alpha must be elementwise"),
    ],
)
def test_a_contradiction_is_named(spoilt: str, message: str) -> None:
    with pytest.raises(GridError, match=message):
        check_process(Own(spoilt))
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    with pytest.raises(GridError, match=message):  # every verb that takes a process checks a foreign one
        FusedScore((law,), (1.0,), process=Own(spoilt))


def test_a_sound_process_of_ones_own_is_used_by_name() -> None:
    assert check_process(Own()) == Own()
    register_process("own_speed", Own)
    assert make_process("own_speed") == Own()
    assert "own_speed" in known_processes()
    with pytest.raises(SfbenchError, match="not built in"):
        register_process("karras", Own)


def test_processes_that_compare_by_identity_are_refused() -> None:
    with pytest.raises(GridError, match="frozen dataclass"):
        check_process(Unequal())


def test_what_is_not_a_process_is_named() -> None:
    class Scheduler:
        betas = (0.1, 0.2)

    with pytest.raises(GridError, match="from_betas"):
        check_process(Scheduler())
    with pytest.raises(GridError, match="call the class"):
        check_process(sfbench.OrnsteinUhlenbeck)
    assert replace(Own(), spoilt="") == Own()
