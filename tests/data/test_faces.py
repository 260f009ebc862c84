"""Faces: seeded, paired, drawn in a folder of their own, refused where they cannot be drawn."""

import io
import tarfile

import numpy as np
import pytest

from sfbench.data import DataError, DataUnavailable
from sfbench.data.faces import draw_faces, unpack


def package(*members):
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
    return stream.getvalue()


@pytest.mark.data
def test_faces_are_seeded_paired_and_of_their_class(real_files):
    packages = real_files("faces")
    classes = ("female/black", "male/white", "male/black")
    faces = draw_faces(packages, 4, classes).reshape(3, 4, 32, 32, 3).astype(float)
    np.testing.assert_array_equal(draw_faces(packages, 2, classes[1:2]).reshape(2, 32, 32, 3), faces[1, :2])
    assert len(np.unique(faces.reshape(12, -1), axis=0)) == 12
    lightness = np.median(faces[:, :, 18:26, 12:20], axis=(1, 2, 3, 4))  # the middle of the face
    assert lightness[1] > lightness[2] + 50
    drawn = faces.min(axis=-1) < 250  # not the white background
    assert (drawn[1] != drawn[2]).mean() < 0.01 < 0.03 < (drawn[1] != np.roll(drawn[2], 1, axis=0)).mean()


def test_unpacking_stays_in_its_folder(tmp_path):
    unpack(package(("package/a/b.js", b"x"), ("package/link", None)), tmp_path / "m", "p")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if not p.is_dir()] == ["m/a/b.js"]
    for name in ("package/../../evil", "/evil/x", "evil", "package/..\\evil"):
        with pytest.raises(DataError, match="p holds a file called"):
            unpack(package((name, b"x")), tmp_path / "n", "p")
    assert not (tmp_path / "evil").exists()


def test_large_packages_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sfbench.data.faces._LARGEST", 10)
    with pytest.raises(DataError, match="more than 10 bytes"):
        unpack(package(("package/a", bytes(6)), ("package/b", bytes(6))), tmp_path, "p")


def test_one_clear_error_where_faces_cannot_be_drawn(monkeypatch):
    monkeypatch.setattr("sfbench.data.faces.shutil.which", lambda name: None)
    with pytest.raises(DataUnavailable, match="'node' is not installed: apt-get install nodejs"):
        draw_faces({}, 1)
    monkeypatch.setattr("sfbench.data.faces.shutil.which", lambda name: "/bin/false")
    monkeypatch.setattr("sfbench.data.faces.platform.machine", lambda: "sparc")
    with pytest.raises(DataUnavailable, match="Linux on x86-64"):
        draw_faces({}, 1)


def test_a_failure_of_node_is_told(monkeypatch):
    monkeypatch.setattr("sfbench.data.faces.shutil.which", lambda name: "/bin/false")
    monkeypatch.setattr("sfbench.data.faces._is_supported", lambda: True)
    with pytest.raises(DataUnavailable, match="could not draw the faces: exit 1"):
        draw_faces({}, 1)
