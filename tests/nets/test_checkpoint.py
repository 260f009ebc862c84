"""Checkpoints: round trips, and every way in which a file may lie."""

import dataclasses
import hashlib
import json
import os
import pickle
import re
import resource
import struct
import time
from typing import ClassVar

import numpy as np
import pytest
import torch

import sfbench
from sfbench.nets import (
    EDM,
    CheckpointError,
    NetworkScore,
    build_network,
    checkpoint_summary,
    load_checkpoint,
    save_checkpoint,
)

P = sfbench.processes
PROCESSES = [P.OrnsteinUhlenbeck(), P.VariancePreserving(0.2, 15.0), P.VarianceExploding(12.0)]
OTHERS = [P.SubVariancePreserving(), P.Karras(50.0), P.FlowMatching(), P.Cosine(), P.from_betas(P.beta_schedule())]


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


@pytest.mark.parametrize("process", PROCESSES + OTHERS, ids=repr)
def test_round_trip(tmp_path, process):
    score = model(process)
    save_checkpoint(tmp_path / "a", score, summary={"n": 3})
    again = load_checkpoint(tmp_path / "a", process=process)
    x = np.random.default_rng(0).standard_normal((20, 2))
    np.testing.assert_array_equal(score.score(x, 0.3), again.score(x, 0.3))
    assert (again.process, again.parameterisation) == (process, "epsilon")
    with pytest.raises(CheckpointError, match="was trained under"):
        load_checkpoint(tmp_path / "a", process=sfbench.VarianceExploding(99.0))


@dataclasses.dataclass(frozen=True)
class Doubled(P.ForwardProcess):
    """A process by others: Ornstein-Uhlenbeck at another speed."""

    speed: float = 2.0
    horizon: ClassVar[float] = 2.5

    def alpha(self, t):
        return np.exp(-self.speed * np.asarray(t, float))

    def sigma(self, t):
        return np.sqrt(-np.expm1(-2 * self.speed * np.asarray(t, float)))

    def f(self, t):
        return np.full_like(np.asarray(t, float), -self.speed)

    def g(self, t):
        return np.full_like(np.asarray(t, float), np.sqrt(2 * self.speed))

    def prior_std(self, t):
        return 1.0


def test_processes_by_others_need_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(P._PROCESSES, "own", {})
    with pytest.raises(CheckpointError, match=r"register_process\(name, Doubled\)"):
        save_checkpoint(tmp_path, model(Doubled()))
    P.register_process("doubled", Doubled)
    for process in (Doubled(), Doubled(3.0)):
        save_checkpoint(tmp_path, model(process))
        assert load_checkpoint(tmp_path).process == process


def test_every_flipped_bit_is_found(tmp_path):
    save_checkpoint(tmp_path, model())
    blob = (tmp_path / "weights.safetensors").read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(blob), 100):
        damaged = bytearray(blob)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "weights.safetensors").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"damaged|does not fit the network"):  # the latter: of its header
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


def grown_by():
    """Bytes by which this process grows between two calls."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return lambda: (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024


@pytest.mark.parametrize(
    "options",
    [
        {"dim": 2, "width": 20_000, "depth": 1},
        {"dim": 2, "width": 1 << 20, "depth": 1},
        {"dim": 2, "width": 8, "depth": 1 << 20},
        {"dim": 1 << 20, "width": 1 << 20, "depth": 1},
        {"dim": 2, "width": 8, "depth": 1, "n_frequencies": 1 << 20},
        {"dim": 2, "width": 1 << 80, "depth": 1},
    ],
    ids=str,
)
def test_absurd_networks_are_refused_before_they_take_memory_or_time(tmp_path, options):
    save_checkpoint(tmp_path, model())
    config = json.loads((tmp_path / "config.json").read_text())
    reseal(tmp_path, config=json.dumps(config | {"options": options, "dim": options["dim"]}).encode())
    growth, started = grown_by(), time.monotonic()
    with pytest.raises(CheckpointError, match=r"more weights than its file holds|between 1 and 2\^20"):
        load_checkpoint(tmp_path)
    assert growth() < 100e6
    assert time.monotonic() - started < 5


@pytest.mark.slow  # importing diffusers takes seconds
@pytest.mark.parametrize("change", [{"channels": [40_000, 40_000]}, {"layers": 20_000}, {"shape": [1, 2048, 2048]}])
def test_absurd_u_nets_too(tmp_path, change):
    options = {"shape": [1, 8, 8], "channels": [4, 8], "layers": 1, "patch": 1}
    network = build_network("unet", options, process=PROCESSES[0])
    save_checkpoint(tmp_path, NetworkScore(network, 64, PROCESSES[0]))
    config = json.loads((tmp_path / "config.json").read_text())
    reseal(tmp_path, config=json.dumps(config | {"options": options | change}).encode())
    growth, started = grown_by(), time.monotonic()
    with pytest.raises(CheckpointError, match=r"more weights than its file|allocate memory|dimension 4194304, not 64"):
        load_checkpoint(tmp_path)
    assert growth() < 100e6
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "config.json"])
def test_files_of_30_gigabytes_pipes_devices_and_files_that_cannot_be_read(tmp_path, name):
    save_checkpoint(tmp_path, model())
    path = tmp_path / name
    with open(path, "r+b") as f:
        f.truncate(30 << 30)
    growth = grown_by()
    with pytest.raises(CheckpointError, match=re.escape(name)):
        load_checkpoint(tmp_path)
    assert growth() < 100e6
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=f"{re.escape(name)}' is not a plain file"):
        load_checkpoint(tmp_path)
    for place, message in (("/dev/zero", "not a plain file"), ("/proc/self/mem", "cannot read|damaged|valid")):
        path.unlink()
        path.symlink_to(place)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": "abc"}, "'dim' in config.json"),
        ({"dim": 2.5}, "'dim'"),
        ({"dim": True}, "'dim'"),
        ({"dim": 1 << 40}, "'dim'"),
        ({"architecture": 3}, "'architecture'"),
        ({"options": [1]}, "'options'"),
        ({"options": {"dim": "abc"}}, "cannot be built"),
        ({"options": {"dim": None, "width": 8}}, "cannot be built"),
        ({"process": 7}, "'process'"),
        ({"process": {"name": "VarianceExploding", "parameters": {"sigma": 10**400}}}, "'process'"),
        ({"process": {"name": "VarianceExploding", "parameters": {"sigma": "a"}}}, "'process'"),
        ({"process": {"name": "VarianceExploding", "parameters": {"wide": 2}}}, "'process'"),
        ({"process": {"name": "VariancePreserving", "parameters": []}}, "'process'"),
        ({"process": {"name": ["a"], "parameters": {}}}, "'process'"),
        ({"parameterisation": ["a"]}, "'parameterisation'"),
        ({"parameterisation": {"edm": {"sigma_data": -1}}}, "'parameterisation'"),
        ({"shape": ["a", "b", "c"]}, "'shape'"),
        ({"shape": [3]}, "does not fit its network: shape"),
        ({"time": 3}, "'time'"),
        ({"time": "never"}, "unknown time"),
        ({"t_range": [1]}, "'t_range'"),
        ({"t_range": [3, 1]}, "t_range"),
        ({"condition_name": "not a name"}, "condition_name"),
        ({"format": [1]}, "format"),
        ({"summary": 3}, "'summary'"),
    ],
)
def test_values_that_cannot_be_used_are_named(tmp_path, change, message):
    save_checkpoint(tmp_path, model())
    config = json.loads((tmp_path / "config.json").read_text())
    reseal(tmp_path, config=json.dumps(config | change).encode())
    with pytest.raises(CheckpointError, match=message):
        checkpoint_summary(tmp_path) if "summary" in change else load_checkpoint(tmp_path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have(tmp_path, number):
    save_checkpoint(tmp_path, model())
    text = (tmp_path / "config.json").read_text().replace('"dim": 2', f'"dim": {number}')
    reseal(tmp_path, config=text.encode())
    with pytest.raises(CheckpointError, match=f"{number} is not JSON"):
        load_checkpoint(tmp_path)


def test_all_of_the_wiring_is_kept(tmp_path):
    network = build_network("mlp", {"dim": 2, "width": 8, "depth": 1}, process=PROCESSES[0])
    for options in (
        {"parameterisation": "velocity", "shape": (1, 2)},
        {"parameterisation": EDM(0.7), "t_range": (0.1, 2.5)},
        {"parameterisation": "edm", "time": "sigma", "condition_name": "labels"},
        {"parameterisation": "x0", "time": "scaled"},
        {"parameterisation": "edm", "time": "c_noise"},
    ):
        score = NetworkScore(network, 2, PROCESSES[0], **options)
        save_checkpoint(tmp_path, score)
        again = load_checkpoint(tmp_path)
        assert (again.wiring, again.t_range) == (score.wiring, score.t_range)
    for wrong in ({"time": lambda t: t}, {"condition_name": "labels", "condition": 3}):
        with pytest.raises(CheckpointError, match="a checkpoint"):
            save_checkpoint(tmp_path, NetworkScore(network, 2, PROCESSES[0], "v", **wrong))
    with pytest.raises(CheckpointError, match="finite JSON values"):
        save_checkpoint(tmp_path, NetworkScore(network, 2, PROCESSES[0]), summary={"loss": float("nan")})


def test_what_format_1_can_say_is_written_as_before(tmp_path):
    save_checkpoint(tmp_path, model())
    config = json.loads((tmp_path / "config.json").read_text())
    assert set(config) == {"format", "architecture", "options", "dim", "process", "parameterisation", "summary"}
    assert config["format"] == 1
