"""Weights learned from pictures: against exact statistics, in every family, and what is refused."""

from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sfbench.diffusers as fusion
from sfbench.diffusers.template import NetworkCall, visit
from sfbench.errors import FitWarning
from sfbench.fusion import FusionOverTime
from sfbench.fusion.adequacy import adequacy
from sfbench.statistics.residuals import Residuals
from synthetic import GaussianMixture

from .line import ExactNetwork, LinePipeline
from .pipelines import ADAPTERS, BUILDERS, activate, build, denoiser, draw, with_adapters

SIZES = {"ddpm": 8}  # of pictures; 16 elsewhere
PROMPTS = {"dit": [1, 2, 3, 4], "ddpm": None}


class Timed(ExactNetwork):
    """The exact network that reads its noise level from the timestep of the common linear schedule, or of a flow."""

    def forward(self, sample: torch.Tensor, timestep: Any, sigma: float = 0.0) -> Any:
        t = float(timestep)
        if self.kind == "vp":
            bar = float(diffusers.DDPMScheduler().alphas_cumprod[round(t)])
            return super().forward(sample, timestep, float(np.sqrt((1 - bar) / bar)))
        return super().forward(sample, timestep, t / 1000)


class Dots(LinePipeline):
    """Pictures of one grey pixel."""

    def __init__(self, unet: Any, scheduler: Any) -> None:
        super().__init__(unet, scheduler)


def dots(laws: Any, kind: str, predicts: str) -> tuple[Any, list[Any]]:
    networks = [Timed(law, predicts, kind) for law in laws]
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    named = {"v": "v_prediction", "x0": "sample"}.get(predicts, predicts)
    settings = flow if kind == "flow" else {"prediction_type": named}
    return Dots(networks[0], diffusers.DPMSolverMultistepScheduler(**settings)), networks


# ------------------------------------------------------------------------------------------------- statistics
@pytest.mark.parametrize(("kind", "predicts"), [("vp", "epsilon"), ("vp", "v"), ("vp", "x0"), ("flow", "velocity")])
def test_the_gram_is_that_of_the_laws(kind: str, predicts: str) -> None:
    laws = [GaussianMixture([1.0], [[mean]], 0.04) for mean in (-0.3, 0.3)]
    target = GaussianMixture([1.0], [[0.12]], 0.04)
    x = np.clip(target.sample(300, rng=0), -1.0, 1.0)
    pipe, networks = dots(laws, kind, predicts)
    pictures = torch.from_numpy((x + 1) / 2).float().reshape(-1, 1, 1, 1)  # one channel
    fit = fusion.learn_weights(pipe, networks, pictures, n_nodes=6, batch=100, rng=0)
    # Differences of scores are constants here, so G has no sampling error, and the slope of b is known.
    settings = fit.statistics.settings
    slopes = [alpha / (0.04 * alpha**2 + sigma**2) for alpha, sigma in settings.coefficients]
    expected = float(settings.omega @ np.square(slopes))
    assert fit.gram.G[1, 1] == pytest.approx(0.36 * expected, rel=1e-4)
    spread = np.sqrt(fit.gram.contributions.variances()[1][1] / 300)
    assert abs(fit.gram.b[1] - 0.6 * 0.42 * expected) <= 4 * spread
    # Gaussians of one variance: pools are Gaussians whose mean is the weighted one, and noise commutes with pooling.
    low, high = fit.confidence_interval(0.999)[1]
    assert low <= 0.7 <= high
    assert high - low < 0.15


def test_the_statistics_are_those_of_fuse_on_the_same_noise(laws: Any) -> None:
    x = np.clip(laws[0].sample(40, rng=1), -1, 1)
    pipe, networks = dots(laws, "vp", "epsilon")
    pictures = torch.from_numpy((x + 1) / 2).float().reshape(-1, 1, 1, 1)
    fit = fusion.learn_weights(pipe, networks, pictures, n_nodes=3, batch=40, rng=5)
    rng = np.random.default_rng(5)
    order = rng.permutation(40)
    noise = rng.standard_normal((40, 1, 1, 1), dtype=np.float32).astype(np.float64).reshape(-1, 1)
    points = (2 * pictures.double().numpy() - 1).reshape(-1, 1)[order]
    G, b = 0.0, 0.0
    for (alpha, sigma), omega in zip(fit.statistics.settings.coefficients, fit.statistics.settings.omega, strict=True):
        scores = [
            [law.diffuse(alpha, sigma).score(alpha * points + s * sigma * noise) for law in laws] for s in (1, -1)
        ]
        for sign, (first, second) in zip((1, -1), scores, strict=True):
            G += omega * np.mean((second - first) ** 2) / 2
            b += omega * np.mean((second - first) * (-sign * noise / sigma - first)) / 2
    assert fit.gram.G[1, 1] == pytest.approx(G, rel=1e-4)
    assert fit.gram.b[1] == pytest.approx(b, rel=1e-4)


@pytest.mark.parametrize("family", BUILDERS)
def test_every_family_is_called_as_its_pipeline_calls_it(family: str) -> None:
    pipe = with_adapters(family)
    network, size = denoiser(pipe), SIZES.get(family, 16)
    activate(network, ADAPTERS[0])
    plain: list[torch.Tensor] = []
    spy = network.register_forward_hook(lambda _, __, output: plain.append(output[0].clone()))
    seen: list[float] = []

    def look(call: NetworkCall) -> None:
        spy.remove()
        position, name = call.handle.hook.timestep_at
        held = call.kwargs[name] if name in call.kwargs else call.args[position]
        timestep = float(torch.as_tensor(held).flatten()[0]) / call.time_scale
        n = call.schedule.n_timesteps
        t = timestep / n if call.schedule.kind == "flow" else (timestep + 1) / n
        own = call.own(*call.args, **call.kwargs)[0]  # the adapter that is active, as the pipeline stands
        first, second = call.at(call.points, t)
        seen.append(float((first - call.handle.hook.mean_of(own)).abs().max() / own.abs().max()))
        assert not torch.allclose(first, second)
        alone = call.only(1, 2).at(call.points[1:].repeat(2, *[1] * (call.points.ndim - 1)), t)
        torch.testing.assert_close(alone[0][1], first[1], rtol=1e-4, atol=1e-5)

    labels = {"dit": [3, 4], "ddpm": None}.get(family, ["a", "b"])
    options = {} if family in ("dit", "ddpm") else {"height": size, "width": size}
    with fusion.fused(pipe, ADAPTERS) as handle:
        visit(handle, fusion.from_scheduler(pipe.scheduler), labels, 2, options, look)
    assert seen == [pytest.approx(0.0, abs=1e-6)]


@pytest.mark.parametrize(
    "family", [f if f in ("sd15", "flux", "ddpm") else pytest.param(f, marks=pytest.mark.slow) for f in BUILDERS]
)
def test_every_family_learns_and_is_left_as_it_was(family: str) -> None:
    pipe, size = with_adapters(family, scale=0.5), SIZES.get(family, 16)
    images = np.random.default_rng(0).random((4, size, size, 3))
    before = draw(pipe, steps=1)
    labels = PROMPTS.get(family, ["a cat", "a dog", "a cat", "a fox"])
    fit = fusion.learn_weights(pipe, ADAPTERS, images, prompts=labels, n_nodes=2, rng=0)
    assert torch.equal(draw(pipe, steps=1), before)
    assert fit.weights.sum() == pytest.approx(1.0)
    assert fit.gram.G[1, 1] > 0
    assert fit.solver.converged
    shape = (2, fit.score.dim)
    score = fit.score.score(np.zeros(shape), 0.3)
    assert score.shape == shape
    with fusion.fused(pipe, ADAPTERS, fit) as handle:
        assert np.array_equal(handle.weights, fit.weights)


@pytest.mark.slow
def test_results_do_not_depend_on_the_batch_and_keep_the_order_of_pictures() -> None:
    pipe, images = with_adapters("ddpm"), np.random.default_rng(0).random((5, 8, 8, 3))
    fits = [fusion.learn_weights(pipe, ADAPTERS, images, n_nodes=2, batch=rows, rng=3) for rows in (5, 2)]
    np.testing.assert_allclose(fits[0].gram.G, fits[1].gram.G, rtol=1e-4)
    np.testing.assert_allclose(fits[0].gram.contributions.b, fits[1].gram.contributions.b, rtol=1e-3, atol=1e-4)
    loud = images.copy()
    loud[3] = np.round(loud[3])  # as far from what the experts know as pictures can be
    kept = fusion.learn_weights(pipe, ADAPTERS, loud, n_nodes=2, rng=3).gram.contributions
    assert np.allclose(kept.counts, 1)
    changed = np.abs(kept.g - fits[0].gram.contributions.g).sum(axis=(1, 2))
    assert int(changed.argmax()) == 3


# ------------------------------------------------------------------------------------------------- weights
@pytest.mark.slow
def test_pictures_of_one_expert_are_recognised() -> None:
    """The network of expert 1 predicts the pictures' noise well, by construction: it was trained on them."""
    pipe, other = build("ddpm"), build("ddpm", 5)
    pictures = np.full((16, 8, 8, 3), 0.8) + 0.05 * np.random.default_rng(0).standard_normal((16, 8, 8, 3))
    x = torch.from_numpy(2 * pictures - 1).float().permute(0, 3, 1, 2)
    table = pipe.scheduler.alphas_cumprod
    network, generator = other.unet.train(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(25):
        steps = torch.randint(0, 1000, (16,), generator=generator)
        bar = table[steps].reshape(-1, 1, 1, 1)
        noise = torch.randn(x.shape, generator=generator)
        loss = (network(bar.sqrt() * x + (1 - bar).sqrt() * noise, steps).sample - noise).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval().requires_grad_(False)
    fit = fusion.learn_weights(pipe, {"raw": pipe, "trained": other}, pictures, n_nodes=4, rng=0)
    assert fit.weights[1] > 0.9, fit
    binned = fusion.learn_weights(pipe, [pipe, other], pictures, bins=2, n_nodes=4, rng=0)
    assert isinstance(binned, FusionOverTime)
    assert binned.weights.weights.shape == (2, 2)
    assert binned.confidence_interval().shape == (2, 2, 2)
    with fusion.fused(pipe, [pipe, other], binned) as handle:  # noisier bins come first, and times increase with noise
        assert np.allclose(handle.weights.weights, binned.weights.weights[::-1])
        cut = binned.weights.edges[1]
        ratio = float(binned.process.log_snr(cut))
        assert handle.weights.edges == pytest.approx([ratio])
        draw(pipe)


@pytest.mark.slow
def test_the_budget_decides_on_pictures_and_noise() -> None:
    pipe, images = with_adapters("ddpm"), np.random.default_rng(0).random((6, 8, 8, 3))
    calls = [0]
    pipe.unet.conv_in.register_forward_hook(lambda _, given, __: calls.__setitem__(0, calls[0] + len(given[0])))

    def spent(evaluations: int) -> Any:
        calls[0] = 0
        return fusion.learn_weights(pipe, ADAPTERS, images, n_nodes=2, evaluations=evaluations, batch=6, rng=0)

    fit = spent(8 * 4 + 3)
    assert fit.gram.n == 4
    assert calls[0] == 8 * 4 + 4 * 1  # and one evaluation a picture for the pipeline to go on with
    fit = spent(8 * 6 * 2)
    assert fit.gram.n == 6
    assert calls[0] == 8 * 6 * 2 + 6
    with pytest.raises(fusion.DiffusersError, match="allow 16"):
        spent(15)


@pytest.mark.slow
def test_a_pass_that_is_interrupted_still_answers() -> None:
    pipe, images = with_adapters("ddpm"), np.random.default_rng(0).random((6, 8, 8, 3))
    count = [0]

    def interrupt(*_: Any) -> None:
        count[0] += 1
        if count[0] > 30:
            raise KeyboardInterrupt

    spy = pipe.unet.register_forward_pre_hook(interrupt)
    layer = pipe.unet.conv_in.register_forward_pre_hook(interrupt)
    with pytest.warns(FitWarning, match="stopped after 4 of 6 pictures"):
        fit = fusion.learn_weights(pipe, ADAPTERS, images, n_nodes=2, batch=2, rng=0)
    assert fit.gram.n == 4
    assert fit.warnings[0] == "stopped after 4 of 6 pictures"
    assert len(fit.gram.contributions.counts) == 4
    spy.remove()
    layer.remove()
    assert fusion.switching.AdapterSwitch(pipe.unet).layers[0].active_adapters == ["second"]
    draw(pipe)


def test_progress_names_the_weights_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    pipe, images = with_adapters("ddpm"), np.random.default_rng(0).random((4, 8, 8, 3))
    fusion.learn_weights(pipe, ADAPTERS, images, n_nodes=2, batch=2, progress=True, rng=0)
    assert "learning weights" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- goodness of fit
def grey(mean: float, deviation: float, n: int) -> torch.Tensor:
    """Pictures of one grey pixel."""
    x = np.clip(mean + deviation * np.random.default_rng(0).standard_normal((n, 1)), -1.0, 1.0)
    return torch.from_numpy((x + 1) / 2).float().reshape(-1, 1, 1, 1)


def test_losses_and_misfit_say_whether_the_experts_can_draw_the_pictures() -> None:
    laws = [GaussianMixture([1.0], [[mean]], 0.04) for mean in (-0.3, 0.3)]
    pipe, networks = dots(laws, "vp", "epsilon")
    named = dict(zip(("dark", "light"), networks, strict=True))
    options = {"n_nodes": 4, "batch": 300, "rng": 0}
    good = fusion.learn_weights(pipe, named, grey(0.12, 0.2, 600), **options)  # a pool of the two
    narrow = fusion.learn_weights(pipe, named, grey(0.12, 0.05, 600), **options)
    assert good.adequacy.p_value > 1e-3
    assert narrow.adequacy.p_value < 1e-6
    assert narrow.adequacy.misfit > 0.1
    assert good.names == ("dark", "light")
    assert "adequate: yes" in good.summary()
    # Pooled Gaussians of one variance v: the least loss of the noise is alpha^2 v / (alpha^2 v + sigma^2).
    levels = good.statistics.settings.coefficients
    least = np.mean([alpha**2 * 0.04 / (alpha**2 * 0.04 + sigma**2) for alpha, sigma in levels])
    assert good.adequacy.fused == pytest.approx(least, rel=0.1)
    assert good.adequacy.single.argmin() == 1
    assert np.all(good.adequacy.single > good.adequacy.fused)


def test_the_residuals_are_those_of_the_core_on_the_same_noise() -> None:
    laws = [GaussianMixture([1.0], [[mean]], 0.04) for mean in (-0.3, 0.3)]
    pipe, networks = dots(laws, "vp", "epsilon")
    pictures = grey(0.12, 0.2, 120)
    fit = fusion.learn_weights(pipe, networks, pictures, n_nodes=2, batch=120, rng=5)
    rng = np.random.default_rng(5)
    order = rng.permutation(120)
    z = rng.standard_normal((120, 1, 1, 1), dtype=np.float32).astype(np.float64).reshape(1, -1, 1)
    noise = np.concatenate([z, -z])
    data = (2 * pictures.double().numpy() - 1).reshape(-1, 1)[order]
    settings = fit.statistics.settings
    residuals = Residuals(settings)
    residuals.begin(SimpleNamespace(data=data, models=[SimpleNamespace(dim=1)] * 2))
    for j, (alpha, sigma) in enumerate(settings.coefficients):
        x = alpha * data + sigma * noise
        first, second = (np.stack([law.diffuse(alpha, sigma).score(rows) for rows in x]) for law in laws)
        residuals.add(j, 0, x, noise, first, (second - first)[None])
    expected = adequacy(residuals, fit.weights)
    for name in ("fused", "single", "linear", "statistic", "p_value", "misfit"):
        assert getattr(fit.adequacy, name) == pytest.approx(getattr(expected, name), rel=2e-3, abs=1e-6), name


@pytest.mark.filterwarnings("ignore:stopped after 200 of 300 pictures")
def test_a_pass_that_is_cut_judges_what_it_has_seen() -> None:
    laws = [GaussianMixture([1.0], [[mean]], 0.04) for mean in (-0.3, 0.3)]
    pipe, networks = dots(laws, "vp", "epsilon")
    pictures, calls = grey(0.12, 0.2, 300), [0]

    def interrupt(*_: Any) -> None:
        calls[0] += 1
        if calls[0] == 10:  # within the third batch of four calls
            raise KeyboardInterrupt

    spy = networks[1].register_forward_pre_hook(interrupt)
    options = {"n_nodes": 2, "batch": 100, "rng": 0}
    cut = fusion.learn_weights(pipe, networks, pictures, **options)
    spy.remove()
    assert cut.gram.n == cut.adequacy.n == 200
    whole = fusion.learn_weights(pipe, networks, pictures, **options)
    assert whole.adequacy.n == 300
    assert cut.adequacy.fused == pytest.approx(whole.adequacy.fused, rel=0.2)
    assert 1e-4 < cut.adequacy.p_value <= 1.0


@pytest.mark.filterwarnings("ignore:the longest 90 % interval")
def test_a_pass_stops_when_intervals_are_short() -> None:
    laws = [GaussianMixture([1.0], [[mean]], 0.04) for mean in (-0.3, 0.3)]
    pipe, networks = dots(laws, "vp", "epsilon")
    options = {"n_nodes": 2, "batch": 50, "rng": 0}
    fit = fusion.learn_weights(pipe, networks, grey(0.12, 0.2, 800), weight_tol=0.2, **options)
    low, high = fit.confidence_interval()[1]
    assert 16 <= fit.gram.n < 800
    assert high - low <= 0.2
    assert fit.n_evaluations == 2 * 2 * 2 * fit.gram.n
    short = fusion.learn_weights(pipe, networks, grey(0.12, 0.2, 50), weight_tol=0.01, **options)
    assert short.gram.n == 50
    assert "above weight_tol=0.01" in short.warnings[0]
