"""``sfbench diffusers``: on a tiny pipeline and two adapter files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file

import sfbench.diffusers as fusion
from sfbench.cli import main

from .pipelines import ADAPTERS, build, with_adapters


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline, two adapter files, and four pictures."""
    folder = tmp_path_factory.mktemp("commands")
    pipe = with_adapters("sd15")
    for name in ADAPTERS:
        tensors = get_peft_model_state_dict(pipe.unet, adapter_name=name)
        type(pipe).save_lora_weights(folder, unet_lora_layers=tensors, weight_name=f"{name}.safetensors")
    pipe.unload_lora_weights()
    pipe.save_pretrained(folder / "pipe")
    (folder / "pictures").mkdir()
    for i, picture in enumerate(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)):
        Image.fromarray(picture).save(folder / "pictures" / f"{i}.png")
    return folder


@pytest.fixture
def call(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(command: str, *more: str, adapters: bool = True) -> tuple[int, str, str]:
        chosen = [f"--adapter={name}={place / name}.safetensors" for name in ADAPTERS] if adapters else []
        code = main(["diffusers", command, str(place / "pipe"), *chosen, "--device", "cpu", *more])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def picture(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_learned_weights_are_kept_and_drawn_from(call: Any, place: Path) -> None:
    code, out, err = call("learn", "--images", str(place / "pictures"), "-p", "a cat", "--nodes", "2", "--json")
    assert code == 0, err
    assert "32 network evaluations to learn from 4 pictures" in err
    told = json.loads(out)
    assert told["experts"] == list(ADAPTERS)
    assert sum(told["weights"]) == pytest.approx(1.0)
    assert fusion.read_recipe("fusion")["weights"]["values"] == pytest.approx(told["weights"])
    code, out, err = call("sample", "-p", "a cat", "-n", "2", "--steps", "2", "--recipe", "fusion", "--guidance", "1")
    assert code == 0, err
    assert "fused law" in out
    assert fusion.read_recipe("fusion/0001.png")["weights"]["values"] == pytest.approx(told["weights"])
    assert picture("fusion/grid.png").shape[1] > 2 * 64


@pytest.mark.slow
def test_a_grid_begins_and_ends_with_single_experts(call: Any) -> None:
    options = ("-p", "a cat", "-n", "2", "--steps", "2", "--size", "16")
    code, out, err = call("grid", "--rows", "3", *options, "--out", "grid")
    assert code == 0, err
    assert "16 network evaluations for 6 pictures" in err
    code, _, _ = call("sample", "--weights", "0,1", "--sampler", "ode", *options, "--out", "one")
    assert code == 0
    sheet = picture("grid/grid.png")
    assert [expert["name"] for expert in fusion.read_recipe("grid/grid.png")["experts"]] == list(ADAPTERS)
    row = (len(sheet) - 4) // 3
    assert not np.array_equal(sheet[14 : 14 + 64, 4:68], sheet[14 + 2 * row : 14 + 64 + 2 * row, 4:68])
    assert "experts: first, second" in out


@pytest.mark.slow
def test_ways_are_compared(call: Any, place: Path) -> None:
    options = ("-p", "a cat", "-n", "1", "--steps", "1", "--size", "16", "--images", str(place / "pictures"))
    code, out, err = call("compare", "--ways", "fused,linear,superdiff,adapters", *options, "--guidance", "1", "--json")
    assert code == 0, err
    assert f"{6 + 16 * 4 * 4} network evaluations" in err  # two ways of two runs; four networks on four pictures
    rows = {row["name"]: row for row in json.loads(out)}
    assert list(rows) == ["fused", "linear", "superdiff", "adapters"]
    assert rows["superdiff"]["runs"] == 2
    assert rows["fused"]["loss"] == 0.0
    assert rows["linear"]["loss"] == pytest.approx(rows["adapters"]["loss"], rel=1e-3)
    assert len(fusion.read_recipe("fusion/compare.png")["experts"]) == 2


def test_the_cost_is_said_before_anything_runs(call: Any) -> None:
    code, out, err = call("grid", "--rows", "5", "-n", "4", "--steps", "30", "--dry-run")
    assert (code, out) == (0, "")
    assert "960 network evaluations for 20 pictures" in err
    assert not Path("fusion").exists()


@pytest.mark.parametrize(
    ("command", "more", "words"),
    [
        ("grid", ("--adapter", "third"), "name=file"),
        ("grid", ("--adapter", "third=no_such.safetensors"), "no such file"),
        ("grid", ("--rows", "1"), "'--rows'"),
        ("learn", ("--images", ".", "--prompts", "no_such.txt"), "--prompts: there is no file"),
        ("sample", ("--weights", "a,b"), "numbers such as"),
        ("sample", ("--weights", "0.5,0.6"), "sum to 1"),
        ("sample", ("--sampler", "correct"), "did you mean 'corrected'"),
        ("compare", ("--ways", "fusd"), "did you mean 'fused'"),
        ("learn", ("--images", "no_such_folder"), "not a folder"),
    ],
)
def test_mistakes_get_one_line(call: Any, command: str, more: tuple[str, ...], words: str) -> None:
    code, _, err = call(command, *more)
    assert code == 2
    assert words in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_a_recipe_names_the_adapter_that_it_lacks(call: Any, tmp_path: Path) -> None:
    with fusion.fused(with_adapters("sd15"), ADAPTERS) as handle:
        handle.save(tmp_path)
    code, _, err = call("sample", "--recipe", str(tmp_path), adapters=False)
    assert code == 2
    assert "give --adapter first=file" in err


@pytest.mark.slow
def test_one_expert_is_fused_with_the_pipeline_itself(call: Any, place: Path, tmp_path: Path) -> None:
    (tmp_path / "twin").symlink_to(place / "pipe")
    options = ("-p", "a cat", "-n", "1", "--steps", "1", "--size", "16", "--json")
    code, out, err = call("grid", "--adapter", f"ink={place / 'first'}.safetensors", *options, adapters=False)
    assert code == 0, err
    assert json.loads(out)["experts"] == ["__base__", "ink"]
    code, out, err = call("sample", "--other", "twin", *options, adapters=False)
    assert code == 0, err
    assert "2 network evaluations" in err
    assert json.loads(out)["images"] == ["fusion/0000.png"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
            "size mismatch for down_blocks.*to_k",
        ),
        ("transformer.blocks.0.attn.to_k", "has no weights for a UNet2DConditionModel"),
    ],
)
def test_an_adapter_of_another_network_is_named(path: str, words: str, tmp_path: Path) -> None:
    tensors = {f"{path}.lora_A.weight": torch.zeros(2, 32), f"{path}.lora_B.weight": torch.zeros(8, 2)}
    save_file(tensors, tmp_path / "wide.safetensors")
    with pytest.raises(fusion.DiffusersError, match=words):
        fusion.load_adapter(build("sd15"), "wide", str(tmp_path / "wide.safetensors"))


def test_nothing_to_fuse_is_said(call: Any) -> None:
    code, _, err = call("grid", adapters=False)
    assert code == 2
    assert "--adapter name=file" in err


def test_grids_need_pictures_and_enlarge_small_ones() -> None:
    with pytest.raises(fusion.DiffusersError, match="at least one row"):
        fusion.tile({})
    sheet = fusion.tile({"a": [torch.zeros(3, 8, 8), np.ones((8, 8, 3))], "b": [Image.new("RGB", (8, 8))]})
    assert sheet.size == (4 + 2 * 68, 4 + 2 * 82)
    assert fusion.weight_steps(3).tolist()[:3] == np.eye(3).tolist()
