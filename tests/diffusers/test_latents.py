"""Pictures and latents that weights are learned from, and what is refused."""

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sfbench
import sfbench.diffusers as fusion
from sfbench.diffusers.latents import as_pictures, encode
from sfbench.errors import SfbenchError
from solvers.errors import UnknownSolverError

from .pipelines import ADAPTERS, add_adapter, build, draw, flux, unet, with_adapters


def test_latents_are_those_that_the_pipeline_decodes() -> None:
    pipe = build("sd3")  # with a shift and a scale
    images = np.random.default_rng(0).random((2, 16, 16, 3)).astype(np.float32)
    latents = encode(pipe, as_pictures(images))
    with torch.no_grad():
        expected = pipe.vae.encode(torch.from_numpy(2 * images - 1).permute(0, 3, 1, 2)).latent_dist.mode()
    torch.testing.assert_close(latents / 1.5 + 0.06, expected)
    resized = encode(pipe, as_pictures(images), (32, 8))
    assert resized.shape == (2, 4, 16, 4)


def test_pictures_come_from_folders_paths_and_arrays(tmp_path: Any) -> None:
    array = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    for i, picture in enumerate(array):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    pipe = build("ddpm")
    wanted = encode(pipe, as_pictures(array))
    for given in (str(tmp_path), tmp_path, sorted(tmp_path.glob("*.png")), [Image.fromarray(p) for p in array]):
        torch.testing.assert_close(encode(pipe, as_pictures(given)), wanted)
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    torch.testing.assert_close(encode(pipe, as_pictures(tensor)), wanted)


def test_pictures_are_grey_where_the_network_is(tmp_path: Any) -> None:
    array = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    for i, picture in enumerate(array):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    pipe = build("ddpm")
    pipe.unet.register_to_config(in_channels=1)
    from_files = encode(pipe, as_pictures(tmp_path))
    assert from_files.shape == (2, 1, 8, 8)
    torch.testing.assert_close(from_files, encode(pipe, as_pictures(array[..., None])))


# ------------------------------------------------------------------------------------------------- refusals
@pytest.fixture(scope="module")
def shared() -> Any:
    return with_adapters("ddpm")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": np.full((2, 8, 8, 3), 1.5)}, r"\[0, 1\]"),
        ({"images": np.full((2, 8, 8, 3), np.nan)}, r"\[0, 1\]"),
        ({"images": np.zeros((1, 8, 8, 3))}, "at least 2"),
        ({"images": np.zeros((8, 8, 3))}, "n, height"),
        ({"images": np.zeros((2, 16, 16, 3))}, "of the size"),
        ({"images": []}, "at least one"),
        ({"images": "no_such_folder"}, "not a folder"),
        ({"images": ["no_such_file.png"] * 2}, "cannot be read"),
        ({"images": [3, 4]}, "must be a picture"),
        ({"prompts": ["a cat"]}, "1 prompts are given for 2"),
        ({"prompts": "a cat"}, "takes no prompt"),
        ({"estimator": "stein"}, "divergences"),
        ({"bins": 2, "solver": "active_set"}, "solver of their own"),
        ({"bins": 0}, "bins"),
        ({"smoothing": 0.1}, "pass bins"),
        ({"bins": 2, "weight_tol": 0.1}, "constant weights"),
        ({"weight_tol": 2.0}, "weight_tol"),
        ({"evaluations": 0}, "evaluations"),
        ({"images": [Image.new("RGB", (8, 8))] * 4 + [Image.new("RGB", (16, 16))], "batch": 1}, "several sizes"),
        ({"n_nodes": 0}, "n_nodes"),
        ({"n_noise": 0}, "n_noise"),
        ({"batch": 0}, "batch"),
        ({"method": "switched"}, "sequential"),
        ({"t_min": 0.5, "t_max": 0.1}, "t_min"),
        ({"t_min": 1e-5}, "trained at times"),
        ({"experts": ["first", "third"]}, "third"),
        ({"rng": "seed"}, "rng"),
    ],
)
def test_bad_input_is_named(shared: Any, options: dict[str, Any], words: str) -> None:
    pipe = shared
    given = {"experts": ADAPTERS, "images": np.zeros((2, 8, 8, 3)), "n_nodes": 2} | options
    with pytest.raises(SfbenchError, match=words):
        fusion.learn_weights(pipe, **given)
    with fusion.fused(pipe, ADAPTERS):  # nothing was left behind
        draw(pipe, steps=1)


def test_an_unknown_solver_is_refused_before_the_pass() -> None:
    with pytest.raises(UnknownSolverError, match="simplx"):
        fusion.learn_weights(None, [], [], solver="simplx")


@pytest.mark.slow
def test_what_is_not_a_diffusion_is_refused() -> None:
    pipe = build("sd15")
    images = np.zeros((2, 16, 16, 3))
    pipe.scheduler = diffusers.LCMScheduler()
    with pytest.raises(fusion.NoiseScheduleError, match="consistency and distilled"):
        fusion.learn_weights(pipe, [pipe, unet(5)], images)
    with pytest.raises(fusion.DiffusersError, match="guidance_embeds"):
        fusion.learn_weights(flux(0, guidance=True), [flux(1, guidance=True).transformer], images)
    with pytest.raises(fusion.NoiseScheduleError, match="scheduler is needed"):
        fusion.learn_weights(unet(0), [unet(1)], images)
    pipe = build("sd15")
    with pytest.raises(fusion.DiffusersError, match="guidance_scale=1"):
        fusion.learn_weights(pipe, [pipe, unet(5)], images, guidance_scale=5.0)


def test_a_network_that_is_not_finite_is_named() -> None:
    pipe = with_adapters("ddpm")
    layer = fusion.switching.AdapterSwitch(pipe.unet).layers[0]
    with torch.no_grad():
        layer.lora_A["second"].weight.fill_(float("nan"))
    with pytest.raises(sfbench.errors.NotFiniteError, match=r"'second'.* at t ="):
        fusion.learn_weights(pipe, ADAPTERS, np.zeros((2, 8, 8, 3)), n_nodes=2)


def test_adapters_of_text_encoders_count() -> None:
    pipe = with_adapters("sd15")
    images = np.random.default_rng(0).random((2, 16, 16, 3))
    plain = fusion.learn_weights(pipe, ADAPTERS, images, prompts="a cat", n_nodes=2, rng=0)
    for i, name in enumerate(ADAPTERS):
        add_adapter(pipe.text_encoder, name, 20 + i, scale=20.0, target_modules=["q_proj", "v_proj"])
    own = fusion.learn_weights(pipe, ADAPTERS, images, prompts="a cat", n_nodes=2, rng=0)
    assert not np.allclose(own.gram.G, plain.gram.G, rtol=1e-3)
