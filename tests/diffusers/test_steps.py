"""The correction on diffusers' schedulers, against exact answers on the line."""

import warnings
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sfbench.diffusers as fusion
from sfbench.sampling.errors import TrustWarning
from synthetic import GaussianMixture, LogLinearPool

from .line import line
from .pipelines import draw, with_adapters

SDE = {"algorithm_type": "sde-dpmsolver++"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
# name: (class, options, what the networks predict, kind)
SUPPORTED = {
    "dpm order 1": ("DPMSolverMultistepScheduler", {**SDE, "solver_order": 1}, "epsilon", "vp"),
    "dpm order 1 log-SNR": (
        "DPMSolverMultistepScheduler",
        {**SDE, "use_lu_lambdas": True, "solver_order": 1},
        "epsilon",
        "vp",
    ),
    "dpm order 2": ("DPMSolverMultistepScheduler", SDE, "epsilon", "vp"),
    "dpm order 2 Karras": ("DPMSolverMultistepScheduler", {**SDE, "use_karras_sigmas": True}, "epsilon", "vp"),
    "dpm order 3 Karras": (
        "DPMSolverMultistepScheduler",
        {**SDE, "use_karras_sigmas": True, "solver_order": 3},
        "epsilon",
        "vp",
    ),
    "dpm v": ("DPMSolverMultistepScheduler", {**SDE, "prediction_type": "v_prediction"}, "v", "vp"),
    "dpm Stable Diffusion": ("DPMSolverMultistepScheduler", {**SDE, **SD}, "epsilon", "vp"),
    "dpm ends early": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"},
        "epsilon",
        "vp",
    ),
    "dpm flow order 1": ("DPMSolverMultistepScheduler", {**SDE, **FLOW, "solver_order": 1}, "velocity", "flow"),
    "dpm flow shifted": ("DPMSolverMultistepScheduler", {**SDE, **FLOW, "flow_shift": 3.0}, "velocity", "flow"),
    "dpm single step": ("DPMSolverSinglestepScheduler", {**SDE, "lower_order_final": True}, "epsilon", "vp"),
    "edm": ("EDMDPMSolverMultistepScheduler", SDE, "edm", "edm"),
    "sa": ("SASolverScheduler", {}, "epsilon", "vp"),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}, "epsilon", "vp"),
    "ddpm large variance": ("DDPMScheduler", {"clip_sample": False, "variance_type": "fixed_large"}, "epsilon", "vp"),
    "ddpm x0": ("DDPMScheduler", {"clip_sample": False, "prediction_type": "sample"}, "x0", "vp"),
    "ddim eta 1": ("DDIMScheduler", {"clip_sample": False}, "epsilon", "vp"),
    "euler ancestral": ("EulerAncestralDiscreteScheduler", {}, "epsilon", "vp"),
    "euler ancestral v": ("EulerAncestralDiscreteScheduler", {"prediction_type": "v_prediction"}, "v", "vp"),
    "kdpm2 ancestral": ("KDPM2AncestralDiscreteScheduler", {}, "epsilon", "vp"),
    "ltx": ("LTXEulerAncestralRFScheduler", {}, "velocity", "flow"),
}
REFUSED = {
    "LCMScheduler": ({}, "consistency"),
    "TCDScheduler": ({}, "consistency"),
    "FlowMatchLCMScheduler": ({}, "consistency"),
    "FlowMatchEulerDiscreteScheduler": ({"stochastic_sampling": True}, "stochastic_sampling"),
    "EulerDiscreteScheduler": ({}, "deterministic"),
    "HeunDiscreteScheduler": ({}, "deterministic"),
    "UniPCMultistepScheduler": ({}, "deterministic"),
    "DEISMultistepScheduler": ({}, "deterministic"),
    "DPMSolverMultistepScheduler": ({}, "deterministic"),
    "PNDMScheduler": ({}, "deterministic"),
}
# A second problem, of unequal widths, on which nothing was chosen.
OTHER = (
    GaussianMixture([0.5, 0.5], [[-0.75], [1.0]], [0.125**2, 0.375**2]),
    GaussianMixture([0.7, 0.3], [[-1.0], [0.75]], [0.3**2, 0.15**2]),
)


def scheduler(name: str) -> Any:
    kind, options, *_ = SUPPORTED[name]
    return getattr(diffusers, kind)(**options)


def mass(laws: tuple[GaussianMixture, ...], weights: tuple[float, ...]) -> float:
    """Share of the barycenter on x > 0, by quadrature."""
    x = np.linspace(-8, 8, 200_001)
    log_density = sum(w * law.log_prob(x[:, None]) for w, law in zip(weights, laws, strict=True))
    density = np.exp(log_density - log_density.max())
    return float(density[x > 0].sum() / density.sum())


def drawn(name: str, laws: Any, sampler: str = "corrected", n: int = 3000, **options: Any) -> Any:
    *_, predicts, kind = SUPPORTED[name]
    pipe, networks = line(laws, scheduler(name), predicts, kind)
    weights = options.pop("weights", (0.5, 0.5))
    with fusion.fused(pipe, [pipe, *networks[1:]], weights):
        settings = {"steps": 32, "rng": 0, "verbose": False, "pilot": 0} | options
        return fusion.sample(pipe, None, n, sampler, **settings)


def right(sample: Any) -> float:
    return float(sample.weights @ (sample.latents.numpy().ravel() > 0))


@pytest.mark.filterwarnings("ignore:.*extrapolated")
@pytest.mark.parametrize("name", SUPPORTED)
def test_supported_schedulers_reach_the_barycenter_in_32_steps(name: str, laws: Any) -> None:
    truth = mass(laws, (0.5, 0.5))
    assert truth == pytest.approx(0.81, abs=1e-3)
    result = drawn(name, laws)
    assert right(result) == pytest.approx(truth, abs=0.03)
    assert result.law == "KL barycenter p_w (log-linear pool)"
    log_z = LogLinearPool(laws, [0.5, 0.5]).log_partition().value
    assert result.diagnostics.log_partition.value == pytest.approx(log_z, abs=0.06)


def test_a_grid_that_ends_too_early_is_reported(laws: Any) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = drawn("dpm Stable Diffusion", laws, n=256)
    assert any(w.category is TrustWarning and "use_karras_sigmas" in str(w.message) for w in seen)
    assert not result.diagnostics.trustworthy


@pytest.mark.parametrize("name", ["dpm order 2", "dpm flow shifted", "ddpm", "euler ancestral", "edm"])
def test_so_they_do_on_another_problem(name: str) -> None:
    assert right(drawn(name, OTHER)) == pytest.approx(mass(OTHER, (0.5, 0.5)), abs=0.03)


def test_the_fused_law_is_another(laws: Any) -> None:
    result = drawn("dpm order 2", laws, "fused")
    assert right(result) == pytest.approx(0.41, abs=0.03)
    assert result.law.startswith("fused law P_w")
    assert np.ptp(result.log_weights) == 0.0


def test_three_experts_of_unequal_weights(laws: Any) -> None:
    three, weights = (*laws, OTHER[0]), (0.2, 0.5, 0.3)
    assert right(drawn("dpm order 2 Karras", three, weights=weights)) == pytest.approx(mass(three, weights), abs=0.03)


@pytest.mark.parametrize(
    "name", ["dpm order 2 Karras", "dpm order 3 Karras", "sa", "dpm single step", "kdpm2 ancestral", "edm"]
)
def test_resampling_takes_the_memory_of_the_scheduler_with_it(name: str, laws: Any) -> None:
    result = drawn(name, laws, threshold=0.999)
    assert result.diagnostics.n_resamplings >= 4
    assert right(result) == pytest.approx(0.81, abs=0.03)


def test_memory_that_stays_behind_would_be_seen(laws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sfbench.diffusers import steps

    monkeypatch.setattr(steps, "_permuted", lambda value, *_: value)
    result = drawn("dpm order 2 Karras", laws, threshold=0.999)
    x = result.latents.numpy().ravel()
    spread = [float(np.abs(x - centre).min()) for centre in (10 / 6, -0.5)]
    wrong = right(result)
    kept = drawn("dpm order 2 Karras", laws, threshold=0.999)
    monkeypatch.undo()
    proper = drawn("dpm order 2 Karras", laws, threshold=0.999)
    assert spread[0] < 1.0
    assert right(kept) == wrong
    width = [float(np.std(r.latents.numpy()[r.latents.numpy() > 0.5])) for r in (result, proper)]
    assert width[0] > 1.1 * width[1]


@pytest.mark.parametrize(("forgotten", "kind"), [("alpha", "dpm flow order 1"), ("left", "ddpm")])
def test_other_weights_would_be_seen(forgotten: str, kind: str, laws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sfbench.diffusers.schedules import Level, Schedule
    from sfbench.diffusers.steps import WatchedSteps

    if forgotten == "alpha":  # a velocity taken for a predicted noise
        monkeypatch.setattr(Schedule, "data_scale", lambda self, level: level.noise / max(level.alpha, 1e-9))
    else:  # the rule of left ends, and nothing for the last step

        def left(self: Any, snr: float, spread: Any, last: bool, end: float) -> None:
            if self._before is not None:
                step = 0.5 * np.log(snr / self._before[0])
                self.particles.log_weights[0] -= step * self._before[0] * self._before[1]

        monkeypatch.setattr(WatchedSteps, "_add_weights", left)
    assert abs(right(drawn(kind, laws)) - 0.81) > 0.06
    assert Level(1.0, 1.0, 1.0).log_snr == 0.0


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, (_, words) in REFUSED.items()])
def test_other_schedulers_are_refused_with_the_reason(name: str, words: str, laws: Any) -> None:
    made = getattr(diffusers, name)(**REFUSED[name][0])
    pipe, networks = line(laws, made)
    with fusion.fused(pipe, [pipe, networks[1]]), pytest.raises(fusion.NoiseScheduleError, match=words):
        fusion.sample(pipe, None, 4, "corrected", steps=4)


def test_one_hot_weights_have_no_weight(laws: Any) -> None:
    result = drawn("dpm order 2", laws, weights=(0.0, 1.0), n=64)
    assert np.ptp(result.log_weights) == 0.0
    assert result.diagnostics.log_partition.value == 0.0


def test_weights_that_change_with_the_noise_are_used(laws: Any) -> None:
    bins = fusion.WeightBins([8.0], [[0.5, 0.5], [1.0, 0.0]])
    result = drawn("dpm order 2 Karras", laws, weights=bins, n=256)
    assert np.ptp(result.log_weights) > 0.1


# ------------------------------------------------------------------------------------------------- guidance
@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd15", "sdxl", "sd3", "dit", "modular"])
def test_guided_fields_are_weighted_and_named(family: str) -> None:
    pipe = with_adapters(family)
    size = {} if family == "dit" else {"height": 16, "width": 16}
    guided = {} if family == "modular" else {"guidance_scale": 4.0}
    with fusion.fused(pipe, ["first", "second"], [0.5, 0.5]):
        made = fusion.sde_scheduler(pipe)
        prompt = 1 if family == "dit" else "a cat"
        options = {"steps": 3, "scheduler": made, "rng": 0, "verbose": False, "pilot": 2, **size, **guided}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # four images of random networks cannot carry the weights
            result = fusion.sample(pipe, prompt, 4, "corrected", output_type="pil", threshold=0.9, **options)
    assert "guided fields" in result.law
    assert len(result.images) == 4
    assert result.pilot.n == 2
    assert np.isfinite(result.log_weights).all()
    assert pipe.scheduler is not made


def test_guidance_that_is_not_linear_is_found_out() -> None:
    pipe = with_adapters("sd15")
    size = {"height": 16, "width": 16, "steps": 2, "rng": 0, "output_type": "latent"}
    made = fusion.sde_scheduler(pipe)
    with fusion.fused(pipe, ["first", "second"]):
        with pytest.raises(fusion.DiffusersError, match="guidance_rescale"):
            fusion.sample(pipe, "a cat", 2, scheduler=made, guidance_rescale=0.7, **size)
        result = fusion.sample(pipe, "a cat", 2, scheduler=made, guidance_rescale=0.7, linearise=True, **size)
        assert len(result.images) == 2
        rescaled = type(pipe).guidance_rescale
        try:  # as a pipeline would that rescales without being asked
            type(pipe).__mro__[1].guidance_rescale = property(lambda self: 0.7)
            with pytest.raises(fusion.DiffusersError, match="not a linear guidance"):
                fusion.sample(pipe, "a cat", 2, scheduler=made, **size)
            with pytest.raises(fusion.DiffusersError, match="not a linear guidance"):
                fusion.sample(pipe, "a cat", 1, scheduler=made, **size)
        finally:
            type(pipe).__mro__[1].guidance_rescale = rescaled
    torch.manual_seed(0)
    draw(pipe)
