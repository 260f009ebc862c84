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

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def as_json(capsys: Capture, *arguments: str) -> Any:
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1  # one document, nothing beside it
    return json.loads(out)


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
    for sentence in ("Look after the results of a study", "resume", "verify", "fetch", "--figures", "--solver"):
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


# ---------------------------------------------------------------------- as a process of its own
def shell(command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).parent / "sfbench"
    environment = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "COLUMNS": "40"}
    return subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["sfbench", "python -m sfbench"])
def test_the_command_line_as_installed(command: str, tmp_path: Path) -> None:
    good = shell(f"{command} fuse --n 50 --json", tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    assert len(json.loads(good.stdout)["weights"]) == 4
    bad = shell(f"{command} fuse --n 0", tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "sfbench: --n must be at least 1, got 0\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["problems", "--help", "fuse --help"])
def test_a_reader_that_stops_reading_is_no_error(command: str, tmp_path: Path) -> None:
    done = shell(f"sfbench {command} | head -1; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


def test_a_table_in_a_narrow_terminal_is_whole_in_a_pipe(tmp_path: Path) -> None:
    done = shell("sfbench problems", tmp_path)
    for name, sentence in known_problems().items():
        assert any(name in line and sentence in line for line in done.stdout.splitlines())


@pytest.mark.parametrize("command", [["problems"], ["names"], ["check", "--problem", "shifted_gaussians", "-n", "50"]])
def test_a_table_wraps_at_the_width_of_the_terminal(
    command: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    code, out, _ = run(capsys, *command)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in out.splitlines()]
    assert code == 0
    assert max(map(len, lines)) <= 80
    assert "…" not in out  # nothing is cut off
    assert any("shifted_gaussians" in line for line in lines)


def test_version_and_short_help(capsys: Capture) -> None:
    import sfbench

    assert run(capsys, "--version") == (0, f"sfbench {sfbench.__version__}\n", "")
    assert run(capsys, "fuse", "-h")[1] == run(capsys, "fuse", "--help")[1]
    assert as_json(capsys, "fuse", "-n", "40")["n"] == 40


def test_shells_complete_commands_and_names(tmp_path: Path) -> None:
    def complete(line: str) -> list[str]:
        words = f"COMP_WORDS='{line}' COMP_CWORD={len(line.split())} _SFBENCH_COMPLETE=complete_bash"
        done = shell(f"{words} sfbench", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    assert complete("sfbench ") == [
        *("solvers", "problems", "names", "fuse", "check", "sample", "compare", "score", "report", "doctor"),
        *("study", "data", "diffusers", "truths"),
    ]
    words = "COMP_WORDS='sfbench sample --sampler d' COMP_CWORD=3 _SFBENCH_COMPLETE=complete_bash"
    assert shell(f"{words} sfbench", tmp_path).stdout.split() == ["ddim", "dpm_solver_2m"]
    assert "complete_bash" in shell("sfbench --show-completion bash", tmp_path).stdout


def test_names_lists_every_kind_of_part(capsys: Capture) -> None:
    found = as_json(capsys, "names")
    assert set(found) >= {"problems", "solvers", "samplers", "processes", "estimators", "metrics", "bounds"}
    assert as_json(capsys, "names", "processes") == {"processes": found["processes"]}
    assert "ornstein_uhlenbeck" in found["processes"]
    assert run(capsys, "names", "nonsense")[0] == 2


def test_a_deleted_working_folder_is_named(tmp_path: Path) -> None:
    done = shell("mkdir gone; cd gone; rmdir ../gone; sfbench fuse --n 50 --out fit", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "sfbench: the working folder has been deleted: change to another one\n"


@pytest.mark.slow
def test_terminals_that_cannot_show_a_name_and_folders_that_are_not_utf8(tmp_path: Path) -> None:
    cases = ((b"gr\xc3\xbcn", "ascii"), (b"caf\xe9", "ascii"), (b"caf\xe9", "utf-8"))  # UTF-8, and no text at all
    for folder, encoding in cases:
        place = os.path.join(os.fsencode(tmp_path), folder)
        os.makedirs(place, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "sfbench", "fuse", "--n", "20", "--out", place],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"kept in" in done.stdout


def test_defaults_are_those_of_python() -> None:
    from inspect import signature

    import sfbench
    from sfbench.bounds import check_bounds
    from sfbench.cli.check import check_command
    from sfbench.cli.compare import compare_command
    from sfbench.cli.fuse import fuse_command
    from sfbench.cli.sample import sample_command

    for command, function in (
        (fuse_command, sfbench.fuse),
        (check_command, check_bounds),
        (sample_command, sfbench.sample),
        (compare_command, sfbench.compare),
    ):
        ours, theirs = signature(command).parameters, signature(function).parameters
        shared = (set(ours) & set(theirs)) - {"process", "device"}  # an object there, a name here; of checkpoints here
        assert len(shared) >= 3
        for name in shared:
            if theirs[name].default is not theirs[name].empty:
                assert ours[name].default == theirs[name].default, (command, name)
