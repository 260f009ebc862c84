"""Checkpoints: round trips, and every way in which a file may lie."""

import hashlib
import json
import pickle
import struct

import numpy as np
import pytest
import torch

import sfbench
from sfbench.nets import CheckpointError, NetworkScore, build_network, load_checkpoint, save_checkpoint

PROCESSES = [sfbench.OrnsteinUhlenbeck(), sfbench.VariancePreserving(0.2, 15.0), sfbench.VarianceExploding(12.0)]


def model(process=PROCESSES[0]):
    network = build_network("mlp", {"dim": 2, "width": 8, "depth": 1}, process=process, seed=5)
    torch.nn.init.normal_(network.outward.weight, generator=torch.Generator().manual_seed(1))
    return NetworkScore(network, 2, process, "epsilon")


def reseal(folder, **contents):
    """Replace files and make the manifest agree, as an attacker would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, blob in contents.items():
        file = {"weights": "weights.safetensors", "config": "config.json"}[name]
        (folder / file).write_bytes(blob)
        manifest[file] = hashlib.sha256(blob).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_round_trip(tmp_path, process):
    score = model(process)
    save_checkpoint(tmp_path / "a", score, summary={"n": 3})
    again = load_checkpoint(tmp_path / "a", process=process)
    x = np.random.default_rng(0).standard_normal((20, 2))
    np.testing.assert_array_equal(score.score(x, 0.3), again.score(x, 0.3))
    assert (again.process, again.parameterisation) == (process, "epsilon")
    with pytest.raises(CheckpointError, match="was trained under"):
        load_checkpoint(tmp_path / "a", process=sfbench.VarianceExploding(99.0))


def test_every_flipped_bit_is_found(tmp_path):
    save_checkpoint(tmp_path, model())
    blob = (tmp_path / "weights.safetensors").read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(blob), 100):
        damaged = bytearray(blob)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "weights.safetensors").write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(blob[:-1])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_never_run(tmp_path):
    canary = tmp_path / "canary"
    poison = pickle.dumps(Canary(canary))
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, model())
    reseal(folder, weights=poison)
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        load_checkpoint(folder)
    only_pickle = tmp_path / "old"
    only_pickle.mkdir()
    (only_pickle / "model.pth").write_bytes(poison)
    with pytest.raises(CheckpointError, match="pickled checkpoints"):
        load_checkpoint(only_pickle)
    assert not canary.exists()


def test_lying_headers_and_configs(tmp_path):
    save_checkpoint(tmp_path, model())
    config = json.loads((tmp_path / "config.json").read_text())
    weights = (tmp_path / "weights.safetensors").read_bytes()
    header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    for blob in (
        struct.pack("<Q", len(header)) + header,  # four terabytes promised, none there
        struct.pack("<Q", 1 << 62) + b"{}",
        b"",
    ):
        reseal(tmp_path, weights=blob)
        with pytest.raises(CheckpointError, match="not a valid safetensors"):
            load_checkpoint(tmp_path)
    reseal(tmp_path, weights=weights)
    for change, message in [
        ({"architecture": "os.system"}, "unknown architecture"),
        ({"process": {"name": "Evil", "parameters": {}}}, "unknown process"),
        ({"options": {"dim": 2, "width": 9, "depth": 1}}, "has shape"),
        ({"options": {"dim": 2, "width": 8, "depth": 2}}, "missing"),
        ({"options": {"dim": 2, "width": 1 << 40}}, "between 1 and"),
        ({"dim": 3}, "dimension 2, not 3"),
        ({"parameterisation": "what"}, "unknown parameterisation"),
        ({"format": 7}, "format 7"),
    ]:
        reseal(tmp_path, config=json.dumps(config | change).encode())
        with pytest.raises(sfbench.SfbenchError, match=message):
            load_checkpoint(tmp_path)
    reseal(tmp_path, config=b"[" * 100_000)
    with pytest.raises(CheckpointError, match="not valid JSON"):
        load_checkpoint(tmp_path)
    reseal(tmp_path, config=b"{}")
    with pytest.raises(CheckpointError, match="incomplete"):
        load_checkpoint(tmp_path)


def test_nan_weights_are_neither_saved_nor_loaded(tmp_path):
    from safetensors.torch import save

    score = model()
    save_checkpoint(tmp_path, score)
    torch.nn.init.constant_(score.module.outward.bias, float("nan"))
    reseal(tmp_path, weights=save(dict(score.module.state_dict())))
    with pytest.raises(sfbench.NotFiniteError, match=r"'outward\.bias'"):
        load_checkpoint(tmp_path)
    with pytest.raises(sfbench.NotFiniteError):
        save_checkpoint(tmp_path / "b", score)
    assert not (tmp_path / "b").exists()


def test_failed_write_leaves_nothing_half_written(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(sfbench.OutputError, match="file"):
        save_checkpoint(blocker / "checkpoint", model())


def test_unknown_modules_cannot_be_saved(tmp_path):
    with pytest.raises(sfbench.ModelError, match="not one of the known architectures"):
        save_checkpoint(tmp_path, NetworkScore(torch.nn.Linear(2, 2), 2, PROCESSES[0]))
