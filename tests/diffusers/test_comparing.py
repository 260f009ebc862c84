"""Merged parameters against arithmetic by hand, and ways of combining experts side by side."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch

import sfbench.diffusers as fusion
from sfbench.errors import SfbenchError

from .pipelines import ADAPTERS, activate, build, denoiser, draw, with_adapters

HALF = (0.5, 0.5)


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.double() for key, value in module.state_dict().items()}


# ------------------------------------------------------------------------------------------------- merging
def test_linear_merging_is_the_mean_of_parameters() -> None:
    pipe, other = build("ddpm"), build("ddpm", 5)
    a, b, merged = state(pipe.unet), state(other.unet), state(fusion.merge(pipe, [pipe, other], [0.25, 0.75]))
    for key in a:
        torch.testing.assert_close(merged[key], 0.25 * a[key] + 0.75 * b[key], rtol=1e-5, atol=1e-6)


def test_an_adapter_alone_is_merged_into_the_network_that_it_makes() -> None:
    pipe = with_adapters("sd15")
    merged = fusion.merge(pipe, ADAPTERS, [0, 1])
    activate(pipe.unet, "second")
    expected = draw(pipe)
    with fusion.fused(pipe, [merged]):
        torch.testing.assert_close(draw(pipe), expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(draw(pipe), expected)
    torch.testing.assert_close(state(fusion.merge(pipe, ["__base__", "first"], [1, 0])), state(build("sd15").unet))


def test_the_arc_keeps_lengths_and_ends() -> None:
    pipe, other = build("ddpm"), build("ddpm", 5)
    a, b = state(pipe.unet)["conv_in.weight"], state(other.unet)["conv_in.weight"]
    ends = [state(fusion.merge(pipe, [pipe, other], w, "slerp"))["conv_in.weight"] for w in ([1, 0], [0, 1])]
    torch.testing.assert_close(ends[0], a, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ends[1], b, rtol=1e-5, atol=1e-6)
    middle = state(fusion.merge(pipe, [pipe, other], HALF, "slerp"))["conv_in.weight"]
    assert float(middle.norm()) > 1.2 * float((a + b).norm() / 2)  # nearly orthogonal tensors: a mean is too short
    same = fusion.merge(pipe, [pipe, build("ddpm")], HALF, "slerp")
    torch.testing.assert_close(state(same), state(pipe.unet), rtol=1e-6, atol=1e-7)


def test_ties_keeps_the_larger_changes_of_one_sign() -> None:
    pipe = build("ddpm")
    others = [build("ddpm"), build("ddpm")]
    base = pipe.unet.conv_out.bias.detach().clone()
    changes = torch.tensor([[1.0, -2.0, 0.01], [3.0, 1.0, 0.02]])
    for other, change in zip(others, changes, strict=True):
        with torch.no_grad():
            other.unet.conv_out.bias += change
    merged = fusion.merge(pipe, others, HALF, "ties", density=0.67)  # two of three changes are kept
    torch.testing.assert_close(merged.conv_out.bias.detach() - base, torch.tensor([2.0, -2.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(state(fusion.merge(pipe, [pipe, pipe], HALF, "ties")), state(pipe.unet))


@pytest.mark.parametrize(
    ("experts", "weights", "options", "words"),
    [
        (["first", "second"], [0.5, 0.6], {}, "sum to 1"),
        (["first", "second", "__base__"], [0.5, 0.25, 0.25], {"how": "slerp"}, "two networks"),
        (["first", "second"], HALF, {"how": "soup"}, "soup"),
        (["first", "second"], HALF, {"how": "ties", "density": 0.0}, "density"),
        (["first", "third"], HALF, {}, "third"),
    ],
)
def test_what_cannot_be_merged_is_named(experts: Any, weights: Any, options: Any, words: str) -> None:
    with pytest.raises(SfbenchError, match=words):
        fusion.merge(with_adapters("ddpm"), experts, weights, **options)


def test_other_architectures_do_not_merge() -> None:
    with pytest.raises(fusion.DiffusersError, match="other parameters"):
        fusion.merge(build("ddpm"), [build("ddpm").unet, build("sd15").unet], HALF)


# ------------------------------------------------------------------------------------------------- comparing
@pytest.mark.slow
def test_ways_share_noise_and_are_what_they_say() -> None:
    pipe = with_adapters("ddpm")
    options = {"output_type": "np", "num_inference_steps": 2}
    activate(pipe.unet, "first")
    result = fusion.compare(pipe, ADAPTERS, [1, 0], ways=fusion.comparing.WAYS, n=2, rng=0, **options)
    fused = result["fused"].images
    assert not np.array_equal(*fused)
    for name in ("switched", "mixture"):  # one expert has all the weight
        assert all(np.array_equal(a, b) for a, b in zip(result[name].images, fused, strict=True))
    for name in ("adapters", "linear", "slerp", "ties"):
        close = all(np.allclose(a, b, atol=1e-3) for a, b in zip(result[name].images, fused, strict=True))
        assert close is (name != "ties")  # which trims
    assert not np.allclose(result["composite"].images[0], fused[0], atol=1e-3)
    assert {way.name: way.runs for way in result.ways} == {
        name: 1 + (name == "composite") for name in fusion.comparing.WAYS
    }
    assert result.fitted is None
    layers = fusion.switching.AdapterSwitch(pipe.unet).layers
    assert all(layer.active_adapters == ["first"] and layer.scaling["first"] == 4.0 for layer in layers)


@pytest.mark.slow
def test_one_merged_network_is_there_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[torch.nn.Module]] = []

    def merge(*args: Any) -> torch.nn.Module:
        assert len(made) == 4 or all(old() is None for old in made)  # the two that are measured are there together
        network = fusion.merge(*args)
        made.append(weakref.ref(network))
        return network

    monkeypatch.setattr(fusion.comparing, "merge", merge)
    options = {"output_type": "np", "steps": 1, "rng": 0, "n": 1}
    fusion.compare(with_adapters("ddpm"), ADAPTERS, ways=["linear", "slerp", "ties"], **options)
    assert len(made) == 3
    pictures = {"images": np.random.default_rng(0).random((2, 8, 8, 3)), "learning": {"n_nodes": 1}}
    fusion.compare(with_adapters("ddpm"), ADAPTERS, ways=["adapters", "linear"], **pictures, **options)
    assert len(made) == 6


@pytest.mark.slow
def test_half_of_the_mixture_is_each_expert() -> None:
    pipe = with_adapters("ddpm")
    options = {"output_type": "np", "steps": 2, "rng": 0, "n": 4}
    mixture = fusion.compare(pipe, ADAPTERS, ways=["mixture"], **options)["mixture"].images
    alone = [fusion.compare(pipe, ADAPTERS, np.eye(2)[i], ways=["fused"], **options)["fused"].images for i in (0, 1)]
    for j in range(4):
        assert np.array_equal(mixture[j], alone[j // 2][j])


@pytest.mark.slow
def test_objectives_on_pictures_are_those_of_the_gram() -> None:
    pipe = with_adapters("ddpm", scale=0.5)
    images = np.random.default_rng(0).random((6, 8, 8, 3))
    result = fusion.compare(
        pipe,
        ADAPTERS,
        [0.3, 0.7],
        ways=["fused", "composite", "linear", "adapters"],
        n=1,
        images=images,
        rng=0,
        learning={"n_nodes": 2},
        output_type="np",
        steps=1,
    )
    assert (result["fused"].loss, result["fused"].stderr) == (0.0, 0.0)
    assert result["linear"].loss == pytest.approx(result["adapters"].loss)
    assert result["composite"].stderr > 0
    seed = int(np.random.default_rng(0).integers(2**62, size=2)[1])
    fit = fusion.learn_weights(pipe, ADAPTERS, images, n_nodes=2, rng=seed)
    excess = fit.gram.excess(HALF, [0.3, 0.7])
    assert result["composite"].loss == pytest.approx(excess, rel=1e-3)
    assert result.fitted == pytest.approx(
        fusion.learn_weights(pipe, ADAPTERS, images, n_nodes=2, rng=seed).weights, abs=1e-3
    )
    assert "objective above fused" in repr(result)
    assert denoiser(pipe) is pipe.unet


def test_comparisons_that_make_no_sense_are_refused() -> None:
    pipe = with_adapters("ddpm")
    with pytest.raises(SfbenchError, match=r"mixtur.*mixture"):
        fusion.compare(pipe, ADAPTERS, ways=["mixtur"])
    with pytest.raises(SfbenchError, match="adapters only"):
        fusion.compare(pipe, [pipe, build("ddpm", 5)], ways=["adapters"])
    with pytest.raises(SfbenchError, match="n must be"):
        fusion.compare(pipe, ADAPTERS, n=0)
