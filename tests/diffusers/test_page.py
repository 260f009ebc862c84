"""The page of the documentation runs, on a tiny pipeline."""

import re
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .pipelines import activate, add_adapter, build

PAGE = Path(__file__).parents[2] / "docs" / "diffusers.md"


def blocks() -> list[str]:
    text = re.sub(r"<!-- not run.*?-->\n```python\n.*?```", "", PAGE.read_text(), flags=re.DOTALL)
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sfbench.sampling.errors.TrustWarning")
def test_every_block_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pipe = build("sd15")
    for i, name in enumerate(("ink", "clay")):
        add_adapter(pipe.unet, name, 10 + i)
    activate(pipe.unet, "ink")
    call = type(pipe).__call__

    def small(self: object, prompt: str | None = None, **options: object) -> object:
        return call(self, prompt, **{"height": 16, "width": 16, "num_inference_steps": 3} | options)

    monkeypatch.setattr(type(pipe), "__call__", wraps(call)(small))
    Path("drawings").mkdir()
    for i, picture in enumerate(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)):
        Image.fromarray(picture).save(f"drawings/{i}.png")
    names = {"pipe": pipe}
    assert len(blocks()) == 7
    for block in blocks():
        exec(block, names)
    printed = capsys.readouterr().out
    assert "[0.4 0.6]" in printed
    assert "Fused 2 models on n = 4 samples" in printed
    assert "KL barycenter" in printed
    assert "Tabulated(1000 timesteps" in printed
    assert Path("pictures/0001.png").stat().st_size > 0
