"""The verb ``sample``: laws and their names, the pilot, what is refused, and what comes back afterwards."""

import warnings
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sfbench.diffusers as fusion
from sfbench.errors import SfbenchError
from sfbench.sampling import SwitchedSampler
from sfbench.sampling.errors import TrustWarning
from synthetic import GaussianMixture

from .line import line
from .pipelines import ADAPTERS, build, flux, with_adapters

SDE = {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}
SIZE = {"height": 16, "width": 16}


@pytest.fixture
def pipe(laws: Any) -> Any:
    made, networks = line(laws, diffusers.DPMSolverMultistepScheduler(**SDE))
    fusion.fuse(made, [made, networks[1]], [0.5, 0.5])
    return made


# ------------------------------------------------------------------------------------------------- laws
def test_switching_samples_the_fused_law_at_the_price_of_one(pipe: Any) -> None:
    networks = [expert.module if hasattr(expert, "module") else pipe.unet for expert in fusion.handle_of(pipe).experts]
    result = fusion.sample(pipe, None, 4000, "switched", steps=64, rng=0)
    assert sum(network.calls for network in networks) == 64
    assert float((result.latents > 0).double().mean()) == pytest.approx(0.41, abs=0.04)
    assert result.law == SwitchedSampler().law  # as the core names it
    assert result.diagnostics.sampler.startswith("switched")
    assert fusion.handle_of(pipe).hook.method == "sequential"


def test_the_probability_flow_is_named(laws: Any) -> None:
    made, networks = line(laws, diffusers.DDIMScheduler(clip_sample=False))
    fusion.fuse(made, [made, networks[1]])
    flow = fusion.sample(made, None, 500, "ode", steps=16, rng=0)
    again = fusion.sample(made, None, 500, "ode", steps=16, rng=0)
    assert torch.equal(flow.latents, again.latents)
    assert flow.law == "probability-flow law of the averaged score"
    noisy = fusion.sample(made, None, 500, "fused", steps=16, rng=0)  # eta = 1 now
    assert not torch.allclose(noisy.latents, flow.latents)


def test_the_same_seed_gives_the_same_bits(pipe: Any) -> None:
    a, b = (fusion.sample(pipe, None, 64, "corrected", steps=8, rng=3, verbose=False) for _ in range(2))
    assert torch.equal(a.latents, b.latents)
    assert np.array_equal(a.log_weights, b.log_weights)
    other = fusion.sample(pipe, None, 64, "corrected", steps=8, rng=4, verbose=False)
    assert not torch.equal(a.latents, other.latents)


def test_batches_are_joined(pipe: Any) -> None:
    result = fusion.sample(pipe, None, 10, steps=4, batch=4, rng=0)
    assert len(result.images) == len(result.latents) == len(result.weights) == 10
    assert result.weights.sum() == pytest.approx(1.0)
    assert len(np.unique(result.latents.numpy())) == 10
    assert result.diagnostics.n_score_evaluations == 3 * 4


def test_weights_choose_among_images(pipe: Any) -> None:
    result = fusion.sample(pipe, None, 2000, "corrected", steps=32, rng=0, verbose=False)
    assert 0.3 * 2000 < result.ess < 2000
    chosen = torch.stack(result.resampled(4000, rng=0))
    assert float((chosen > 0).double().mean()) == pytest.approx(
        float(result.weights @ (result.latents.flatten() > 0).numpy()), abs=0.01
    )
    assert "effective images" in repr(result)


# ------------------------------------------------------------------------------------------------- pilot
def test_the_pilot_says_whether_the_answer_is_in_reach(pipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = fusion.sample(pipe, None, 200, "corrected", steps=16, rng=0, pilot=100)
    printed = capsys.readouterr().out
    assert "int V dlambda over 100 pilot images" in printed
    assert "in reach" in printed
    assert result.pilot.mean == pytest.approx(1.3, abs=0.6)
    fusion.sample(pipe, None, 8, "corrected", steps=4, rng=0, pilot=0, threshold=0.0)
    assert capsys.readouterr().out == ""


def test_experts_that_part_too_far_are_out_of_reach(capsys: pytest.CaptureFixture[str]) -> None:
    laws = tuple(GaussianMixture([1.0], [[0.0]], variance) for variance in (0.0004, 1.0))
    made, networks = line(laws, diffusers.DPMSolverMultistepScheduler(**SDE))
    fusion.fuse(made, [made, networks[1]])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = fusion.sample(made, None, 8, "corrected", steps=16, rng=0, pilot=8)
    assert any(w.category is TrustWarning and "out of reach" in str(w.message) for w in seen)
    assert "out of reach" in capsys.readouterr().out
    assert "out of reach" in repr(result)


# ------------------------------------------------------------------------------------------------- refusals
def test_settings_that_are_not_linear_need_consent() -> None:
    pipe = with_adapters("ddpm")
    pipe.scheduler = diffusers.DDPMScheduler()  # clip_sample=True by default
    with fusion.fused(pipe, ADAPTERS):
        with pytest.raises(fusion.DiffusersError, match=r"clip_sample.*linearise=True"):
            fusion.sample(pipe, None, 2, steps=2)
        before = pipe.scheduler
        result = fusion.sample(pipe, None, 2, steps=2, linearise=True, rng=0)
        assert pipe.scheduler is before
        assert before.config.clip_sample
        assert len(result.images) == 2
        left_over = fusion.sde_scheduler(pipe, use_karras_sigmas=True)
        left_over.register_to_config(clip_sample=True)  # as pipelines read from a folder hand on; it never clips
        assert len(fusion.sample(pipe, None, 2, steps=2, scheduler=left_over, rng=0).images) == 2
        with pytest.raises(fusion.DiffusersError, match="thresholding"):
            fusion.sample(pipe, None, 2, "ode", steps=2, scheduler=diffusers.UniPCMultistepScheduler(thresholding=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "barycenter"}, "unknown sampler"),
        ({"sampler": "correct"}, "did you mean 'corrected'"),
        ({"n": 0}, "n must be"),
        ({"n": 2.0}, "n must be"),
        ({"steps": 0}, "steps must be"),
        ({"threshold": 2.0}, "threshold"),
        ({"pilot": -1}, "pilot"),
        ({"n": 4, "sampler": "corrected", "batch": 2}, "one batch"),
        ({"resampling": "roulette"}, "roulette"),
        ({"prompt": "a cat"}, "takes no prompt"),
        ({"sampler": "ode"}, "deterministic steps"),
        ({"scheduler": "ddim"}, "scheduler is needed"),
    ],
)
def test_bad_options_are_named(pipe: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SfbenchError, match=words):
        fusion.sample(pipe, **{"prompt": None, "n": 1, "steps": 2} | options)
    assert "step" not in vars(pipe.scheduler)


@pytest.mark.slow
def test_pipelines_are_given_what_they_take() -> None:
    pipe = with_adapters("dit")
    with fusion.fused(pipe, ADAPTERS):
        with pytest.raises(fusion.DiffusersError, match="needs a class"):
            fusion.sample(pipe, "a cat", 1)
        assert len(fusion.sample(pipe, 3, 2, steps=2, guidance_scale=1.0).images) == 2
    pipe = with_adapters("sd3")
    with fusion.fused(pipe, ADAPTERS):
        with pytest.raises(fusion.NoiseScheduleError, match="sde_scheduler"):
            fusion.sample(pipe, "a cat", 1)
        with pytest.raises(fusion.DiffusersError, match="one string"):
            fusion.sample(pipe, ["a cat", "a dog"], 1, "ode")
        flow = fusion.sample(pipe, "a cat", 2, "ode", steps=2, guidance_scale=1.0, rng=0, **SIZE)
        assert flow.law == "probability-flow law of the averaged score"
        assert flow.images[0].size == (16, 16)


def test_unfused_pipelines_are_refused(pipe: Any) -> None:
    with pytest.raises(fusion.NotFusedError, match="call sfbench"):
        fusion.sample(build("ddpm"), None, 1)
    fusion.handle_of(pipe).remove()
    with pytest.raises(fusion.NotFusedError):
        fusion.sample(pipe, None, 1)


def test_a_distilled_network_has_no_barycenter() -> None:
    pipe = flux(0, guidance=True)
    pipe.set_progress_bar_config(disable=True)
    other = flux(1, guidance=True)
    with fusion.fused(pipe, [pipe, other]):
        with pytest.raises(fusion.DiffusersError, match="guidance_embeds"):
            fusion.sample(pipe, "a cat", 2, "corrected", scheduler=fusion.sde_scheduler(pipe), **SIZE)
        result = fusion.sample(pipe, "a cat", 2, "ode", steps=2, rng=0, **SIZE)
        assert "no scores" in result.law


def test_what_a_callback_breaks_is_put_back(pipe: Any) -> None:
    step = pipe.scheduler.step
    broken = pipe.unet.register_forward_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("stop")))
    with pytest.raises(RuntimeError, match="stop"):
        fusion.sample(pipe, None, 2, "corrected", steps=2, verbose=False)
    broken.remove()
    assert pipe.scheduler.step == step
    assert "step" not in vars(pipe.scheduler)
    handle = fusion.handle_of(pipe)
    assert not handle.hook.collect
    assert not handle.hook.since_step


def test_an_sde_scheduler_is_made_for_every_kind() -> None:
    made = fusion.sde_scheduler(diffusers.DDIMScheduler(beta_end=0.012, prediction_type="v_prediction"))
    assert made.config.beta_end == 0.012
    assert made.config.prediction_type == "v_prediction"
    flow = fusion.sde_scheduler(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), solver_order=1)
    assert (flow.config.flow_shift, flow.config.use_flow_sigmas, flow.config.solver_order) == (3.0, True, 1)
    edm = fusion.sde_scheduler(diffusers.EDMEulerScheduler(sigma_data=1.0))
    assert edm.config.sigma_data == 1.0
    with pytest.raises(fusion.NoiseScheduleError):
        fusion.sde_scheduler(diffusers.LCMScheduler())


@pytest.mark.slow
def test_the_corrected_sampler_runs_on_a_flow_pipeline() -> None:
    pipe = with_adapters("flux", scale=0.1)
    with fusion.fused(pipe, ADAPTERS), warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        result = fusion.sample(
            pipe, "a cat", 3, "corrected", steps=3, scheduler=fusion.sde_scheduler(pipe), rng=0, verbose=False, **SIZE
        )
    assert result.law == "KL barycenter p_w (log-linear pool)"
    assert len(result.images) == 3
    assert np.isfinite(result.log_weights).all()


def test_levels_that_leave_those_of_a_flow_are_refused() -> None:
    own = diffusers.FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)  # within [0, 1]
    assert not fusion.sde_scheduler(own).config.use_karras_sigmas
    with pytest.raises(fusion.NoiseScheduleError, match="use_karras_sigmas=True leaves the levels of a flow"):
        fusion.sde_scheduler(own, use_karras_sigmas=True)


def test_a_cosine_table_is_not_started_where_it_holds_no_signal() -> None:
    cosine = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False)
    made = fusion.sde_scheduler(cosine)
    made.set_timesteps(10)
    plain = diffusers.DPMSolverMultistepScheduler.from_config(cosine.config, algorithm_type="sde-dpmsolver++")
    plain.set_timesteps(10)
    assert float(plain.sigmas[0]) > 1e4
    assert float(made.sigmas[0]) < 200
    assert fusion.sde_scheduler(cosine, lambda_min_clipped=-3.0).config.lambda_min_clipped == -3.0
