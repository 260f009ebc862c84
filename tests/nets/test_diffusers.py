"""Networks and schedulers of diffusers: a `NetworkScore` makes of them the scores that the schedulers imply."""

import numpy as np
import pytest
import torch

import sfbench
from sfbench.nets import EDM, NetworkScore, denoising_loss, fine_tune
from sfbench.nets.settings import TrainingSettings
from sfbench.processes import FlowMatching, Karras, from_betas
from sfbench.sampling import TrustWarning

pytestmark = pytest.mark.slow  # importing diffusers takes seconds
X = np.random.default_rng(0).standard_normal((3, 2 * 8 * 8))
IMAGES = torch.tensor(X, dtype=torch.float32).reshape(3, 2, 8, 8)


@pytest.fixture(scope="module")
def unet():
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=8,
        in_channels=2,
        out_channels=2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    ).eval()


def score_of(data, sample, alpha, sigma):
    """The score at noisy samples whose expected data are these."""
    return ((alpha * data - sample) / sigma**2).detach().numpy().reshape(len(sample), -1)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_ddpm(unet, kind, schedule):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(1000, beta_schedule=schedule, prediction_type=kind, clip_sample=False)
    model = NetworkScore(unet, (2, 8, 8), from_betas(scheduler.betas.numpy()), kind, time="timestep")
    for step in (0, 30, 700, 990):
        with torch.no_grad():
            output = unet(IMAGES, step).sample
        data = scheduler.step(output, step, IMAGES).pred_original_sample
        bar = float(scheduler.alphas_cumprod[step])
        expected = score_of(data.double(), IMAGES.double(), bar**0.5, (1 - bar) ** 0.5)
        tolerance = 2e-4 * np.abs(expected).max()  # the scheduler computes in float32
        np.testing.assert_allclose(model.score(X, (step + 1) / 1000), expected, rtol=2e-3, atol=tolerance)


def test_flow_matching(unet):
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(10)
    model = NetworkScore(unet, (2, 8, 8), FlowMatching(), "flow_prediction", time="scaled")
    for i in (2, 5, 8):
        t = float(scheduler.sigmas[i])
        with torch.no_grad():
            velocity = unet(IMAGES, scheduler.timesteps[i]).sample.double()
        expected = score_of(IMAGES.double() - t * velocity, IMAGES.double(), 1 - t, t)
        np.testing.assert_allclose(model.score(X, t), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_edm(unet):
    from diffusers import EDMEulerScheduler

    scheduler = EDMEulerScheduler(sigma_data=0.7)
    model = NetworkScore(unet, (2, 8, 8), Karras(), EDM(0.7))
    for sigma in (0.05, 1.0, 20.0):
        level = torch.tensor(sigma)
        with torch.no_grad():
            output = unet(scheduler.precondition_inputs(IMAGES, level), scheduler.precondition_noise(level)).sample
        data = scheduler.precondition_outputs(IMAGES, output, level).double()
        expected = score_of(data, IMAGES.double(), 1.0, sigma)
        np.testing.assert_allclose(model.score(X, sigma), expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())


def test_they_are_fused_sampled_measured_and_fine_tuned(unet):
    process = from_betas(np.linspace(1e-4, 0.02, 1000))
    model = NetworkScore(unet, (2, 8, 8), process, "epsilon", time="timestep")
    x = 0.5 * np.random.default_rng(1).standard_normal((12, 128))
    fit = sfbench.fuse({"a": model, "b": model.to(dtype=torch.float64)}.values(), x, process=process, n_nodes=2, rng=0)
    with pytest.warns(TrustWarning):  # an untrained network knows no noise
        assert sfbench.sample(fit, 4, steps=4, rng=0).x.shape == (4, 128)
    start = denoising_loss(model, x, t_min=1e-3)[0]
    settings = TrainingSettings(
        steps=40, batch=12, validate_every=20, patience=0, t_min=1e-3, learning_rate=5e-3, ema=0.5
    )
    tuned = fine_tune(model, x, settings, rng=0).score
    assert tuned.wiring == model.wiring
    assert denoising_loss(tuned, x, t_min=1e-3)[0] < 0.9 * start
