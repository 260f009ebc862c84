"""Every command from an empty folder: what it prints, its exit code, one line for bad input, nothing half-written."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfbench import cli
from sfbench.cli.common import parameters
from synthetic import known_problems, make_problem, problem_parameters

from .calls import Capture, as_json, run


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------- what commands print
def test_solvers(capsys: Capture) -> None:
    listed = {row["name"]: row["available"] for row in as_json(capsys, "solvers")}
    assert listed["active_set"] is True
    assert {"cvxpy", "auto"} & set(listed)
    code, out, _ = run(capsys, "solvers")
    assert code == 0
    assert all(name in out for name in listed)


def test_problems(capsys: Capture) -> None:
    listed = as_json(capsys, "problems")
    assert {name: about["description"] for name, about in listed.items()} == known_problems()
    assert listed["paper_mixture_1d"]["parameters"] == {
        "space": "raw",
        "scale": 1.0,
        "target": "mixture",
        "weights": [0.5, 0.5],
    }
    _, out, _ = run(capsys, "problems")
    for name, sentence in known_problems().items():
        line = next(line for line in out.splitlines() if name in line and sentence in line)  # whole, though piped
        assert all(f" {key}=" in line for key in listed[name]["parameters"])


@pytest.mark.parametrize("name", known_problems())
def test_parameters_are_taken_as_they_are_printed(name: str, capsys: Capture) -> None:
    _, out, _ = run(capsys, "problems")
    line = next(line for line in out.splitlines() if f" {name} " in line)
    cell = line.split("│")[2].strip()
    pairs = re.split(r" (?=\w+=)", cell)
    parsed = parameters(pairs)
    assert list(parsed) == list(problem_parameters(name))
    assert repr(make_problem(name, **parsed)) == repr(make_problem(name))


@pytest.mark.slow
def test_help_waits_for_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; from sfbench.cli import main\n"
        "for command in ([], ['study'], ['data'], ['report'], ['check'], ['fuse'], ['sample']):\n"
        "    assert main([*command, '--help']) == 0\n"
        "heavy = {'numpy', 'solvers', 'synthetic', 'sfbench.experiments', 'sfbench.data', 'joblib', 'sqlite3'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for sentence in ("Look after the results of a study", "resume", "verify", "fetch", "--title", "--solver"):
        assert sentence in done.stdout


def test_doctor(capsys: Capture) -> None:
    report = as_json(capsys, "doctor")
    assert report["healthy"] is True
    assert report["shadowed"] == {}
    assert report["versions"]["numpy"] == np.__version__
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    assert "healthy" in out


@pytest.mark.parametrize("name", known_problems())
def test_fuse_every_problem(name: str, capsys: Capture) -> None:
    window = ("--t-min", "0.5", "--t-max", "0.5")  # one time: quadrature of pools takes its time at each
    record = as_json(capsys, "fuse", "--problem", name, "--n", "256", "--seed", "3", *window)
    weights = np.array(record["weights"])
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)
    assert np.all(np.array(record["intervals_90"])[:, 0] <= weights + 1e-9)
    assert record["gap"] < 1e-6
    assert list(record["distances"]) == ["total_variation", "kl_divergence"]
    assert all(entry["value"] >= 0 and entry["unavailable"] is None for entry in record["distances"].values())
    certificate = record["certificate"]
    assert list(certificate) == ["kl", "tv", "unavailable"]
    if name == "random_mixtures":
        assert certificate["kl"] is certificate["tv"] is None
        assert "no population statistics" in certificate["unavailable"]
    else:
        assert certificate["kl"] > 0
        assert 0 < certificate["tv"] <= 1
        assert certificate["unavailable"] is None


def test_fuse_table_holds_what_the_record_does(capsys: Capture) -> None:
    options = ("fuse", "--problem", "scaled_gaussians", "--n", "300", "--solver", "active_set")
    record = as_json(capsys, *options)
    code, out, _ = run(capsys, *options)
    assert code == 0
    for weight in (*record["weights"], *record["true_weights"]):
        assert f"{weight:.4f}" in out
    for label in ("gap certified", "(active_set)", "total_variation", "kl_divergence"):
        assert label in out
    assert f"{record['certificate']['kl']:.6f}" in out


@pytest.mark.slow
def test_fuse_is_reproducible_and_obeys_its_options(capsys: Capture) -> None:
    base = ("fuse", "--problem", "shifted_gaussians", "--n", "200", "--param", "k=3", "--param", "separation=1.5")
    first, again = as_json(capsys, *base), as_json(capsys, *base)
    assert first == again
    assert first["problem"] == {
        "name": "shifted_gaussians",
        "rng": 0,
        "k": 3,
        "d": 4,
        "separation": 1.5,
        "condition": 1.0,
    }
    assert make_problem(**first["problem"]).k == 3
    for change in (("--seed", "1"), ("--estimator", "dsm"), ("--process", "variance_exploding"), ("--t-max", "0.1")):
        assert as_json(capsys, *base, *change)["weights"] != first["weights"]


def test_params_are_json_where_they_can_be(capsys: Capture) -> None:
    options = ("--param", "k=2", "--param", "weights=[0.25, 0.75]", "--param", "separation=6.0")
    record = as_json(capsys, "fuse", "--problem", "shifted_gaussians", "--n", "64", *options)
    assert record["problem"]["weights"] == [0.25, 0.75]
    assert record["true_weights"] == [0.25, 0.75]


def test_one_sample_is_enough_and_says_so(capsys: Capture) -> None:
    record = as_json(capsys, "fuse", "--n", "1")
    assert record["intervals_90"] == [[0.0, 1.0]] * 4


# ---------------------------------------------------------------------- check
@pytest.mark.slow
def test_check_holds_every_bound_of_a_problem(capsys: Capture) -> None:
    names = ("shifted_gaussians", "random_mixtures")
    records = as_json(capsys, "check", *(part for name in names for part in ("--problem", name)), "--n", "200")
    assert [record["problem"] for record in records] == list(names)
    assert not any(record["violated"] for record in records)
    commuting = records[0]["bounds"]
    assert [entry["guarantee"] for entry in commuting] == ["upper", "upper", "upper", "asymptotic", "upper", "upper"]
    assert [entry["asserted"] for entry in commuting] == [True, True, True, False, True, True]
    assert 0.9 < commuting[0]["ratio"] <= 1.0  # Girsanov is tight here
    assert "no population statistics" in records[1]["bounds"][0]["unavailable"]
    assert {tuple(entry) for record in records for entry in record["bounds"]} == {tuple(commuting[0])}  # one shape
    code, out, _ = run(capsys, "check", "--problem", "shifted_gaussians", "--n", "200")
    assert code == 0
    assert "not asserted" in out
    assert "every bound that must hold does" in out


@pytest.mark.slow
def test_check_fails_where_a_bound_is_violated(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from sfbench.bounds import checks

    honest = checks.slow_rate
    monkeypatch.setattr(checks, "slow_rate", lambda *args: replace(honest(*args), value=1e-9))
    code, out, err = run(capsys, "check", "--problem", "shifted_gaussians", "--n", "50")
    assert code == 1
    assert err == ""
    assert "NO" in out
    assert "violated: shifted_gaussians" in out
    code, out, _ = run(capsys, "check", "--problem", "shifted_gaussians", "--n", "50", "--json")
    assert code == 1
    assert json.loads(out)[0]["violated"] is True


# ---------------------------------------------------------------------- sample
def test_sample_writes_what_it_says(capsys: Capture, tmp_path: Path) -> None:
    arguments = ("sample", "--problem", "paper_mixture_1d", "--n", "40", "--steps", "8", "--out", "new/folder/x.npz")
    code, out, err = run(capsys, *arguments, "--json")
    record = json.loads(out)
    assert (code, err) == (0, "sfbench: made the folder 'new/folder'\n")
    with np.load(tmp_path / "new" / "folder" / "x.npz") as saved:
        assert saved["x"].shape == (record["n"], 1) == (40, 1)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["x.npz"]


# ---------------------------------------------------------------------- bad input
BAD = [
    (["fuse", "--problem", "shifted_gausians"], "unknown problem 'shifted_gausians'; did you mean 'shifted_gaussians'"),
    (["fuse", "--solver", "piqqp"], "did you mean 'piqp'"),
    (["fuse", "--n", "0"], "--n must be at least 1, got 0"),
    (["fuse", "--n", "-3"], "--n must be at least 1, got -3"),
    (["fuse", "--n", "ten"], "--n"),
    (["fuse", "--n", "1e3"], "--n"),
    (["fuse", "--n", "1000000000000"], "of n points of shape (1000000000000, 4) would take 29,802.3 GiB"),
    (["fuse", "--seed", "-1"], "--seed must be at least 0, got -1"),
    (["fuse", "--seed", "x"], "--seed"),
    (["fuse", "--t-min", "0"], "t_min=0"),
    (["fuse", "--t-min", "-1"], "t_min=-1"),
    (["fuse", "--t-min", "nan"], "t_min=nan"),
    (["fuse", "--t-min", "2", "--t-max", "1"], "need 0 < t_min <= t_max"),
    (["fuse", "--t-max", "inf"], "both finite"),
    (["fuse", "--estimator", "magic"], "unknown estimator 'magic'"),
    (["fuse", "--process", "brownian"], "unknown process 'brownian'; use one of ornstein_uhlenbeck"),
    (["fuse", "--param", "k"], "--param takes name=value, got 'k'"),
    (["fuse", "--param", "=3"], "--param takes name=value, got '=3'"),
    (["fuse", "--param", "colour=3"], "takes no parameter 'colour'"),
    (["fuse", "--param", "rng=3"], "not 'rng'; use --problem and --seed"),
    (["fuse", "--param", "name=x"], "not 'name'"),
    (["fuse", "--param", "k=0"], "k must be at least 1, got 0"),
    (["fuse", "--param", "k=2.5"], "k must be an integer, got 2.5"),
    (["fuse", "--param", "k=true"], "k must be an integer, got True"),
    (["fuse", "--param", "k=ten"], "k must be an integer, got 'ten'"),
    (["fuse", "--param", "k=null"], "k must be an integer, got None"),
    (["fuse", "--param", "k=100000000"], "k must be at most 10000"),
    (["fuse", "--param", "d=1"], "d must be at least k - 1 = 3, got 1"),
    (["fuse", "--param", "separation=NaN"], "separation is nan"),
    (["fuse", "--param", "separation=wide"], "separation must hold real numbers, got dtype <U4, the text 'wide'"),
    (["fuse", "--param", 'separation={"a": 1}'], "separation must hold real numbers"),
    (["fuse", "--param", "separation=[1, 2]"], "separation must be a number"),
    (["fuse", "--param", "weights=[0.5, 0.5]"], "weights must have length 4, got 2"),
    (["fuse", "--param", "weights=[0.5, 0.5, 0.5, 0.5]"], "weights sum to 2"),
    (["fuse", "--param", "weights=[[1], [2, 3]]"], "weights is ragged"),
    (
        ["fuse", "--problem", "paper_mixture_1d", "--param", "weights=[0.5,0.6]"],
        "weights sum to 1.1, not 1; divide them",
    ),
    (
        ["fuse", "--param", "weights=[0.5,"],
        "--param weights takes a number, a word or a list such as [0.5, 0.5], got '[0.5,'",
    ),
    (["fuse", "--param", "weights=[a, b]"], "--param weights takes a number, a word or a list"),
    (["fuse", "--param", "separation="], "--param separation takes a number, a word or a list"),
    (["fuse", "--param", "weights=" + "[" * 100_000], "--param weights takes a number, a word or a list"),
    (["fuse", "--param", "separation=-0.5"], "separation must be finite and positive, got -0.5"),
    (["check", "--problem", "nothing"], "unknown problem 'nothing'"),
    (["check", "--n", "0"], "--n must be at least 1"),
    (["check", "--solver", "none"], "unknown solver 'none'"),
    (["check", "--param", "k=2"], "--param needs exactly one --problem, got 7"),
    (["sample", "--weights", "a,b"], "--weights takes numbers"),
    (["sample", "--weights", "0.5,0.6,0,0"], "sum to 1"),
    (["sample", "--weights", "0.5,0.3,0.2"], "shape (4,)"),
    (["sample", "--sampler", "magic"], "magic"),
    (["sample", "--n", "0"], "n"),
    (["sample", "--n", "10", "--steps", "0"], "steps"),
    (["sample", "--n", "10", "--out", "/proc/nothing/x.npz"], "cannot write to output folder '/proc/nothing'"),
    (["frobnicate"], "frobnicate"),
    (["fuse", "--nonsense"], "--nonsense"),
    (["fuse", "extra"], "extra"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], message: str, capsys: Capture, tmp_path: Path
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.startswith("sfbench: ")
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_not_replaced_by_a_file(capsys: Capture) -> None:
    code, _, err = run(capsys, "sample", "--n", "10", "--steps", "4", "--sampler", "fused", "--out", "/dev/null")
    assert code == 2
    assert "'/dev/null'" in err
    assert err.count("\n") == 1
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.slow
def test_help_without_a_command(capsys: Capture) -> None:
    code, out, err = run(capsys)
    assert code == 2
    assert "Usage" in out + err
    for command in ("solvers", "problems", "fuse", "check", "sample", "doctor"):
        assert command in out + err
        assert run(capsys, command, "--help")[0] == 0


def test_a_fault_of_the_program_is_one_line_too(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise KeyError("lost")

    monkeypatch.setattr("synthetic.known_problems", broken)
    code, out, err = run(capsys, "problems")
    assert (code, out, err.count("\n")) == (70, "", 1)
    assert "internal error, please report it: KeyError: 'lost'" in err
    assert re.search(r"\(\S*test_commands.py, line \d+; SFBENCH_TRACEBACK=1\)", err)  # it may be a part of the user's
    monkeypatch.setenv("SFBENCH_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.main(["problems"])


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (MemoryError("8 GiB"), 2)])
def test_interruption_and_want_of_memory(
    error: BaseException, code: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise error

    monkeypatch.setattr("synthetic.known_problems", broken)
    found, _, err = run(capsys, "problems")
    assert found == code
    assert err.count("\n") == 1
