"""Files appear whole or not at all, and say what produced them."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sfbench import OutputError, files
from sfbench.files import prepare_folder, provenance, write_atomically, write_json

ROOT = Path(__file__).parents[2]


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".") or path.suffix == ".tmp"]


# ---------------------------------------------------------------------- writing
def test_text_and_bytes_are_written_as_given(tmp_path: Path) -> None:
    write_atomically(tmp_path / "text", lambda f: f.write("a\nß\r\n"))
    assert (tmp_path / "text").read_bytes() == "a\nß\r\n".encode()
    write_atomically(str(tmp_path / "bytes"), lambda f: f.write(b"\x00\xff"), binary=True)
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    write_json(tmp_path / "json", {"b": 1, "a": [1.5, None]})
    assert json.loads((tmp_path / "json").read_text(encoding="utf-8")) == {"a": [1.5, None], "b": 1}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    "error", [ValueError("bad value"), KeyboardInterrupt(), OSError(28, "No space left on device")]
)
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "result.json"
    path.write_text("old", encoding="utf-8")

    def fail(f: Any) -> None:
        f.write("half of the new")
        f.flush()
        raise error

    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match=r"^cannot write .*result.json': No space left|^bad value$|^$"):
        write_atomically(path, fail)
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_value_that_is_no_json_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": 1, "b": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert hidden(tmp_path) == []


def test_a_kill_in_the_middle_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old", encoding="utf-8")
    code = (
        "import sys, time\nfrom sfbench.files import write_atomically\n"
        "def slow(f):\n    f.write('half of the new'); f.flush(); print('writing', flush=True); time.sleep(60)\n"
        f"write_atomically({str(path)!r}, slow)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)
    assert path.read_text(encoding="utf-8") == "old"
    leftover = [p for p in tmp_path.iterdir() if p != path]
    assert all(p.name.startswith(".result.") and p.suffix == ".tmp" for p in leftover)  # recognisable, out of sight
    write_atomically(path, lambda f: f.write("new"))
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.slow
def test_readers_never_see_a_part(tmp_path: Path) -> None:
    path, size = tmp_path / "big", 200_000
    write_atomically(path, lambda f: f.write("0" * size))
    code = (
        "from sfbench.files import write_atomically\n"
        "for i in range(1, 60):\n"
        f"    write_atomically({str(path)!r}, lambda f: [f.write(str(i % 10) * 1000) for _ in range(200)])"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as child:
        seen = set()
        while child.poll() is None:
            content = path.read_text(encoding="utf-8")
            assert len(content) == size
            assert len(set(content)) == 1
            seen.add(content[0])
            time.sleep(0.001)
    assert child.returncode == 0
    assert len(seen) > 1


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    write_atomically(link, lambda f: f.write("new"))
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "real" / "later")
    write_atomically(dangling, lambda f: f.write("new"))
    assert (tmp_path / "real" / "later").read_text(encoding="utf-8") == "new"
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises((OutputError, RuntimeError)):
        write_atomically(circle, lambda f: f.write("new"))


def test_devices_and_folders_are_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="'/dev/null': it is not a regular file"):
        write_atomically("/dev/null", lambda f: f.write("new"))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(OutputError, match="it is a folder; name a file"):
        write_atomically(tmp_path, lambda f: f.write("new"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomically(tmp_path / "fifo", lambda f: f.write("new"))


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", lambda f: f.write("new"))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*missing/file': No such file or directory"):
        write_atomically(tmp_path / "missing" / "file", lambda f: f.write("new"))


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    code = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from sfbench.files import write_atomically\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"write_atomically({str(path)!r}, lambda f: f.write('x' * 100000))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"cannot write {str(path)!r}: File too large" in done.stderr
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# ---------------------------------------------------------------------- folders
def test_folders_are_made_and_checked(tmp_path: Path) -> None:
    assert prepare_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert prepare_folder(str(tmp_path / "a" / "b")).is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    for bad in (tmp_path / "file", tmp_path / "file" / "below", "a\0b"):
        with pytest.raises(OutputError, match=r"cannot write to output folder .*; choose another \(--out\)"):
            prepare_folder(bad)


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            prepare_folder(tmp_path / "locked")
    finally:
        os.seteuid(own)


def test_a_read_only_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*args: Any, **options: Any) -> Any:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", read_only)
    with pytest.raises(OutputError, match="Read-only file system; choose another"):
        prepare_folder(tmp_path)


# ---------------------------------------------------------------------- provenance
def test_provenance_says_what_and_how() -> None:
    found = provenance(7)
    assert found["seed"] == 7
    assert {"sfbench", "numpy", "scipy", "torch"} <= set(found["versions"])
    assert found["blas"] == [] or {"internal_api", "version", "architecture", "num_threads"} == set(found["blas"][0])
    json.dumps(found)  # it goes into files


def test_the_revision_is_that_of_this_checkout_or_none() -> None:
    revision = provenance()["revision"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if head.returncode:
        assert revision is None
    else:
        assert revision.removesuffix("+changes") == head.stdout.strip()


def test_an_installation_inside_a_foreign_repository_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "theirs"], cwd=tmp_path, check=True)
    place = tmp_path / "env" / "site-packages" / "sfbench"
    place.mkdir(parents=True)
    monkeypatch.setattr(files, "__file__", str(place / "files.py"))
    assert provenance()["revision"] is None


def test_provenance_works_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance()["revision"] is None


def test_the_command_can_be_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/sfbench", "fuse", "--param", "weights=[0.5, 0.5]"])
    monkeypatch.delattr(sys.modules["__main__"], "__spec__", raising=False)
    assert provenance()["command"] == "python -m sfbench fuse --param 'weights=[0.5, 0.5]'"
