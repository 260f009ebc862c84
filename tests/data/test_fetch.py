"""Fetches that are killed, run at once, or whose client talks nonsense: nothing blocks, nothing is fetched twice."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from sfbench.data import DataError, DataUnavailable, fetch_data, registry
from sfbench.data.entry import Archive, DataSet
from sfbench.files import file_lock, read_regular

# A process that knows an entry which no registry serves, and a client that does.
FETCH = """
import hashlib, sys
from sfbench.data import fetch_data, registry
from sfbench.data.entry import Archive, DataSet
archive = Archive("npm", "fake", "1.0.0", sys.argv[1], {"f": "package/f"})
registry._REGISTRY["fake"] = DataSet("fake", "", "", True, (1,), {"all": None}, {"f": sys.argv[2]},
                                     decode=lambda files, split: None, archives=(archive,))
print(fetch_data("fake"))
"""


@pytest.fixture
def client(tmp_path, monkeypatch, own_cache):
    """An npm that notes its start, waits as long as it is told to, and serves one package; returns its folder."""
    folder = tmp_path / "client"
    folder.mkdir()
    with tarfile.open(folder / "fake.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("package/f")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    program = folder / "npm"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, shutil, time\nfolder = pathlib.Path({str(folder)!r})\n"
        "with open(folder / 'starts', 'a') as f:\n    f.write('.')\n"
        "while (folder / 'wait').exists():\n    time.sleep(0.01)\n"
        "shutil.copy(folder / 'fake.tgz', 'fake.tgz')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    sums = [hashlib.sha256(b).hexdigest() for b in ((folder / "fake.tgz").read_bytes(), b"hello")]
    archive = Archive("npm", "fake", "1.0.0", sums[0], {"f": "package/f"})
    entry = DataSet(
        "fake", "", "", True, (1,), {"all": None}, {"f": sums[1]}, decode=lambda f, s: None, archives=(archive,)
    )
    monkeypatch.setitem(registry._REGISTRY, "fake", entry)
    return folder


def start(client):
    sums = [hashlib.sha256(b).hexdigest() for b in ((client / "fake.tgz").read_bytes(), b"hello")]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FETCH, *sums], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_fetch_blocks_nobody(client, own_cache):
    (client / "wait").touch()
    process = start(client)
    wait_for((client / "starts").exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list(own_cache.iterdir())) == 2  # a lock file and a scratch folder, of nobody
    (client / "wait").unlink()
    started = time.monotonic()
    fetch_data("fake")
    assert time.monotonic() - started < 30
    assert [p.name for p in own_cache.iterdir()] == ["fake"]


@pytest.mark.slow
def test_fetches_at_once_download_once(client, own_cache):
    (client / "wait").touch()
    processes = [start(client) for _ in range(3)]
    wait_for((client / "starts").exists)
    time.sleep(0.5)  # the others have come to the lock, or will come to a full cache
    (client / "wait").unlink()
    for process in processes:
        assert str(own_cache / "fake") in process.communicate(timeout=60)[0]
        assert process.returncode == 0
    assert (client / "starts").read_text() == "."
    assert [p.name for p in own_cache.iterdir()] == ["fake"]


def test_waiting_is_said_and_ends(client, own_cache, monkeypatch):
    monkeypatch.setattr("sfbench.data.fetch._TIMEOUT", 0.2)
    own_cache.mkdir()
    with (
        file_lock(own_cache / "fake.lock", 1.0, pytest.fail),
        pytest.warns(UserWarning, match="another process fetches 'fake'"),
        pytest.raises(DataUnavailable, match=r"another process has held .*fetch 'fake' again"),
    ):
        fetch_data("fake")


def test_a_client_that_talks_nonsense(client):
    script = f"#!{sys.executable}\nimport sys\nsys.stderr.buffer.write(b'bad \\xff\\xfe \\x1b[2Jend\\n')\nsys.exit(1)\n"
    (client / "npm").write_text(script)
    with pytest.raises(DataUnavailable, match=r"failed \(bad \ufffd\ufffd \[2Jend\)"):
        fetch_data("fake")


def test_huge_files_and_devices_in_the_cache_are_refused_by_size(client, own_cache):
    (own_cache / "fake").mkdir(parents=True)
    with open(own_cache / "fake" / "f", "wb") as f:
        f.truncate(30 << 30)
    with pytest.raises(DataError, match="32212254720 bytes, more than"):
        fetch_data("fake")


def test_only_plain_files_of_a_reasonable_size_are_read(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    assert read_regular(tmp_path / "f", 5, DataError) == b"12345"
    with pytest.raises(DataError, match="5 bytes, more than the 4"):
        read_regular(tmp_path / "f", 4, DataError)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("pipe", "link", ""):
        with pytest.raises(DataError, match="not a plain file"):
            read_regular(tmp_path / name, 5, DataError)
    for name in ("circle", "missing", "null\0byte", "f/g"):
        with pytest.raises(DataError, match="cannot read"):
            read_regular(tmp_path / name, 5, DataError)


@pytest.mark.slow
def test_a_lock_whose_holder_removes_it_is_not_shared(tmp_path):
    """The holder unlinks the file at the end: who opened it before that must not take the removed file for a lock."""
    path = tmp_path / "lock"
    with file_lock(path, 1.0, pytest.fail):
        assert path.exists()
        with pytest.raises(TimeoutError), file_lock(path, 0.05, lambda: None):
            pytest.fail("two holders")
    assert not path.exists()
    count = 100
    code = (
        "import sys\nfrom sfbench.files import file_lock\nlock, total = sys.argv[1:3]\n"
        f"for _ in range({count}):\n"
        "    with file_lock(lock, 60.0, lambda: None):\n"
        "        n = int(open(total).read()); open(total, 'w').write(str(n + 1))\n"
    )
    (tmp_path / "total").write_text("0")
    arguments = [sys.executable, "-c", code, str(path), str(tmp_path / "total")]
    processes = [subprocess.Popen(arguments) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert (tmp_path / "total").read_text() == str(2 * count)
