"""Adapters and pipelines whose text encoders differ: every expert sees its own prompt."""

from pathlib import Path
from typing import Any

import pytest
import torch

import sfbench.diffusers as fusion
from sfbench.diffusers.alternatives import Alternatives, count, join, pick

from .pipelines import ADAPTERS, activate, add_adapter, build, denoiser, draw, with_adapters


def with_text_adapters(family: str) -> Any:
    pipe = with_adapters(family)
    for name in ("text_encoder", "text_encoder_2"):
        encoder = getattr(pipe, name, None)
        for i, adapter in enumerate(ADAPTERS if encoder is not None else ()):
            targets = ["q", "v"] if type(encoder).__name__ == "T5EncoderModel" else ["q_proj", "v_proj"]
            add_adapter(encoder, adapter, 20 + i, scale=20.0, target_modules=targets)
    return pipe


def switch_all(pipe: Any, name: str) -> None:
    for part in (denoiser(pipe), *fusion.experts.text_encoders(pipe).values()):
        activate(part, name)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd15", "sdxl", "sd3", "flux"])
def test_every_adapter_encodes_the_prompt_by_itself(family: str) -> None:
    pipe = with_text_adapters(family)
    single = []
    for name in ADAPTERS:
        switch_all(pipe, name)
        single.append(draw(pipe))
    activate(pipe.text_encoder, "first")  # the second network with the first text: what must not be drawn
    mixed_up = draw(pipe)
    switch_all(pipe, "first")
    with fusion.fused(pipe, ADAPTERS, [1, 0]) as handle:
        assert torch.equal(draw(pipe), single[0])
        handle.weights = [0, 1]
        second = draw(pipe)
        error = (second - single[1]).abs().max()
        assert error <= 1e-5 * single[1].abs().max()
        assert (second - mixed_up).abs().max() > 100 * error
        handle.weights = [0.5, 0.5]
        both = draw(pipe)
    for encoder in fusion.experts.text_encoders(pipe).values():
        assert fusion.switching.AdapterSwitch(encoder).layers[0].active_adapters == ["first"]
    assert "encode_prompt" not in vars(pipe)
    assert torch.equal(draw(pipe), single[0])
    pipe = with_text_adapters(family)
    with fusion.fused(pipe, ADAPTERS, [0.5, 0.5], method="batched"):
        assert (draw(pipe) - both).abs().max() <= 1e-4 * both.abs().max()


@pytest.mark.slow
def test_recipes_hold_the_adapters_of_text_encoders(tmp_path: Path) -> None:
    pipe, other = with_text_adapters("sd15"), build("sd15")
    with fusion.fused(pipe, ADAPTERS, [0.25, 0.75]) as handle:
        handle.save(tmp_path, adapters=True)
        image = draw(pipe)
    fusion.load(other, tmp_path)
    assert torch.equal(draw(other), image)


@pytest.mark.slow
def test_another_pipeline_reads_the_prompt_with_its_own_encoder() -> None:
    pipe, other = build("sd15"), build("sd15", 5)
    with torch.no_grad():
        other.text_encoder.get_input_embeddings().weight.mul_(3.0)
    alone, bare = draw(other), draw(build("sd15", 5))
    assert not torch.equal(alone, bare)
    with fusion.fused(pipe, [pipe, other], [0, 1]):
        assert torch.equal(draw(pipe), alone)
    with fusion.fused(pipe, [pipe, other.unet], [0, 1]):  # the network alone takes the pipeline's prompt
        assert torch.equal(draw(pipe), bare)
    assert fusion.experts.same_text_encoders(build("sd15"), build("sd15"))


def test_a_pipeline_that_cannot_encode_for_each_refuses() -> None:
    pipe = with_text_adapters("modular")
    before = type(pipe)
    with pytest.raises(fusion.DiffusersError, match="adapters of the denoiser only"):
        fusion.fuse(pipe, ADAPTERS)
    assert type(pipe) is before
    draw(pipe)


def test_a_tensor_with_alternatives_goes_through_what_pipelines_do() -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    both = join([a, b])
    assert isinstance(both, Alternatives)
    assert (both.shape, both.dtype, both.device) == (a.shape, a.dtype, a.device)
    assert both.ndim == 3
    changed = torch.cat([both.repeat(1, 2, 1).view(4, 3, 4), torch.zeros(1, 3, 4)]).to(torch.float64)[1:]
    first, second = (
        torch.cat([x.repeat(1, 2, 1).view(4, 3, 4), torch.zeros(1, 3, 4)]).to(torch.float64)[1:] for x in (a, b)
    )
    assert torch.equal(pick(changed, 0), first)
    assert torch.equal(pick(changed, 1), second)
    halves = changed.chunk(2)
    assert torch.equal(pick(halves, 1)[1], second.chunk(2)[1])
    assert count({"x": (1, [changed])}) == 2
    assert count({"x": (1, [a])}) == 0
    assert pick({"x": [both, 3]}, 1)["x"][1] == 3
    assert torch.equal(join([(a, None), (b, None)])[0].each[1], b)
    assert bool((both == both).all())
