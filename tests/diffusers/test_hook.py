"""The hook on one network: what it averages, what it restores, what it works with and what it refuses."""

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.hooks import HookRegistry

import sfbench
import sfbench.diffusers as fusion
from sfbench.errors import NotFiniteError, SfbenchError

from .pipelines import ADAPTERS, activate, add_adapter, build, ddpm, dit, draw, unet, with_adapters


@pytest.fixture
def pipe() -> Any:
    return with_adapters("ddpm")


def call(pipe: Any, rows: int = 2) -> torch.Tensor:
    """One evaluation of a DDPM network at fixed points."""
    x = torch.randn(rows, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return pipe.unet(x, 500).sample


def alone(pipe: Any) -> list[torch.Tensor]:
    outputs = []
    for name in ADAPTERS:
        activate(pipe.unet, name)
        outputs.append(call(pipe))
    return outputs


# ------------------------------------------------------------------------------------------------- averages
@pytest.mark.parametrize("method", ["sequential", "batched"])
def test_the_output_is_the_weighted_mean_and_predictions_are_raw(pipe: Any, method: str) -> None:
    a, b = alone(pipe)
    handle = fusion.fuse(pipe, ADAPTERS, [0.25, 0.75], method=method, keep_predictions=True)
    assert handle.predictions == ()
    fused = call(pipe)
    torch.testing.assert_close(fused, 0.25 * a + 0.75 * b, rtol=1e-5, atol=1e-5)
    for raw, expected in zip(handle.predictions, (a, b), strict=True):
        torch.testing.assert_close(raw, expected, rtol=1e-5, atol=1e-5)
    handle.weights = [0, 1]
    assert torch.equal(call(pipe), b)
    assert handle.predictions[0] is None


def test_the_bare_network_and_the_network_as_it_stands_are_experts(pipe: Any) -> None:
    activate(pipe.unet, "second")
    stands = call(pipe)
    bare = call(build("ddpm"))
    with fusion.fused(pipe, ["first", "__base__", pipe], [0, 1, 0]) as handle:
        torch.testing.assert_close(call(pipe), bare)
        handle.weights = [0, 0, 1]
        assert torch.equal(call(pipe), stands)
        handle.weights = [0.5, 0.25, 0.25]  # after another expert was switched on
        expected = 0.5 * alone_of(pipe, "first") + 0.25 * bare + 0.25 * stands
        torch.testing.assert_close(call(pipe), expected, rtol=1e-5, atol=1e-5)


def alone_of(pipe: Any, name: str) -> torch.Tensor:
    other = with_adapters("ddpm")
    activate(other.unet, name)
    return call(other)


def test_the_mean_half_is_fused_where_a_variance_is_predicted() -> None:
    pipe = with_adapters("dit")
    x, options = torch.randn(2, 4, 8, 8), {"timestep": torch.tensor([9, 9]), "class_labels": torch.tensor([1, 2])}
    outputs = []
    with torch.no_grad():
        for name in ADAPTERS:
            activate(pipe.transformer, name)
            outputs.append(pipe.transformer(x, **options).sample)
        with fusion.fused(pipe, ADAPTERS, [0.3, 0.7], keep_predictions=True) as handle:
            fused = pipe.transformer(x, **options).sample
    mean = 0.3 * outputs[0][:, :4] + 0.7 * outputs[1][:, :4]
    torch.testing.assert_close(fused[:, :4], mean)
    assert torch.equal(fused[:, 4:], outputs[1][:, 4:])  # of the heaviest expert
    assert handle.predictions[0].shape == (2, 4, 8, 8)


def test_a_language_model_is_averaged_in_log_probabilities() -> None:
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"vocab_size": 20, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(BertForMaskedLM(BertConfig(num_hidden_layers=1, **sizes)).eval())
    tokens = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        p, q = (torch.softmax(model(tokens).logits, -1) for model in models)
        handle = fusion.fuse(models[0], [models[0], models[1]], [0.3, 0.7])
        logits = models[0](tokens).logits
        torch.testing.assert_close(torch.exp(logits), p**0.3 * q**0.7)
        assert (torch.exp(logits).sum(-1) < 1).all()  # the mass that the geometric mean loses
        handle.weights = [0, 1]
        torch.testing.assert_close(torch.softmax(models[0](tokens).logits, -1), q, rtol=0, atol=0)
        handle.remove()
        assert not torch.equal(torch.softmax(models[0](tokens).logits, -1), q)


def test_a_pipeline_of_a_masked_language_model_is_fused() -> None:
    from diffusers import BlockRefinementScheduler, LLaDA2Pipeline

    class Masked(torch.nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.table = torch.nn.Parameter(torch.randn(12, 12))

        dtype, device = torch.float32, torch.device("cpu")

        def forward(self, tokens: torch.Tensor, attention_mask: Any = None, position_ids: Any = None) -> Any:
            from transformers.modeling_outputs import MaskedLMOutput

            return MaskedLMOutput(logits=self.table[tokens])

    def words(pipe: Any) -> list[int]:
        options = {
            "gen_length": 8,
            "block_length": 8,
            "num_inference_steps": 4,
            "mask_token_id": 11,
            "eos_token_id": 10,
        }
        out = pipe(input_ids=torch.tensor([[1, 2]]), output_type="seq", **options)
        return out.sequences[0].tolist()

    pipe, other = (LLaDA2Pipeline(Masked(i), BlockRefinementScheduler(), None) for i in range(2))
    for each in (pipe, other):
        each.set_progress_bar_config(disable=True)
    first, second = words(pipe), words(other)
    assert first != second
    with fusion.fused(pipe, [pipe, other], [0, 1]) as handle:
        assert words(pipe) == second
        handle.weights = [0.5, 0.5]
        words(pipe)
        assert handle.calls > 0
    assert words(pipe) == first


# ------------------------------------------------------------------------------------------------- weights
def test_weights_follow_the_noise() -> None:
    pipe = with_adapters("sd3")
    seen: list[float] = []

    def rule(sigma: float) -> list[float]:
        seen.append(sigma)
        return [1, 0] if sigma > 0.7 else [0, 1]

    with fusion.fused(pipe, ADAPTERS, rule) as handle:
        by_function = draw(pipe, steps=4)
        assert np.allclose(seen, pipe.scheduler.sigmas[:4])
        cut = 2 * np.log(0.3 / 0.7)
        handle.weights = fusion.WeightBins([cut], [[1, 0], [0, 1]])
        assert torch.equal(draw(pipe, steps=4), by_function)
        handle.weights = [1, 0]
        assert not torch.equal(draw(pipe, steps=4), by_function)


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "dit", "ddpm"])
def test_the_sigma_of_a_call_is_that_of_the_scheduler(family: str) -> None:
    pipe = with_adapters(family)
    seen: list[float] = []
    with fusion.fused(pipe, ADAPTERS, lambda sigma: seen.append(sigma) or [0.5, 0.5]):
        draw(pipe, steps=3)
    scheduler = pipe.scheduler
    if getattr(scheduler, "sigmas", None) is not None:
        expected = scheduler.sigmas[:3].numpy()
    else:
        bars = scheduler.alphas_cumprod[scheduler.timesteps].numpy()
        expected = np.sqrt((1 - bars) / bars)
    assert np.allclose(seen, expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [1.0], [0.5, float("nan")], "half", [[0.5, 0.5]]])
def test_weights_off_the_simplex_are_refused(pipe: Any, weights: Any) -> None:
    with pytest.raises(SfbenchError, match="weights"):
        fusion.fuse(pipe, ADAPTERS, weights)
    handle = fusion.fuse(pipe, ADAPTERS)
    with pytest.raises(SfbenchError, match="weights"):
        handle.weights = weights
    assert handle.weights.tolist() == [0.5, 0.5]


def test_a_function_off_the_simplex_is_refused_when_it_is_called(pipe: Any) -> None:
    with fusion.fused(pipe, ADAPTERS, lambda sigma: [sigma, sigma]), pytest.raises(SfbenchError, match="sum to 1"):
        draw(pipe)
    assert fusion.switching.AdapterSwitch(pipe.unet).layers[0].active_adapters == ["second"]


@pytest.mark.parametrize(
    ("edges", "weights", "words"),
    [([0.0], [[1, 0]], "increasing"), ([1.0, 0.0], [[1, 0]] * 3, "increasing"), ([0.0], [[1, 0], [2, 0]], "sum to 1")],
)
def test_bins_that_are_none_are_refused(edges: Any, weights: Any, words: str) -> None:
    with pytest.raises(SfbenchError, match=words):
        fusion.WeightBins(edges, weights)


def test_one_expert_a_step_follows_the_weights(pipe: Any) -> None:
    network = pipe.unet
    handle = fusion.fuse(pipe, ADAPTERS, [0.25, 0.75], method="switched", keep_predictions=True)
    order = []
    hook = network.register_forward_hook(
        lambda *_: order.append([p is not None for p in handle.predictions].index(True))
    )
    draw(pipe, steps=8)
    hook.remove()
    assert order == [1, 0, 1, 1, 1, 0, 1, 1]
    assert handle.calls == 8


def test_one_expert_a_step_serves_both_halves_of_a_guidance() -> None:
    pipe = with_adapters("flux")
    handle = fusion.fuse(pipe, ADAPTERS, [0.5, 0.5], method="switched", keep_predictions=True)
    order = []
    hook = pipe.transformer.register_forward_hook(
        lambda *_: order.append([p is not None for p in handle.predictions].index(True))
    )
    draw(pipe, steps=3, true_cfg_scale=3.0, negative_prompt="a dog")
    hook.remove()
    assert order == [0, 0, 1, 1, 0, 0]


# ------------------------------------------------------------------------------------------------- nothing is lost
def test_adapters_come_back_after_an_exception(pipe: Any) -> None:
    layers = fusion.switching.AdapterSwitch(pipe.unet).layers
    activate(pipe.unet, "first")
    handle = fusion.fuse(pipe, ADAPTERS)
    broken = layers[3].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
    with pytest.raises(RuntimeError, match="power cut"):
        draw(pipe)
    broken.remove()
    assert all(layer.active_adapters == ["first"] and not layer.disable_adapters for layer in layers)
    draw(pipe)  # and the hook still works
    assert handle.calls == 2
    with pytest.raises(RuntimeError, match="stop"), fusion.fused(build("ddpm"), [build("ddpm", 1)]):
        raise RuntimeError("stop")


def test_images_of_one_model_are_not_passed_off_as_fused() -> None:
    pipe = with_adapters("ddpm")
    fusion.fuse(pipe, ADAPTERS)
    pipe.unet = ddpm(3).unet
    with pytest.raises(fusion.NotFusedError, match="fuse again"):
        draw(pipe)


def test_a_forward_that_another_library_restored_is_taken_over_again(pipe: Any) -> None:
    plain = type(pipe.unet).forward.__get__(pipe.unet)
    with fusion.fused(pipe, ADAPTERS) as handle:
        expected = draw(pipe)
        pipe.unet.forward = plain
        assert torch.equal(draw(pipe), expected)
        assert handle.calls == 2
        pipe.unet.forward = plain
    assert not torch.equal(draw(pipe), expected)


def test_predictions_that_are_not_finite_are_named(pipe: Any) -> None:
    layer = fusion.switching.AdapterSwitch(pipe.unet).layers[0]
    with torch.no_grad():
        layer.lora_A["second"].weight.fill_(float("nan"))
    with fusion.fused(pipe, ADAPTERS) as handle:
        with pytest.raises(NotFiniteError, match="'second'"):
            draw(pipe)
        handle.weights = [1, 0]
        draw(pipe)


def test_adapters_that_are_loaded_later_are_switched_too(pipe: Any) -> None:
    handle = fusion.fuse(pipe, ADAPTERS)
    before = call(pipe)
    add_adapter(pipe.unet, "third", 77)  # becomes the active one
    assert torch.equal(call(pipe), before)
    handle.remove()
    assert not torch.equal(call(pipe), before)


# ------------------------------------------------------------------------------------------------- refusals
def test_what_cannot_be_fused_is_named(pipe: Any) -> None:
    with pytest.raises(fusion.DiffusersError, match=r"'absent'.*loaded are: 'first', 'second'.*load_lora_weights"):
        fusion.fuse(pipe, ["first", "absent"])
    with pytest.raises(fusion.DiffusersError, match="has no `unet`"):
        fusion.fuse(object(), ["first"])
    with pytest.raises(fusion.DiffusersError, match="has no `unet`"):
        fusion.fuse(pipe, [3.0])
    with pytest.raises(fusion.DiffusersError, match="sequence"):
        fusion.fuse(pipe, "first")
    with pytest.raises(fusion.DiffusersError, match="unknown method"):
        fusion.fuse(pipe, ADAPTERS, method="parallel")
    with pytest.raises(fusion.DiffusersError, match="not kept"):
        _ = fusion.fuse(pipe, ADAPTERS).predictions
    with pytest.raises(fusion.DiffusersError, match="fused already"):
        fusion.fuse(pipe, ADAPTERS)


def test_merged_adapters_are_refused() -> None:
    pipe = with_adapters("sd15")
    pipe.fuse_lora(adapter_names=["first"])
    with pytest.raises(fusion.DiffusersError, match="unfuse_lora"):
        fusion.fuse(pipe, ADAPTERS)
    pipe.unfuse_lora()
    fusion.fuse(pipe, ADAPTERS)


@pytest.mark.slow
def test_the_batched_path_refuses_what_it_cannot_do() -> None:
    pipe = with_adapters("ddpm", use_dora=True)
    with pytest.raises(fusion.DiffusersError, match="DoRA"):
        fusion.fuse(pipe, ADAPTERS, method="batched")
    fusion.fuse(pipe, ADAPTERS).remove()
    draw(pipe)
    pipe = with_adapters("ddpm")
    with pytest.raises(fusion.DiffusersError, match="adapters only"):
        fusion.fuse(pipe, ["first", build("ddpm", 1)], method="batched")
    with pytest.raises(fusion.DiffusersError, match="known for"):
        fusion.fuse(torch.nn.Linear(2, 2), [torch.nn.Linear(2, 2)], method="batched")


def test_incompatible_pipelines_are_named_field_by_field() -> None:
    pipe = build("sd15")
    other = build("sd15", 1)
    other.unet = unet(1, cross_attention_dim=24, in_channels=5)
    other.scheduler = type(other.scheduler).from_config(
        other.scheduler.config, prediction_type="v_prediction", beta_end=0.02
    )
    other.vae.register_to_config(scaling_factor=0.5)
    with pytest.raises(fusion.IncompatibleExpertsError) as error:
        fusion.fuse(pipe, [pipe, other])
    for field in ("in_channels: 4 here, 5 there", "cross_attention_dim", "scaling_factor", "prediction type", "noise"):
        assert field in str(error.value)
    other = build("sd15", 1)
    with torch.no_grad():
        next(other.vae.encoder.parameters()).add_(1.0)
    with pytest.raises(fusion.IncompatibleExpertsError, match="latent space"):
        fusion.fuse(pipe, [pipe, other])
    fusion.fuse(pipe, [pipe, other.unet]).remove()  # the network alone: the user vouches for it
    with torch.no_grad():
        next(build("sd15", 1).vae.decoder.parameters()).add_(1.0)  # another decoder reads the same latents
    with pytest.raises(fusion.IncompatibleExpertsError, match=r"arguments of forward|in_channels"):
        fusion.fuse(build("ddpm"), [dit(0).transformer])
    half = build("sd15", 1).to(torch.bfloat16)
    with pytest.raises(fusion.IncompatibleExpertsError, match="bfloat16"):
        fusion.fuse(pipe, [pipe, half])


def test_two_networks_in_one_pipeline_are_refused() -> None:
    pipe = build("sd3")
    pipe.transformer_2 = pipe.transformer
    with pytest.raises(fusion.DiffusersError, match="several networks"):
        fusion.fuse(pipe, [pipe])


def test_the_parts_of_the_libraries_that_are_relied_on_are_there(pipe: Any) -> None:
    switch = fusion.switching.AdapterSwitch(pipe.unet)
    for name in ADAPTERS:
        activate(pipe.unet, name)
        usual = call(pipe)
        activate(pipe.unet, ADAPTERS[0])
        with torch.no_grad(), switch.restored():
            switch.only([name])
            assert torch.equal(call(pipe), usual)
            assert all(layer.active_adapters == [name] for layer in switch.layers)
        assert all(layer.active_adapters == ["first"] for layer in switch.layers)
    for layer in switch.layers:
        layer.enable_adapters(False)
    bare = call(pipe)
    for layer in switch.layers:
        layer.enable_adapters(True)
    with switch.restored():
        switch.only([])
        assert torch.equal(call(pipe), bare)
    fusion.fuse(pipe, ADAPTERS)
    hook = HookRegistry.check_if_exists_or_initialize(pipe.unet).get_hook(fusion.handle.NAME)
    assert hook.fn_ref.original_forward is not None


def test_a_missing_extra_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    spec = importlib.util.find_spec("sfbench.diffusers")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=r"needs the package 'peft': pip install .*'sfbench\[hf\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_the_name_is_there_without_an_import() -> None:
    assert sfbench.diffusers is fusion
