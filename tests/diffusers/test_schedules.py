"""What schedulers say: processes, predictions, timesteps, levels; and what is refused."""

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sfbench
import sfbench.diffusers as fusion
from sfbench.diffusers.schedules import dynamics_of
from sfbench.nets.parameterisation import EDM

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
KNOWN = {
    "DDPMScheduler": "vp",
    "DDIMScheduler": "vp",
    "PNDMScheduler": "vp",
    "EulerDiscreteScheduler": "vp",
    "EulerAncestralDiscreteScheduler": "vp",
    "HeunDiscreteScheduler": "vp",
    "LMSDiscreteScheduler": "vp",
    "UniPCMultistepScheduler": "vp",
    "DEISMultistepScheduler": "vp",
    "DPMSolverMultistepScheduler": "vp",
    "SASolverScheduler": "vp",
    "FlowMatchEulerDiscreteScheduler": "flow",
    "FlowMatchHeunDiscreteScheduler": "flow",
    "LTXEulerAncestralRFScheduler": "flow",
    "EDMEulerScheduler": "edm",
    "EDMDPMSolverMultistepScheduler": "edm",
}
REFUSED = {
    "LCMScheduler": "consistency",
    "TCDScheduler": "consistency",
    "FlowMatchLCMScheduler": "consistency",
    "CMStochasticIterativeScheduler": "consistency",
    "SCMScheduler": "consistency",
    "BlockRefinementScheduler": "tokens",
    "DiscreteDDIMScheduler": "tokens",
    "RePaintScheduler": "holes",
    "DDIMInverseScheduler": "from data to noise",
    "KarrasVeScheduler": "EDMEuler",
    "IPNDMScheduler": "not known",
}


def make(name: str, **options: Any) -> Any:
    return getattr(diffusers, name)(**options)


@pytest.mark.parametrize(("name", "kind"), KNOWN.items())
def test_the_process_has_the_levels_of_the_scheduler(name: str, kind: str) -> None:
    scheduler = make(name, **(SD if kind == "vp" else {}))
    schedule = fusion.from_scheduler(scheduler)
    assert schedule.kind == kind
    assert schedule.process == fusion.scheduler_process(scheduler)
    sfbench.processes.check_process(schedule.process)
    clean, noise = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), -1.0)
    if kind == "vp":
        times = [1, 250, 999]
        if name not in ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "SASolverScheduler"):
            bars = scheduler.alphas_cumprod[times].double()
            noisy = bars.sqrt() * 2.0 - (1 - bars).sqrt()
        else:
            steps = torch.tensor(times)
            noisy = torch.cat([scheduler.add_noise(clean, noise, t[None]).flatten() for t in steps]).double()
        t = (np.array(times) + 1) / 1000
    else:
        scheduler.set_timesteps(10)
        sigmas = np.asarray(scheduler.sigmas[:-1].double())[-3:]
        t = sigmas
        noisy = (1 - sigmas) * 2.0 - sigmas if kind == "flow" else 2.0 - sigmas
    ours = schedule.process.alpha(t) * 2.0 - schedule.process.sigma(t)
    np.testing.assert_allclose(ours, np.asarray(noisy), rtol=1e-4)


def test_timesteps_are_those_that_networks_are_given() -> None:
    table = fusion.from_scheduler(make("DDPMScheduler"))
    assert np.allclose([table.timestep(t) for t in (1 / 1000, 1.0)], [0.0, 999.0])
    flow = fusion.from_scheduler(make("FlowMatchEulerDiscreteScheduler", shift=3.0))
    assert (flow.timestep(0.25), flow.shift) == (250.0, 3.0)
    dynamic = fusion.from_scheduler(make("FlowMatchEulerDiscreteScheduler", use_dynamic_shifting=True))
    assert dynamic.shift is None
    scheduler = make("EDMEulerScheduler")
    scheduler.set_timesteps(5)
    edm = fusion.from_scheduler(scheduler)
    expected = scheduler.timesteps.numpy()
    np.testing.assert_allclose([edm.timestep(s) for s in scheduler.sigmas[:-1].tolist()], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "prediction"),
    [({}, "epsilon"), ({"prediction_type": "v_prediction"}, "v"), ({"prediction_type": "sample"}, "x0")],
)
def test_predictions_have_our_names(options: dict[str, str], prediction: str) -> None:
    assert fusion.from_scheduler(make("DDIMScheduler", **options)).prediction == prediction
    assert fusion.from_scheduler(make("EDMEulerScheduler", sigma_data=1.0)).prediction == EDM(1.0)
    flow = make("DPMSolverMultistepScheduler", prediction_type="flow_prediction", use_flow_sigmas=True)
    assert fusion.from_scheduler(flow).prediction == "velocity"


def test_a_table_with_zero_terminal_signal_is_read() -> None:
    schedule = fusion.from_scheduler(make("DDIMScheduler", rescale_betas_zero_snr=True, timestep_spacing="trailing"))
    assert schedule.process.horizon < 1.0
    assert schedule.n_timesteps == 1000


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_what_is_not_a_diffusion_is_refused_in_words(name: str, words: str) -> None:
    with pytest.raises(fusion.NoiseScheduleError, match=words):
        fusion.from_scheduler(make(name))


@pytest.mark.parametrize(
    ("scheduler", "dynamics"),
    [
        (lambda: make("DDPMScheduler"), "sde"),
        (lambda: make("EulerAncestralDiscreteScheduler"), "sde"),
        (lambda: make("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++"), "sde"),
        (lambda: make("DDIMScheduler"), "eta"),
        (lambda: make("DPMSolverMultistepScheduler"), "ode"),
        (lambda: make("EulerDiscreteScheduler"), "ode"),
        (lambda: make("FlowMatchEulerDiscreteScheduler"), "ode"),
        (lambda: make("LTXEulerAncestralRFScheduler", eta=0.0), "ode"),
    ],
)
def test_random_and_deterministic_steps_are_told_apart(scheduler: Any, dynamics: str) -> None:
    assert dynamics_of(scheduler())[0] == dynamics


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        (lambda: make("FlowMatchEulerDiscreteScheduler", stochastic_sampling=True), "stochastic_sampling"),
        (lambda: make("UnCLIPScheduler"), "not known"),
        (lambda: make("CogVideoXDPMScheduler"), "not known"),
    ],
)
def test_random_steps_that_are_no_sde_are_refused(scheduler: Any, words: str) -> None:
    with pytest.raises(fusion.NoiseScheduleError, match=words):
        dynamics_of(scheduler())


def test_other_things_are_refused() -> None:
    with pytest.raises(fusion.NoiseScheduleError, match="a diffusers scheduler is needed"):
        fusion.from_scheduler(sfbench.OrnsteinUhlenbeck())
    with pytest.raises(fusion.NoiseScheduleError, match="continuous"):
        fusion.from_scheduler(make("EulerDiscreteScheduler", timestep_type="continuous"))
