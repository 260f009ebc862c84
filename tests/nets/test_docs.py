"""The code of docs/networks.md and docs/speed.md, and the architecture of docs/extending.md, run as they are."""

import re
from pathlib import Path

import numpy as np
import pytest

import sfbench
from sfbench.nets import NetworkScore, architectures, build_network, load_checkpoint, save_checkpoint

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name, after=""):
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text[text.index(after) :], re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("networks.md"), ids=range(len(blocks("networks.md"))))
def test_every_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block, names)
    np.testing.assert_allclose(names["fit"].weights.sum(), 1.0)


@pytest.mark.slow
def test_the_blocks_on_speed_run_one_after_the_other():
    names = {}
    for block in blocks("speed.md"):
        exec(block, names)
    assert names["densities"].values.shape == (20,)


def test_the_architecture_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(architectures._ARCHITECTURES, "own", {})
    exec(blocks("extending.md", "## An architecture")[0], {"__name__": "my_nets"})
    process = sfbench.OrnsteinUhlenbeck()
    model = NetworkScore(build_network("gate", {"dim": 2, "width": 5}, process=process, seed=1), 2, process)
    save_checkpoint(tmp_path, model)
    x = np.ones((3, 2))
    np.testing.assert_array_equal(load_checkpoint(tmp_path).score(x, 0.3), model.score(x, 0.3))
    assert model.parameterisation == "epsilon"
