"""The benchmark of networks on a tiny one: the tasks are compared with as many evaluations as they make."""

from pathlib import Path

import pytest
import torch

from benchmarks.networks_speed import __main__ as speed

CASES = speed.trained.cases


@pytest.mark.slow
def test_floor_and_tasks_evaluate_the_same_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(speed, "NETWORKS", {"MLP 31 k": ("mlp", {"dim": 2, "width": 8, "depth": 1}, 2, 256)})
    monkeypatch.setattr(speed.trained, "cases", lambda n, device: CASES(24, device))
    monkeypatch.setattr(speed.trained, "_EPOCHS", (1,))
    monkeypatch.setattr(speed.memory, "measure", lambda n: [])
    assert speed.main(["--quick", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "networks_speed.csv").read_text().count("\n") == 4
    assert (tmp_path / "precision.csv").read_text().count("\n") == 7
    assert (tmp_path / "published_way.csv").read_text().count("\n") == 7
    assert speed.main(["--device", "nowhere", "--out", str(tmp_path)]) == 2
    models = speed.networks("mlp", {"dim": 2, "width": 8, "depth": 1}, 2, torch.device("cpu"))
    seen: list[int] = []
    models[0].module.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    speed.floor(models[:1], 70, 32)()
    assert seen == [32, 32, 6]
