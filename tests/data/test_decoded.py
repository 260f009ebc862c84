"""Kept results of slow decoders: used if they are of the same recipe and undamaged, never otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from sfbench.data import DataError, data_entry, load_items
from sfbench.data import registry as registry_module
from sfbench.data.decoded import keep, recall
from sfbench.data.entry import Items

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def made(monkeypatch):
    """An entry that counts how often it is decoded."""
    calls = []

    def decode(files, split):
        calls.append(split)
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (5, 4)), np.arange(5), np.array([0, 1, 1, 0, 1])

    entry = replace(
        data_entry("digits8"), name="slow", shape=(2, 2), levels=255, files={}, installed=None, decode=decode
    )
    entry = replace(entry, splits={"all": None}, groups=("a", "b"), slow=True)
    monkeypatch.setitem(registry_module._REGISTRY, "slow", entry)
    return entry, calls


def test_the_second_time_nothing_is_decoded(made):
    _, calls = made
    first, again = load_items("slow"), load_items("slow")
    assert calls == ["all"]
    for a, b in ((first.x, again.x), (first.y, again.y), (first.groups, again.groups)):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_another_version_or_sha256_is_not_used(made, own_cache, monkeypatch):
    entry, calls = made
    load_items("slow")
    folder = own_cache / "slow" / "decoded"
    assert recall(entry, "all", folder) is not None
    assert recall(replace(entry, version=2), "all", folder) is None
    assert recall(replace(entry, files={"f": "0" * 64}), "all", folder) is None
    assert recall(replace(entry, splits={"all": "0" * 64}), "all", folder) is None
    monkeypatch.setitem(registry_module._REGISTRY, "slow", replace(entry, version=2))
    load_items("slow")
    assert calls == ["all", "all"]


@pytest.mark.parametrize("damage", ["cut", "flip", "pickle", "text"])
def test_damage_is_told_and_repaired(made, own_cache, damage):
    _, calls = made
    expected = load_items("slow")
    path = own_cache / "slow" / "decoded" / "all.npz"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[60] ^= 1
    elif damage == "text":
        content = bytearray(b"no npz")
    else:
        np.savez(path, x=np.array([object()], dtype=object))
        content = bytearray(path.read_bytes())
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        repaired = load_items("slow")
    np.testing.assert_array_equal(repaired.x, expected.x)
    assert calls == ["all", "all"]
    load_items("slow")
    assert len(calls) == 2


@pytest.mark.slow
def test_what_would_decompress_to_too_much_is_never_decompressed(made, own_cache, monkeypatch):
    entry, calls = made
    expected = load_items("slow")
    folder = own_cache / "slow" / "decoded"
    np.savez_compressed(folder / "all.npz", x=np.zeros(1 << 28, np.uint8), y=np.arange(5), groups=np.zeros(5, int))
    assert (folder / "all.npz").stat().st_size < 1 << 20
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("decompressed"))
    with pytest.warns(UserWarning, match="decompress to 268435"):
        assert recall(entry, "all", folder) is None
    with open(folder / "all.npz", "wb") as f:
        f.truncate(30 << 30)
    with pytest.warns(UserWarning, match="32212254720 bytes, more than"):
        repaired = load_items("slow")
    np.testing.assert_array_equal(repaired.x, expected.x)
    assert calls == ["all", "all"]


def test_arrays_that_are_swapped_are_found(made, own_cache):
    entry, _ = made
    folder = own_cache / "slow" / "decoded"
    items = load_items("slow")
    keep(entry, "all", items, folder)
    with np.load(folder / "all.npz") as kept:
        arrays = dict(kept)
    arrays["y"] = arrays["y"][::-1]
    np.savez(folder / "all.npz", **arrays)
    with pytest.warns(UserWarning, match="other arrays than were kept"):
        assert recall(entry, "all", folder) is None


def test_a_cache_that_cannot_be_written_costs_only_time(made, own_cache):
    entry, calls = made
    (own_cache / "slow").mkdir(parents=True)
    (own_cache / "slow" / "decoded").write_text("a file where the folder should be")
    keep(entry, "all", Items(np.zeros((1, 4)), np.zeros(1, int), np.zeros(1, int)), own_cache / "slow" / "decoded")
    load_items("slow")
    load_items("slow")
    assert calls == ["all", "all"]


def test_decoders_that_break_their_promise_are_refused(made, monkeypatch):
    entry, _ = made
    good = entry.decode({}, "all")
    for arrays, message in (
        ((good[0][:, :3], *good[1:]), r"decoded to items \(5, 3\)"),
        (good[:2], "decoded to 0 arrays of groups, but names 2"),
        ((good[0], good[1][:4], good[2]), "decoded to items"),
        ((np.full((5, 4), np.nan), *good[1:]), "not finite"),
        (tuple(a[:0] for a in good), "decoded to items"),
    ):
        entry = replace(entry, decode=lambda files, split, arrays=arrays: arrays)
        monkeypatch.setitem(registry_module._REGISTRY, "slow", entry)
        with pytest.raises(DataError, match=message):
            load_items("slow")
