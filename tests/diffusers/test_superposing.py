"""Shares by densities along the path: the law is the arithmetic mixture."""

from typing import Any

import diffusers
import numpy as np
import pytest
import scipy.stats
import torch

import sfbench.diffusers as fusion
from sfbench.diffusers.superposing import Superposition, _equalising

from .line import line
from .pipelines import ADAPTERS, build, with_adapters


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.2, 0.8)])
def test_the_law_is_the_mixture(laws: Any, weights: tuple[float, float]) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", use_karras_sigmas=True)
    pipe, networks = line(laws, scheduler)

    def drawn() -> np.ndarray:
        return np.array([float(v) for v in pipe(2000, 48, torch.Generator().manual_seed(0)).images])

    with fusion.fused(pipe, networks, weights) as handle:
        fused = drawn()
        handle.hook.intercept = rule = Superposition(handle, np.array(weights), 2000)
        x = drawn()
    shares = list(zip(laws, weights, strict=True))
    truth = np.concatenate([law.sample(round(20_000 * w), rng=i) for i, (law, w) in enumerate(shares)])[:, 0]
    assert scipy.stats.ks_2samp(x, truth).statistic < 0.05
    assert scipy.stats.ks_2samp(fused, truth).statistic > 0.1  # the fused law is another
    # Shares are posterior probabilities of the experts, at a point that is nearly clean.
    density = np.array([w * np.exp(law.log_prob(x[:, None])) for law, w in shares])
    assert np.abs(rule.shares.numpy() - density / density.sum(axis=0)).mean() < 0.1


@pytest.mark.slow
def test_the_rule_and_makes_densities_equal(laws: Any) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", use_karras_sigmas=True)
    pipe, networks = line(laws, scheduler)
    apart = {}
    with fusion.fused(pipe, networks) as handle:
        for rule in ("and", "or"):
            handle.hook.intercept = Superposition(handle, np.array([0.5, 0.5]), 1000, rule)
            x = np.array([float(v) for v in pipe(1000, 48, torch.Generator().manual_seed(0)).images])
            apart[rule] = np.median(np.abs(laws[0].log_prob(x[:, None]) - laws[1].log_prob(x[:, None])))
    assert apart["and"] < 0.2 * apart["or"]


def test_shares_solve_their_equations_and_are_bounded() -> None:
    generator = torch.Generator().manual_seed(0)
    data, ahead = torch.randn(3, 4, 5, generator=generator).double(), torch.randn(3, 4, generator=generator).double()
    shares = _equalising(data, 0.1 * ahead)
    assert torch.allclose(shares.sum(dim=0), torch.ones(4).double())
    left = torch.einsum("jn,jnd,ind->in", shares, data, data) - data.square().sum(-1) / 2 + 0.1 * ahead
    assert float((left - left[:1]).abs().max()) < 1e-5
    agreed = _equalising(data[:1].expand(3, -1, -1), 0 * ahead)  # not determined, and harmless
    assert float((agreed.sum(dim=0) - 1).abs().max()) < 1e-9
    assert float(_equalising(data, 1e6 * ahead).norm(dim=0).max()) < 11.0


@pytest.mark.slow
def test_it_is_a_way_of_comparing() -> None:
    pipe = with_adapters("ddpm")
    options = {"ways": ["fused", "superdiff", "superdiff_and"], "n": 2, "steps": 2, "rng": 0, "output_type": "np"}
    alone = fusion.compare(pipe, ADAPTERS, [1, 0], **options)
    assert all(
        np.allclose(a, b, atol=1e-5)
        for way in ("superdiff", "superdiff_and")
        for a, b in zip(alone["fused"].images, alone[way].images, strict=True)
    )
    both = fusion.compare(pipe, ADAPTERS, [0.5, 0.5], **options)
    assert [way.runs for way in both.ways] == [2, 2, 2]
    assert not np.allclose(both["superdiff_and"].images[0], both["superdiff"].images[0], atol=1e-3)
    assert not np.allclose(both["fused"].images[0], both["superdiff"].images[0], atol=1e-3)


@pytest.mark.slow
def test_what_has_no_densities_is_refused() -> None:
    pipe = with_adapters("sd15")
    with pytest.raises(fusion.NoiseScheduleError, match="reverse SDE"):
        fusion.compare(pipe, ADAPTERS, prompt="a cat", ways=["superdiff"], n=1)
    pipe.scheduler = fusion.sde_scheduler(pipe)
    with pytest.raises(fusion.DiffusersError, match="guidance_scale=1"):
        fusion.compare(pipe, ADAPTERS, prompt="a cat", ways=["superdiff"], n=1, steps=2, height=16, width=16)
    assert build("sd15") is not pipe
