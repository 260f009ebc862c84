"""Mis-wired networks are named with the cause; right ones are left in peace, on targets of several kinds."""

import warnings
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

import sfbench
from sfbench import FitWarning, VariancePreserving
from sfbench.fusion import check_wiring
from sfbench.nets import NetworkScore, build_network
from synthetic import GaussianMixture

from ..common import Foreign
from ..nets.exact_networks import ExactNetwork

VP = VariancePreserving()
LAW = GaussianMixture([0.5, 0.5], [[-0.8, -0.8, 0.8, 0.8], [0.8, 0.8, -0.8, 0.8]], [0.01, 0.02])
OTHER = GaussianMixture([0.3, 0.7], [[-0.8, -0.8, 0.8, 0.8], [0.8, 0.8, 0.8, -0.8]], [0.015, 0.02])
KINDS = ["epsilon", "x0", "v", "score"]


class Inside(nn.Module):
    """An exact network that says nothing of itself, and takes any number for a time, as trained ones do."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner = ExactNetwork(LAW, VP, kind)  # type: ignore[arg-type]

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.inner(x, t.abs().clamp(1e-3, 1.0))


def network(kind: str, declared: str | None = None, **options: Any) -> NetworkScore:
    return NetworkScore(Inside(kind), 4, VP, declared or kind, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", [LAW, GaussianMixture([0.6, 0.4], LAW.means, [0.02, 0.02]), OTHER], ids=repr)
def test_right_wirings_raise_no_alarm(kind: str, target: GaussianMixture) -> None:
    (report,) = check_wiring([network(kind)], target.sample(100, rng=0), process=VP)
    assert report.cause == ""


@pytest.mark.slow
def test_few_numbers_of_noise_raise_no_alarm() -> None:
    """On the line, the mean square of 32 numbers of noise is 1 within a quarter only, in every loss alike."""
    process = sfbench.OrnsteinUhlenbeck()
    models = [Foreign(GaussianMixture([1.0], [[mean]], 1.0), process) for mean in (-1.0, 0.3, 1.0)]
    for seed in range(40, 80):  # four of which did, relative to the loss for squares of 1
        x = np.random.default_rng(seed).standard_normal((100, 1))
        assert not any(report.cause for report in check_wiring(models, x, process=process, n_rows=32, rng=seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("declared", KINDS)
def test_a_wrong_parameterisation_is_named(kind: str, declared: str) -> None:
    if kind == declared:
        return
    with pytest.warns(FitWarning, match=f"'net' looks wired wrongly.*parameterisation='{kind}'"):
        check_wiring({"net": network(kind, declared)}, LAW.sample(100, rng=0), process=VP)


@pytest.mark.slow
@pytest.mark.parametrize("time", ["scaled", "log_snr", "c_noise"])
def test_a_wrong_scale_of_time_is_named(time: str) -> None:
    with pytest.warns(FitWarning, match="time='t'"):
        check_wiring([network("epsilon", time=time)], LAW.sample(100, rng=0), process=VP)


def test_sign_and_reversed_time_of_any_model_are_named() -> None:
    class Wrong:
        dim, process = 4, VP

        def __init__(self, sign: float, end: float | None) -> None:
            self.sign, self.end = sign, end

        def score(self, x: np.ndarray, t: float) -> np.ndarray:
            return self.sign * Foreign(LAW, VP).score(x, t if self.end is None else self.end - t)

    x = LAW.sample(100, rng=0)
    with pytest.warns(FitWarning, match="sign turned"):
        check_wiring([Wrong(-1.0, None)], x, process=VP)
    with pytest.warns(FitWarning, match="times reversed"):
        check_wiring([Wrong(1.0, 1.0)], x, process=VP)


def test_pixels_are_named() -> None:
    x = np.clip(np.round((LAW.sample(100, rng=0) + 1.0) * 127.5), 0, 255)
    with pytest.warns(FitWarning) as seen:
        check_wiring([network("epsilon")], x, process=VP)
    texts = [str(w.message) for w in seen]
    assert any("standard deviation" in text for text in texts)
    assert any("0...255" in text for text in texts)


def test_it_is_a_top_level_name() -> None:
    assert sfbench.check_wiring is check_wiring


@pytest.mark.slow
def test_mistakes_come_in_pairs() -> None:
    wrong = network("x0", "epsilon", time="log_snr")
    with pytest.warns(FitWarning, match="time='t' and parameterisation='x0'"):
        check_wiring([wrong], LAW.sample(100, rng=0), process=VP)


@pytest.mark.slow
def test_reversed_times_of_a_network_are_found() -> None:
    class Reversed(Inside):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return super().forward(x, 1.0 - t)

    with pytest.warns(FitWarning, match="times reversed"):
        check_wiring([NetworkScore(Reversed("v"), 4, VP, "v")], LAW.sample(100, rng=0), process=VP)


# ---------------------------------------------------------------------- fits look by themselves
class Counted(Foreign):
    """A foreign model that counts the points it is asked for."""

    def __init__(self, law: GaussianMixture, sign: float = 1.0) -> None:
        super().__init__(law, VP)
        object.__setattr__(self, "sign", sign)
        object.__setattr__(self, "points", [])

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        self.points.append(len(x))
        return self.sign * super().score(x, t)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:misfit")  # which a wrong wiring is, too
def test_fuse_names_the_model_that_is_wired_wrongly_and_fits_the_same_weights() -> None:
    x = LAW.sample(200, rng=0)
    models = {"right": network("epsilon"), "wrong": network("epsilon", "v")}
    with pytest.warns(FitWarning, match="'wrong' looks wired wrongly") as seen:
        found = sfbench.fuse(models, x, process=VP, rng=0)
    assert {w.filename for w in seen} == {__file__}
    assert [str(w.message) for w in seen] == list(found.warnings)
    assert sum("wired wrongly" in text for text in found.warnings) == 1
    unchecked = sfbench.fuse(models, x, process=VP, check_models=False, rng=0)
    np.testing.assert_array_equal(found.weights, unchecked.weights)
    np.testing.assert_array_equal(found.gram.G, unchecked.gram.G)


def test_the_look_is_cheap_and_leaves_exact_laws_alone() -> None:
    x = LAW.sample(100, rng=0)
    extra = []
    for check in (True, False):
        models = [Counted(LAW), Counted(OTHER)]
        sfbench.fuse(models, x, process=VP, check_models=check, rng=0)
        extra.append(sum(models[0].points))
    assert 0 < extra[0] - extra[1] <= 20 * 32
    fit = sfbench.fuse([LAW, OTHER], x, process=VP, rng=0)
    assert fit.weights[0] > 0.5
    with pytest.raises(sfbench.SfbenchError, match="check_models must be True or False"):
        sfbench.fuse([LAW, OTHER], x, process=VP, check_models="yes", rng=0)  # type: ignore[call-overload]


def test_times_that_a_process_does_not_have_are_tried_in_silence() -> None:
    process = sfbench.VarianceExploding(25.0)  # whose sigma overflows at 1000 t
    model = NetworkScore(build_network("mlp", {"dim": 2, "width": 4, "depth": 1}, process=process), 2, process)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        check_wiring([model], np.random.default_rng(0).standard_normal((60, 2)), process=process)
    assert not [w for w in heard if issubclass(w.category, RuntimeWarning)]
