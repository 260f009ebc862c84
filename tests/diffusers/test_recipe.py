"""Recipes in folders and pictures: what they hold, what follows them, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sfbench.diffusers as fusion
from sfbench.diffusers.recipe import adapter_digest, digest

from .pipelines import ADAPTERS, activate, build, draw, with_adapters


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, torch.Tensor]:
    pipe = with_adapters("ddpm")
    with fusion.fused(pipe, ADAPTERS, [0.25, 0.75]) as handle:
        handle.save(tmp_path, adapters=True)
        return tmp_path, draw(pipe)


def test_a_recipe_says_what_was_fused(saved: tuple[Path, torch.Tensor]) -> None:
    recipe = fusion.read_recipe(saved[0])
    assert recipe == json.loads((saved[0] / "recipe.json").read_text())
    assert recipe["weights"] == {"kind": "constant", "values": [0.25, 0.75]}
    assert [entry["name"] for entry in recipe["experts"]] == list(ADAPTERS)
    assert all(len(entry["parts"]["network"]["sha256"]) == 64 for entry in recipe["experts"])
    assert recipe["schedule"]["prediction"] == "epsilon"
    assert "Tabulated(1000" in recipe["schedule"]["process"]
    assert set(recipe["versions"]) >= {"diffusers", "peft", "torch"}


@pytest.mark.slow
def test_a_recipe_brings_adapters_scales_and_weights(saved: tuple[Path, torch.Tensor]) -> None:
    folder, image = saved
    pipe = build("ddpm")
    handle = fusion.load(pipe, folder)
    assert torch.equal(draw(pipe), image)
    assert handle.weights.tolist() == [0.25, 0.75]
    handle.remove()
    pipe = with_adapters("ddpm", scale=5.0)  # loaded already, at another scale
    fusion.load(pipe, folder)
    assert torch.equal(draw(pipe), image)


def test_weights_in_bins_and_methods_are_kept(tmp_path: Path) -> None:
    pipe = with_adapters("ddpm")
    bins = fusion.WeightBins([0.0], [[0.5, 0.5], [0.1, 0.9]])
    with fusion.fused(pipe, {"a": "first", "b": "second"}, bins, method="batched") as handle:
        handle.save(tmp_path)
        image = draw(pipe)
        with fusion.fused(other := with_adapters("ddpm"), ADAPTERS) as plain:
            plain.weights = bins
            torch.testing.assert_close(draw(other), image)
    handle = fusion.load(pipe, tmp_path)
    assert torch.equal(draw(pipe), image)
    assert handle.hook.method == "batched"
    assert [expert.name for expert in handle.experts] == ["a", "b"]
    handle.weights = lambda sigma: [0.5, 0.5]
    with pytest.raises(fusion.RecipeError, match="WeightBins"):
        handle.save(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_digests_tell_weights_apart_and_nothing_else() -> None:
    pipe = with_adapters("ddpm")
    own, first = digest(pipe.unet), adapter_digest(pipe.unet, "first")
    assert own == digest(build("ddpm").unet)  # adapters are not part of the network
    assert own != digest(build("ddpm", 1).unet)
    assert first != adapter_digest(pipe.unet, "second")
    activate(pipe.unet, "first")
    assert first == adapter_digest(pipe.unet, "first")
    with torch.no_grad():
        next(p for n, p in pipe.unet.named_parameters() if "lora_B.first" in n)[0, 0] += 1e-4
    assert first != adapter_digest(pipe.unet, "first")


def test_another_pipeline_or_expert_is_refused(saved: tuple[Path, torch.Tensor]) -> None:
    folder, _ = saved
    with pytest.raises(fusion.RecipeError, match="weights of the UNet2DModel"):
        fusion.load(build("ddpm", 3), folder)
    with pytest.raises(fusion.RecipeError, match="for a UNet2DModel"):
        fusion.load(build("dit"), folder)
    pipe = build("ddpm")
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, beta_end=0.03)
    with pytest.raises(fusion.RecipeError, match="schedule"):
        fusion.load(pipe, folder)
    pipe = with_adapters("ddpm")
    with torch.no_grad():
        next(p for n, p in pipe.unet.named_parameters() if "lora_B.second" in n)[0, 0] += 1e-4
    with pytest.raises(fusion.RecipeError, match="adapter 'second'"):
        fusion.load(pipe, folder)
    fusion.load(pipe, folder, check=False)


def test_other_pipelines_must_be_at_hand(tmp_path: Path) -> None:
    pipe, other = build("ddpm"), build("ddpm", 5)
    with fusion.fused(pipe, {"own": pipe, "far": other}) as handle:
        handle.save(tmp_path / "a")
    with pytest.raises(fusion.RecipeError, match=r"experts=.*far"):
        fusion.load(build("ddpm"), tmp_path / "a")
    with pytest.raises(fusion.RecipeError, match="'far' are not those"):
        fusion.load(build("ddpm"), tmp_path / "a", experts={"far": build("ddpm", 6)})
    other.save_pretrained(tmp_path / "pipeline")
    opened = fusion.open_pipeline(str(tmp_path / "pipeline"))
    opened.set_progress_bar_config(disable=True)
    with fusion.fused(pipe, {"own": pipe, "far": opened}) as handle:
        handle.save(tmp_path / "b")  # knows its folder
        image = draw(pipe)
    again = build("ddpm")
    fusion.load(again, tmp_path / "b")
    assert torch.equal(draw(again), image)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99}', '{"format": 1}'])
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(fusion.RecipeError):
        fusion.load(build("ddpm"), tmp_path)
    with pytest.raises(fusion.RecipeError):
        fusion.read_recipe(tmp_path / "absent")


@pytest.mark.slow
def test_pictures_carry_recipe_and_seed(tmp_path: Path) -> None:
    pipe = with_adapters("ddpm")
    with fusion.fused(pipe, ADAPTERS, [0.25, 0.75]):
        result = fusion.sample(pipe, None, 2, steps=2, rng=7)
        paths = result.save(tmp_path / "pictures")
    assert [path.name for path in paths] == ["0000.png", "0001.png"]
    with Image.open(paths[1]) as picture:
        about = json.loads(picture.info["sfbench"])
        assert np.array_equal(np.asarray(picture), np.asarray(result.images[1]))
    assert (about["seed"], about["number"], about["weight"]) == (result.seed, 1, 0.5)
    assert about["law"] == result.law
    handle = fusion.load(with_adapters("ddpm"), paths[1])
    assert handle.weights.tolist() == [0.25, 0.75]
    again = fusion.sample(handle.pipe, None, 2, steps=2, rng=7)
    assert torch.equal(again.latents, result.latents)


def test_arrays_and_tensors_become_pictures(tmp_path: Path) -> None:
    array = np.linspace(0, 1, 48).reshape(4, 4, 3)
    paths = fusion.save_images([array, torch.from_numpy(array).permute(2, 0, 1), array[..., :1]], tmp_path, seed=3)
    pictures = [np.asarray(Image.open(path)) for path in paths]
    assert np.array_equal(pictures[0], pictures[1])
    assert pictures[2].shape == (4, 4)
    with pytest.raises(fusion.RecipeError, match="no recipe"):
        fusion.read_recipe(paths[0])
    with pytest.raises(OSError, match="colours in"):
        fusion.save_images([array * 3], tmp_path)
    with pytest.raises(OSError, match="colours in"):
        fusion.save_images([torch.zeros(4, 8, 8)], tmp_path)


def test_without_internet_there_is_one_error_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked: list[Any] = []

    class Dead:
        def head(self, *args: Any, **kwargs: Any) -> None:
            asked.append(args)
            raise TimeoutError("no route")

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_session", Dead)
    with pytest.raises(fusion.DiffusersError, match=r"'nobody/nothing' is neither a folder.*cannot be reached"):
        fusion.open_pipeline("nobody/nothing")
    assert len(asked) == 1
