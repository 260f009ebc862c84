"""Experts of plain pipelines as score models: the scores are those of the formulas, and the package takes them."""

from typing import Any

import numpy as np
import pytest
import torch

import sfbench
import sfbench.diffusers as fusion

from .pipelines import ADAPTERS, activate, build, with_adapters


def test_scores_are_those_of_the_networks() -> None:
    pipe, other = with_adapters("ddpm"), build("ddpm", 5)
    models = fusion.score_models(pipe, {"a": ADAPTERS[0], "b": ADAPTERS[1], "other": other})
    x, step = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)), 400
    sigma = float(1 - pipe.scheduler.alphas_cumprod[step]) ** 0.5
    networks = {"a": pipe.unet, "b": pipe.unet, "other": other.unet}
    assert list(models) == list(networks)
    for i, (name, network) in enumerate(networks.items()):
        if i < 2:
            activate(network, ADAPTERS[i])
        with torch.no_grad():
            expected = -network(x, step).sample.flatten(1).numpy() / sigma
        found = models[name].score(x.flatten(1).numpy(), (step + 1) / 1000)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    points = x.flatten(1).numpy()
    fused = sfbench.FusedScore([models["a"], models["other"]], [0.25, 0.75], process=models["a"].process)
    mean = 0.25 * models["a"].score(points, 0.3) + 0.75 * models["other"].score(points, 0.3)
    np.testing.assert_allclose(fused.score(points, 0.3), mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("sd15", {}, "not a plain pipeline: its network needs encoder_hidden_states"),
        ("dit", {}, "not a plain pipeline"),
        ("ddpm", {"dim": 3}, "read from the pipeline"),
    ],
)
def test_what_is_not_plain_is_refused(family: str, options: dict[str, Any], words: str) -> None:
    pipe = build(family)
    with pytest.raises(fusion.DiffusersError, match=words):
        fusion.score_models(pipe, [pipe, build(family, 5)], **options)
