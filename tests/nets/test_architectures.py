"""Architectures by others: registered, saved, rebuilt in another process, or refused with what to do."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import sfbench
from sfbench import ModelError
from sfbench.nets import (
    Architecture,
    CheckpointError,
    NetworkScore,
    architectures,
    build_network,
    known_architectures,
    load_checkpoint,
    register_architecture,
    save_checkpoint,
    train_score_network,
)
from sfbench.nets.settings import TrainingSettings

OU = sfbench.OrnsteinUhlenbeck()
X = np.random.default_rng(0).standard_normal((5, 2))
FOREIGN = """
import torch

class Gate(torch.nn.Module):
    def __init__(self, dim, width=4, scales=(1.0,)):
        super().__init__()
        self.dim, self.options = dim, {"dim": dim, "width": width, "scales": list(scales)}
        self.inward, self.outward = torch.nn.Linear(dim + 1, width), torch.nn.Linear(width, dim)
        self.norm = torch.nn.BatchNorm1d(width)
        self.scales = scales

    def forward(self, x, t):
        h = self.norm(torch.relu(self.inward(torch.cat([x, t[:, None]], dim=1))))
        return self.scales[0] * self.outward(h)
"""


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """A class of a module that sfbench knows nothing about."""
    (tmp_path / "foreign_nets.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(architectures._ARCHITECTURES, "own", {})
    monkeypatch.delitem(sys.modules, "foreign_nets", raising=False)
    import foreign_nets

    return foreign_nets.Gate


def elsewhere(tmp_path, code):
    """Run code in a process of its own; returns what it prints."""
    whole = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport numpy as np\nfrom sfbench.nets import *\n{code}"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


def test_a_registered_class_is_saved_and_rebuilt(gate, tmp_path):
    register_architecture("gate", gate)
    assert known_architectures() == ["mlp", "unet", "gate"]
    network = build_network("gate", {"dim": 2, "width": 6, "scales": [0.5]}, process=OU, seed=1)
    assert isinstance(network, Architecture)
    score = NetworkScore(network, 2, OU, "epsilon", time="log_snr")
    save_checkpoint(tmp_path / "c", score)
    again = load_checkpoint(tmp_path / "c", process=OU)
    assert type(again.module) is gate
    assert (again.module.scales, again.wiring) == ((0.5,), score.wiring)
    np.testing.assert_array_equal(again.score(X, 0.3), score.score(X, 0.3))


@pytest.mark.slow
def test_in_a_process_that_knows_it_and_in_one_that_does_not(gate, tmp_path):
    register_architecture("gate", gate)
    score = NetworkScore(build_network("gate", {"dim": 2}, process=OU, seed=1), 2, OU, "epsilon")
    save_checkpoint(tmp_path / "c", score)
    expected = repr(score.score(X, 0.3).tolist())
    code = f"""
folder, x = {str(tmp_path / "c")!r}, np.array({X.tolist()})
try:
    load_checkpoint(folder)
except CheckpointError as error:
    print(error)
import foreign_nets
print(load_checkpoint(folder, module=foreign_nets.Gate(2)).score(x, 0.3).tolist())
register_architecture('gate', foreign_nets.Gate)
print(load_checkpoint(folder).score(x, 0.3).tolist())
"""
    *said, given, known = elsewhere(tmp_path, code).strip().split("\n")
    assert "unknown architecture 'gate'" in "".join(said)
    assert "sfbench.nets.register_architecture('gate', TheClass) first" in "".join(said)
    assert given == known == expected


def test_unregistered_modules(gate, tmp_path):
    score = NetworkScore(gate(2), 2, OU, "epsilon")
    with pytest.raises(ModelError, match=r"a Gate is not one of .*register_architecture\('my_net', Gate\)"):
        save_checkpoint(tmp_path / "c", score)
    assert not (tmp_path / "c").exists()
    with pytest.raises(ModelError, match="a Gate is not one of"):  # before the first step, not after the last
        train_score_network(
            gate(2), X, process=OU, folder=tmp_path / "run", on_step=lambda step, loss: pytest.fail("took a step")
        )


def test_weights_into_a_module_that_is_given(gate, tmp_path):
    register_architecture("gate", gate)
    save_checkpoint(tmp_path, NetworkScore(build_network("gate", {"dim": 2}, process=OU, seed=1), 2, OU, "epsilon"))
    architectures._ARCHITECTURES.own.clear()
    with pytest.raises(CheckpointError, match="unknown architecture 'gate'"):
        load_checkpoint(tmp_path)
    module = gate(2)
    assert load_checkpoint(tmp_path, module=module).module is module
    other = gate(2, width=5)
    before = [p.clone() for p in other.parameters()]
    with pytest.raises(CheckpointError, match=r"does not fit the network: 'inward.weight' has shape"):
        load_checkpoint(tmp_path, module=other)
    assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))


def test_options_that_do_not_rebuild_the_network_are_found_when_it_is_saved(gate, tmp_path):
    register_architecture("gate", gate)
    network = gate(2, width=6)
    for options, message in (
        ({"dim": 2}, "does not rebuild this network .*'inward.weight' has shape"),
        ({"dim": 2, "wide": 6}, "does not rebuild this network .*do not fit architecture"),
        ({"dim": 2, "width": torch.tensor(6)}, "not JSON serializable"),
    ):
        network.options = options
        with pytest.raises(CheckpointError, match=message):
            save_checkpoint(tmp_path / "c", NetworkScore(network, 2, OU, "epsilon"))
    del network.options
    with pytest.raises(ModelError, match="architecture 'gate' needs the attributes `dim` and `options`"):
        save_checkpoint(tmp_path / "c", NetworkScore(network, 2, OU, "epsilon"))
    assert not (tmp_path / "c").exists()


def test_a_foreign_network_is_trained_and_fine_tuned(gate, tmp_path):
    register_architecture("gate", gate)
    settings = TrainingSettings(steps=6, batch=8, validate_every=3, patience=0)
    start = NetworkScore(build_network("gate", {"dim": 2}, process=OU, seed=1), 2, OU, "x0", time="log_snr")
    x = np.random.default_rng(0).standard_normal((40, 2))
    result = train_score_network(start, x, settings, folder=tmp_path, rng=0)
    assert (result.score.time, result.score.parameterisation) == ("log_snr", "x0")
    assert result.score.t_range == (settings.t_min * OU.horizon, OU.horizon)
    again = load_checkpoint(tmp_path)
    np.testing.assert_array_equal(again.score(X, 0.3), result.score.score(X, 0.3))
    assert again.t_range == result.score.t_range
    with pytest.raises(ModelError, match="built for process OrnsteinUhlenbeck"):
        train_score_network(start, x, settings, process=sfbench.VariancePreserving())
    with pytest.raises(ModelError, match="process= must say"):
        train_score_network(gate(2), x, settings)


def test_names(gate):
    assert register_architecture("gate", gate) is gate
    for name, kind, message in (
        ("mlp", gate, "'mlp' cannot be registered"),
        (3, gate, "3 cannot be registered"),
        ("net", gate(2), "must be a class of torch.nn.Module"),
        ("net", dict, "must be a class of torch.nn.Module"),
    ):
        with pytest.raises(sfbench.SfbenchError, match=message):
            register_architecture(name, kind)
    with pytest.raises(ModelError, match=r"unknown architecture 'gates' .did you mean 'gate'.*register_architecture"):
        build_network("gates", {}, process=OU)


def test_architectures_of_installed_packages(gate, tmp_path, monkeypatch):
    """Two packages, of which one cannot be imported: the other's networks are saved and rebuilt all the same."""
    for name, target in (("broken", "no_such_module:Net"), ("other", "foreign_nets:Gate")):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sfbench.architectures]\n{name} = {target}\n")
    assert set(known_architectures()) == {"mlp", "unet", "broken", "other"}
    score = NetworkScore(gate(2), 2, OU, "epsilon")
    with pytest.warns(UserWarning, match="architecture 'broken' cannot be imported"):
        save_checkpoint(tmp_path / "c", score)
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "c").score(X, 0.3), score.score(X, 0.3))
