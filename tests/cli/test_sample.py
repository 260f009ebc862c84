import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sfbench.cli.sample import sample_command

app = typer.Typer()
app.command()(sample_command)


def test_json_names_the_law_and_the_truth(tmp_path):
    path = tmp_path / "points.npz"
    arguments = ["--problem", "paper_mixture_1d", "--param", "scale=6", "--sampler", "corrected"]
    arguments += ["--json", "--n", "2000", "--out", str(path), "--steps", "64"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    assert "KL barycenter" in record["law"]
    assert record["log_z"]["value"] == pytest.approx(record["log_z_truth"], abs=0.15)
    with np.load(path) as saved:
        assert saved["x"].shape == (2000, 1)


def test_text_and_bad_input():
    result = CliRunner().invoke(
        app, ["--problem", "paper_mixture_1d", "--n", "50", "--steps", "5", "--weights", "0.3,0.7"]
    )
    assert result.exit_code == 0, result.output
    assert "fused law P_w" in result.output
    for arguments in (["--weights", "a"], ["--process", "brownian"], ["--param", "scale"]):
        found = CliRunner().invoke(app, arguments)
        assert isinstance(found.exception, ValueError)
