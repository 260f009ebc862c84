"""Commands as processes of their own: pipes, terminals, shells, folders; versions, names and defaults."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from synthetic import known_problems

from .calls import Capture, as_json, run


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shell(command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).parent / "sfbench"
    environment = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "COLUMNS": "40"}
    return subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sfbench", "python -m sfbench"])
def test_the_command_line_as_installed(command: str, tmp_path: Path) -> None:
    good = shell(f"{command} fuse --n 50 --json", tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    assert len(json.loads(good.stdout)["weights"]) == 4
    bad = shell(f"{command} fuse --n 0", tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "sfbench: --n must be at least 1, got 0\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["problems", "--help", "fuse --help"])
def test_a_reader_that_stops_reading_is_no_error(command: str, tmp_path: Path) -> None:
    done = shell(f"sfbench {command} | head -1; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


@pytest.mark.slow
def test_a_table_in_a_narrow_terminal_is_whole_in_a_pipe(tmp_path: Path) -> None:
    done = shell("sfbench problems", tmp_path)
    for name, sentence in known_problems().items():
        assert any(name in line and sentence in line for line in done.stdout.splitlines())


@pytest.mark.slow
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


@pytest.mark.slow
def test_version_and_short_help(capsys: Capture) -> None:
    import sfbench

    assert run(capsys, "--version") == (0, f"sfbench {sfbench.__version__}\n", "")
    assert run(capsys, "fuse", "-h")[1] == run(capsys, "fuse", "--help")[1]
    assert as_json(capsys, "fuse", "-n", "40")["n"] == 40


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_deleted_working_folder_is_named(tmp_path: Path) -> None:
    done = shell("mkdir gone; cd gone; rmdir ../gone; sfbench fuse --n 50 --out fit", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "sfbench: the working folder has been deleted: change to another one\n"


@pytest.mark.slow
def test_terminals_that_cannot_show_a_name_and_folders_that_are_not_utf8(tmp_path: Path) -> None:
    cases = ((b"gr\xc3\xbcn", "ascii"), (b"caf\xe9", "ascii"), (b"caf\xe9", "utf-8"))  # UTF-8, and no text at all
    code = (
        "import sys; from sfbench.cli import main\n"
        "for encoding, place in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    sys.stdout.reconfigure(encoding=encoding, errors='strict')\n"
        "    sys.stderr.reconfigure(encoding=encoding)\n"
        "    assert main(['fuse', '--n', '20', '--out', place]) == 0\n"
    )
    words: list[bytes] = []
    for i, (folder, encoding) in enumerate(cases):
        place = os.path.join(os.fsencode(tmp_path), str(i).encode(), folder)
        os.makedirs(place)
        words += [encoding.encode(), place]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"kept in") == 3


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
