"""The judge of the portrait study against numbers that are known, and the ways of drawing on tiny networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.portraits import __main__ as study
from benchmarks.portraits import judge
from benchmarks.portraits.data import CLASSES, GROUPS, Coordinates, Faces
from benchmarks.portraits.networks import train_all
from benchmarks.portraits.probe import look, train_probe


def test_what_networks_see_is_a_shift_a_scaling_and_a_rotation() -> None:
    x = np.random.default_rng(0).random((5, 3, 32, 32), dtype=np.float32)
    coordinates = Coordinates.of(x)
    z = coordinates.fold(x)
    assert z.shape == (5, 48, 8, 8)
    assert float(z.mean(dim=0).abs().max()) < 1e-6
    np.testing.assert_allclose(coordinates.unfold(z), x, atol=1e-6)
    assert float((z[0] - z[1]).square().sum()) == pytest.approx(4.0 * np.square(x[0] - x[1]).sum(), rel=1e-5)


@pytest.mark.slow
def test_the_probe_tells_drawn_classes_apart_and_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(8), 32)
    colours = rng.random((8, 3, 1, 1))[labels]
    faces = Faces((colours + 0.01 * rng.random((len(labels), 3, 8, 8))).astype(np.float32), labels)
    probe = train_probe(faces, 12, tmp_path / "probe.pt", 0)
    said, features = look(probe, faces.x)
    assert features.shape == (len(labels), 64)
    assert (said == labels).mean() > 0.8
    again = train_probe(faces, 12, tmp_path / "probe.pt", 1)
    assert np.array_equal(look(again, faces.x)[1], features)


def test_the_confusion_of_the_probe_is_undone() -> None:
    rng, k = np.random.default_rng(0), len(CLASSES)
    confusion = 0.7 * np.eye(k) + 0.3 / k

    def said(truth: np.ndarray) -> np.ndarray:
        return np.array([rng.choice(k, p=confusion[c]) for c in truth])

    held_out = np.repeat(np.arange(k), 500)
    first, second = (CLASSES.index(name) for name in GROUPS)
    truth = rng.permutation(np.repeat([first, second], [600, 1400]))
    guesses = said(truth)
    shares = judge._shares(guesses, said(held_out), held_out)
    assert shares["first"] == pytest.approx(0.3, abs=0.05)
    assert shares["second"] == pytest.approx(0.7, abs=0.05)
    assert abs((guesses == first).mean() - 0.3) > 0.04  # the plain frequency is wrong
    assert sum(shares.values()) == pytest.approx(1.0)


def test_measures_of_known_laws() -> None:
    rng = np.random.default_rng(0)
    assert judge.bimodality(rng.uniform(size=100_000)) == pytest.approx(5 / 9, abs=0.01)
    assert judge.bimodality(rng.choice([0.0, 1.0], 1000)) == pytest.approx(1.0, abs=0.01)
    assert judge.vendi(np.ones((50, 3))) == pytest.approx(1.0)
    assert judge.vendi(np.tile(np.eye(4), (25, 1))) == pytest.approx(4.0)
    x = rng.standard_normal((4000, 3))
    assert judge._frechet(x, x) == pytest.approx(0.0, abs=1e-6)
    assert judge._frechet(x, 2 * x + 1) == pytest.approx(3.0 + 3.0, rel=0.1)
    assert judge._covered(x[:200], x[:200]) == 1.0
    assert judge._covered(x[:200], x[:50] + 100) == 0.0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_every_way_draws_and_networks_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((8, 3, 32, 32), dtype=np.float32)
    groups = {name: x[i::2] for i, name in enumerate(GROUPS)}
    adapted, copies, trained = train_all(x, groups, tmp_path, (16, 16), (4, 3, 2), 0)
    assert [row["network"] for row in trained] == ["base", "tuned_0", "tuned_1", "adapter_0", "adapter_1"]
    again, same, kept = train_all(x, groups, tmp_path, (16, 16), (4, 3, 2), 0)
    assert kept == trained
    assert len({row["sha256"] for row in trained}) == 5
    for a, b in ((adapted, again), (copies[1], same[1])):
        assert all(torch.equal(u, v) for u, v in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    coordinates = Coordinates.of(x)
    drawn = {
        name: study.draw(adapted, copies, coordinates, kind, w, way, 4, 2, 0)
        for name, kind, w, way in study.settings()
        if w in (0.0, 0.5)
    }
    assert all(x.shape == (4, 3, 32, 32) and x.min() >= 0 and x.max() <= 1 for x, _ in drawn.values())
    assert not np.array_equal(drawn["fused 0"][0], drawn["fused 0.5"][0])
    assert not np.array_equal(drawn["merged 0.5"][0], drawn["fused 0.5"][0])
    assert "KL barycenter" in drawn["corrected 0.5"][1]["law"]
    fit = study.learned(copies, coordinates, x, 4, 0)
    assert fit.gram.n == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of the libraries
def test_the_same_settings_run_on_a_tiny_sdxl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from peft import get_peft_model_state_dict
    from transformers import CLIPConfig, CLIPModel

    from tests.diffusers.pipelines import ADAPTERS, tokenizer, with_adapters

    pipe = with_adapters("sdxl")
    for name in ADAPTERS:
        tensors = get_peft_model_state_dict(pipe.unet, adapter_name=name)
        type(pipe).save_lora_weights(tmp_path, unet_lora_layers=tensors, weight_name=f"{name}.safetensors")
    pipe.unload_lora_weights()
    pipe.save_pretrained(tmp_path / "pipe")
    torch.manual_seed(0)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 54, "max_position_embeddings": 16, "bos_token_id": 52, "eos_token_id": 53}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(tmp_path / "clip")
    tokenizer().save_pretrained(tmp_path / "clip")
    adapters = [f"--adapter={tmp_path / name}.safetensors" for name in ADAPTERS]
    places = ["--pipeline", str(tmp_path / "pipe"), "--clip", str(tmp_path / "clip"), "--out", str(tmp_path / "out")]
    assert study.main([*adapters, *places, "--n", "2", "--steps", "1"]) == 0
    kept = json.loads((tmp_path / "out" / "pipeline.json").read_text())
    rows = kept["rows"]
    assert "int V dlambda over 2 pilot images" in kept["barycenter"]
    assert [row["setting"] for row in rows][-4:] == ["switched 0.5", "mixture 0.5", "adapters 0.5", "linear 0.5"]
    assert len(rows) == 7 + 4
    assert all(0 <= row["crossed"] <= 1 <= row["vendi"] <= 2 for row in rows)
    assert (tmp_path / "out" / "faces.png").exists()
    assert "fused 0.5 0.5" in capsys.readouterr().out
    assert study.main([adapters[0], *places]) == 2
    assert "two adapters" in capsys.readouterr().err
