"""The studies with networks, made tiny: they run, resume from what they wrote, and say what they must."""

import json
from dataclasses import replace

import pytest

from benchmarks import digits, mixture_1d
from benchmarks.digits_models import QUICK as DIGITS
from benchmarks.mixture_1d_cells import Scale


@pytest.fixture
def tiny(monkeypatch):
    study = replace(
        DIGITS, base_steps=30, auxiliary_steps=5, target_steps=5, sizes=(16,), draws=2, generated=40,
        sampler_steps=5, likelihood_points=3, likelihood_steps=2,
    )  # fmt: skip
    monkeypatch.setattr(digits, "QUICK", study)
    monkeypatch.setattr(mixture_1d, "QUICK", Scale(100, 10, 10, 200, 8, (32, 256), 1, 1))


def test_digits_runs_and_resumes(tiny, tmp_path, capsys, monkeypatch):
    assert digits.main(["--quick", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "by geometric pooling" in said
    for name in ("methods.csv", "weights.csv", "summary.json", "window.json", "digits.png", "digits.pdf"):
        assert (tmp_path / name).stat().st_size > 0
    rows = [json.loads(line) for line in (tmp_path / "methods.jsonl").read_text().splitlines()]
    assert {row["method"] for row in rows} >= {"fused", "corrected", "from scratch", "fine-tuned", "real digits"}
    real = [row["share"] for row in rows if row["method"] == "real digits"]
    assert all(abs(share - 0.6) < 0.05 for share in real)
    before = (tmp_path / "methods.jsonl").read_bytes()
    monkeypatch.setattr("benchmarks.digits_cells._Methods", None)  # finished cells must not be computed again
    assert digits.main(["--quick", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "methods.jsonl").read_bytes() == before


def test_mixture_runs(tiny, tmp_path, capsys):
    assert mixture_1d.main(["--quick", "--out", str(tmp_path)]) == 0
    assert "from scratch over fused at n = 256" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text())["summary"]
    assert 0.4 < summary["population weight (exact scores, fitted window)"] < 0.7
    assert (tmp_path / "mixture_1d.png").stat().st_size > 0


def test_missing_data_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SFBENCH_DATA", str(tmp_path / "empty"))
    with pytest.raises(SystemExit) as stop:
        digits.main(["--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "sfbench data fetch mnist" in said
    assert not (tmp_path / "out").exists()
