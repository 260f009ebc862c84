"""Hostile arguments of every verb are refused by name, and the pipeline is left as it was."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest

import sfbench.diffusers as fusion
from sfbench.errors import SfbenchError

from .pipelines import ADAPTERS, build, draw, with_adapters

PICTURES = np.random.default_rng(0).random((2, 8, 8, 3))
HALF = [0.5, 0.5]


@pytest.fixture(scope="module")
def pipe() -> Any:
    return with_adapters("ddpm")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nonsense": 1}, "no option 'nonsense'"),
        ({"guidance_scal": 3.0}, "no option 'guidance_scal'"),
        ({"generator": 3}, "rng="),
        ({"batch_size": 3}, "n= says"),
        ({"steps": 10**9}, "refuses to draw"),
        ({"linearise": "yes"}, "linearise must be True or False"),
        ({"verbose": 2}, "verbose must be"),
        ({"output_type": "zz"}, "unknown output_type 'zz'"),
        ({"output_type": ["np"]}, "unknown output_type"),
    ],
)
def test_options_of_samples(pipe: Any, options: dict[str, Any], words: str) -> None:
    with fusion.fused(pipe, ADAPTERS), pytest.raises(SfbenchError, match=words):
        fusion.sample(pipe, **{"n": 1, "steps": 1} | options)
    assert not hasattr(pipe, "_sfbench_handle")
    draw(pipe, steps=1)


@pytest.mark.parametrize(
    ("prompt", "options", "words"),
    [
        (None, {}, "refuses to draw: .*prompt"),
        ("a cat", {"height": 15}, "divisible by 8"),
        ("a cat", {"guidance_scale": "x"}, "refuses to draw"),
        ("a cat", {"guidance_scal": 3.0}, "did you mean 'guidance_scale'"),
        ("a cat", {"num_images_per_prompt": 3}, "n= says"),
    ],
)
def test_options_of_prompted_pipelines(prompt: Any, options: dict[str, Any], words: str) -> None:
    text = with_adapters("sd15")
    with fusion.fused(text, ADAPTERS), pytest.raises(fusion.DiffusersError, match=words):
        fusion.sample(text, prompt, sampler="ode", **{"steps": 1, "height": 16, "width": 16} | options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": None}, "ways must be"),
        ({"ways": "fused"}, "ways must be"),
        ({"ways": []}, "ways must be"),
        ({"experts": None}, "experts must be"),
        ({"experts": []}, "experts must be"),
        ({"experts": "first"}, "experts must be"),
        ({"learning": 3}, "learning must be"),
        ({"scheduler": "dpm"}, "a diffusers scheduler is needed, got a str"),
        ({"images": PICTURES, "learning": {"bins": 2}}, "bins"),
        ({"images": PICTURES, "learning": {"rng": 2}}, "rng"),
        ({"images": PICTURES, "learning": {"n_node": 2}}, "no option 'n_node'"),
    ],
)
def test_comparisons(pipe: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(fusion.DiffusersError, match=words):
        fusion.compare(pipe, **{"experts": ADAPTERS, "steps": 1, "n": 1} | options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"height": "a", "width": 8}, "height must be"),
        ({"width": 0}, "width must be"),
        ({"prompts": 3.5}, "prompts must be"),
        ({"allow_inexact": "a"}, "allow_inexact must be"),
        ({"progress": 2}, "progress must be"),
        ({"tol": -1}, "tol must be"),
        ({"images": np.array(["a"])}, "images must"),
        ({"images": PICTURES.astype(complex)}, "images must"),
    ],
)
def test_fits(pipe: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(fusion.DiffusersError, match=words):
        fusion.learn_weights(pipe, ADAPTERS, **{"images": PICTURES, "n_nodes": 2} | options)


def test_files_grids_and_merges(pipe: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    calls: list[tuple[Any, str]] = [
        (lambda: fusion.merge(pipe, ADAPTERS, HALF, "ties", density="a"), "density must be"),
        (lambda: fusion.merge(pipe, None, HALF), "experts must be"),
        (lambda: fusion.draw_grid(pipe, [HALF]), "handle must be"),
        (lambda: fusion.weight_steps(0), "k must be"),
        (lambda: fusion.weight_steps(3, "a"), "count must be"),
        (lambda: fusion.tile(None), "mapping"),
        (lambda: fusion.tile({"a": None}), "mapping"),
        (lambda: fusion.tile({"a": [PICTURES[0]]}, least="a"), "least must be"),
        (lambda: fusion.load(pipe, None), "path must be"),
        (lambda: fusion.read_recipe(3), "path must be"),
        (lambda: fusion.make_recipe(None), "handle must be"),
        (lambda: fusion.save_images(None, tmp_path), "images must be"),
        (lambda: fusion.open_pipeline(None), "name must be"),
        (lambda: fusion.open_pipeline(str(tmp_path / "empty")), "in this folder"),
        (lambda: fusion.open_pipeline("/nowhere/at/all"), "no pipeline opens"),
        (lambda: fusion.open_on(str(tmp_path), "gpu9"), "device='gpu9'"),
        (lambda: fusion.load_adapter(pipe, "a", 4), "where must be"),
        (lambda: fusion.sde_scheduler(diffusers.DDIMScheduler(), solver_orde=3), "solver_orde"),
        (lambda: fusion.sde_scheduler(diffusers.DDIMScheduler(), solver_order="x"), "refuses the settings"),
    ]
    for call, words in calls:
        with pytest.raises(SfbenchError, match=words):
            call()
    with fusion.fused(pipe, ADAPTERS) as handle:
        handle.save(tmp_path / "recipe")
        for call, words in (
            (lambda: handle.save(None), "folder must be"),
            (lambda: handle.save(tmp_path / "other", adapters="x"), "adapters must be True or False"),
            (lambda: fusion.draw_grid(handle, "a"), "weights must"),
        ):
            with pytest.raises(SfbenchError, match=words):
                call()
    with pytest.raises(fusion.RecipeError, match="was removed"):
        handle.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(SfbenchError, match="experts must be"):
        fusion.load(build("ddpm"), tmp_path / "recipe", experts=3)
