"""One thread wherever a cell computes, so that bits do not depend on the number of workers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sfbench.experiments.running.worker import one_thread

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, os, sys
import numpy
from threadpoolctl import threadpool_info
from sfbench.experiments import RunSettings, make_study, run_study
from tests.experiments.example_cells import Spec, sum_in_torch
assert "torch" not in sys.modules
before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
study, found = make_study("sums", sum_in_torch, [Spec(3_000_001, seed) for seed in range(2)]), {}
for jobs in (1, 2):
    found[jobs] = run_study(study, f"{sys.argv[1]}/{jobs}", RunSettings(n_jobs=jobs, progress=False))[0]
after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
import torch
print(json.dumps({
    "same": found[1] == found[2], "threads": [r["threads"] for r in found[1] + found[2]],
    "restored": after.items() >= before.items() and "OMP_NUM_THREADS" not in os.environ,
    "torch": torch.get_num_threads(),
}))
"""


@pytest.mark.slow
def test_torch_that_a_cell_imports_has_one_thread_and_the_same_bits_everywhere(tmp_path: Path) -> None:
    """In a process without exported thread counts, as a user's; afterwards it has its threads back."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    import json

    seen = json.loads(done.stdout)
    assert seen["same"]
    assert seen["threads"] == [1] * 4
    assert seen["restored"]
    assert seen["torch"] == os.cpu_count()


def test_limits_end_with_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with threadpool_limits(2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        assert max(before) == 2
        with one_thread():
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
            assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
        assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ
