"""The benchmark of networks on a tiny one: the tasks are compared with as many evaluations as they make."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.common.claims import exit_code, read_claims
from benchmarks.networks_speed import __main__ as speed
from benchmarks.networks_speed import memory
from sfbench.statistics.files import open_source

CASES = speed.trained.cases


@pytest.mark.slow
def test_floor_and_tasks_evaluate_the_same_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(speed, "NETWORKS", {"MLP 31 k": ("mlp", {"dim": 2, "width": 8, "depth": 1}, 2, 256)})
    monkeypatch.setattr(speed.trained, "cases", lambda n, device: CASES(24, device))
    monkeypatch.setattr(speed.trained, "images", lambda n, device: CASES(24, device)[1])
    monkeypatch.setattr(speed.trained, "_EPOCHS", (1,))
    monkeypatch.setattr(speed.memory, "measure", lambda n: [])
    options = ["--quick", "--threads", "1", "--out", str(tmp_path)]
    assert speed.main(options) in (0, 1)  # speed depends on what else the machine does
    named = [claim.name for claim in read_claims(tmp_path)]
    assert sum(name.startswith("time over bare forward passes") for name in named) == 3
    assert json.loads((tmp_path / "manifest.json").read_text())["arguments"]["quick"] is True
    assert (tmp_path / "networks_speed.csv").read_text().count("\n") == 4
    assert (tmp_path / "precision.csv").read_text().count("\n") == 10
    assert (tmp_path / "published_way.csv").read_text().count("\n") == 7
    assert speed.main(["--device", "nowhere", "--out", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        speed.main(["--threads", "0", "--out", str(tmp_path)])
    models = speed.networks("mlp", {"dim": 2, "width": 8, "depth": 1}, 2, torch.device("cpu"))
    seen: list[int] = []
    models[0].module.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    speed.floor(models[:1], 70, 32)()
    assert seen == [32, 32, 6]


def test_goals_that_are_missed_fail() -> None:
    row = {"network": "N", "points": 9, "batch": 4, "low": 1.0, "high": 1.3, "asked": 1.0}
    row |= {"task": "sample", "microseconds": 1.0, "floor_microseconds": 1.0}
    held = {"network": "N", "dim": 4, "images": 10, "peak_mib": 2.0, "batch_mib": 0.1, "heap": "mapped"}
    for value, code in ((1.09, 0), (1.12, 1)):
        timed, kept = row | {"ratio": value}, held | {"ratio": value}
        assert exit_code(speed.evaluate_claims([timed], [], [], [], [], False)) == code
        assert exit_code(speed.evaluate_claims([timed | {"task": "corrected"}], [], [], [], [], False)) == 0
        assert exit_code(speed.evaluate_claims([], [], [], [kept], [], False)) == code


def test_images_that_nothing_was_written_to_take_no_disk(tmp_path: Path) -> None:
    images = memory.write_images(tmp_path / "x.npy", 100_000, 784)
    assert images.stat().st_blocks * 512 < 1 << 20  # nothing on disk
    assert open_source(images).rows(99_990, 100_000).shape == (10, 784)
