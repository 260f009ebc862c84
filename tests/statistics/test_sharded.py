"""Statistics of data on disk equal those of the same data in memory."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfbench import GramSettings, NotFiniteError, OrnsteinUhlenbeck, ScoreGram, score_gram, time_grid
from sfbench.errors import GramError
from sfbench.experiments import IncompleteStudyError, RunSettings, StudyError
from sfbench.statistics.files import NpySource, ParquetSource, fingerprint, open_source, pieces
from sfbench.statistics.sharded import map_reduce_gram, stream_gram

from .example_models import build, general_models

SETTINGS = GramSettings(OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 4))
QUIET = RunSettings(progress=False)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((5000, 3))


def write_parquet(path: Path, x: np.ndarray, rows_per_group: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({f"x{j}": x[:, j] for j in range(x.shape[1])}), path, row_group_size=rows_per_group)


def write_zarr(path: Path, x: np.ndarray, rows_per_chunk: int = 700, **options: Any) -> None:
    import zarr

    chunks = (rows_per_chunk, *x.shape[1:])
    zarr.create_array(store=str(path), shape=x.shape, chunks=chunks, dtype=x.dtype, **options)[:] = x


def write(path: Path, x: np.ndarray, rows: int) -> None:
    """Write x in the format of the path's suffix, in pieces of so many rows where the format has pieces."""
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".parquet":
        write_parquet(path, x, rows)
    else:
        write_zarr(path, x, rows)


def assert_same(a: ScoreGram, b: ScoreGram, rtol: float = 1e-12) -> None:
    scale = max(np.abs(b.G).max(), np.abs(b.b).max())
    assert np.abs(a.G - b.G).max() <= rtol * scale
    assert np.abs(a.b - b.b).max() <= rtol * scale
    assert (a.c is None) == (b.c is None)
    assert a.n == b.n


@pytest.mark.parametrize("kind", ["npy", "parquet", "zarr"])
def test_sources_give_the_rows_that_were_written(tmp_path: Path, x: np.ndarray, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    write(path, x, 700)
    source = open_source(path)
    assert (source.n, source.d) == x.shape
    for start, stop in ((0, 1), (699, 701), (0, 5000), (4999, 5000), (1400, 2100)):
        assert np.array_equal(source.rows(start, stop), x[start:stop])
    assert np.array_equal(np.concatenate(list(pieces(source, 999))), x)


@pytest.mark.slow
@pytest.mark.parametrize("models", ["mixtures", "general"])
@pytest.mark.parametrize("rows", [5000, 1237, 64])
def test_a_stream_gives_what_one_pass_in_memory_gives(x: np.ndarray, models: str, rows: int) -> None:
    chosen = build()[0] if models == "mixtures" else general_models()
    batches = [x[i : i + rows] for i in range(0, len(x), rows)]
    assert_same(stream_gram(chosen, batches, SETTINGS, rng=3), score_gram(chosen, x, SETTINGS, rng=3))
    other = score_gram(chosen, x, SETTINGS, rng=4)
    assert np.abs(stream_gram(chosen, batches, SETTINGS, rng=3).b - other.b).max() > 1e-9  # other noise differs


def test_a_stream_takes_a_torch_loader(x: np.ndarray) -> None:
    import torch

    data = torch.utils.data.TensorDataset(torch.from_numpy(x))
    loader = torch.utils.data.DataLoader(data, batch_size=512)
    assert_same(stream_gram(build()[0], loader, SETTINGS, rng=3), score_gram(build()[0], x, SETTINGS, rng=3))


@pytest.mark.parametrize("kind", ["npy", "parquet", "zarr"])
def test_map_reduce_equals_shards_in_memory_and_resumes(tmp_path: Path, x: np.ndarray, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    write(path, x, 1000)
    found = map_reduce_gram(build, path, tmp_path / "study", shard_rows=1300, settings=QUIET, seed=5)
    models, settings = build()
    bounds = [(i, min(i + 1300, 5000)) for i in range(0, 5000, 1300)]
    parts = [score_gram(models, x[i:j], settings, rng=np.random.default_rng([5, i, j])) for i, j in bounds]
    assert_same(found, functools.reduce(lambda a, b: a + b, parts), rtol=1e-15)
    again = map_reduce_gram(build, path, tmp_path / "study", shard_rows=1300, settings=QUIET, seed=5)
    assert np.array_equal(found.G, again.G)


def test_changed_data_is_computed_again(tmp_path: Path, x: np.ndarray) -> None:
    path = tmp_path / "x.npy"
    np.save(path, x)
    settings = RunSettings(progress=False, on_conflict="replace")
    first = map_reduce_gram(build, path, tmp_path / "study", settings=settings)
    np.save(path, x + 0.5)
    second = map_reduce_gram(build, path, tmp_path / "study", settings=settings)
    assert np.abs(first.b - second.b).max() > 1e-3


@pytest.mark.slow
def test_a_zarr_store_gives_what_memory_gives(tmp_path: Path, x: np.ndarray) -> None:
    models = build()[0]
    in_memory = score_gram(models, x, SETTINGS, rng=3)
    for name, options in (("sharded", {"shards": (2100, 3)}), ("old", {"zarr_format": 2}), ("single", {})):
        path = tmp_path / f"{name}.zarr"
        write_zarr(path, x, **options)
        assert_same(stream_gram(models, pieces(open_source(path), 999), SETTINGS, rng=3), in_memory)
    one_shard = map_reduce_gram(build, path, tmp_path / "study", shard_rows=5000, settings=QUIET, seed=5)
    assert_same(one_shard, score_gram(models, x, build()[1], rng=np.random.default_rng([5, 0, 5000])))


def test_a_changed_zarr_chunk_is_computed_again(tmp_path: Path, x: np.ndarray) -> None:
    import zarr

    path, settings = tmp_path / "x.zarr", RunSettings(progress=False, on_conflict="replace")
    write_zarr(path, x)
    before = fingerprint(path)
    first = map_reduce_gram(build, path, tmp_path / "study", settings=settings)
    assert fingerprint(path) == before  # reading changes nothing
    chunk = path / "c" / "3" / "0"
    array = zarr.open_array(str(path), mode="r+")
    array[2200:2300] = array[2200:2300] + 5.0
    second = map_reduce_gram(build, path, tmp_path / "study", settings=settings)
    assert np.abs(first.b - second.b).max() > 1e-3
    changed = fingerprint(path)
    assert changed != before
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1  # a flipped bit that leaves size and time as they were
    stat = chunk.stat()
    chunk.write_bytes(content)
    os.utime(chunk, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(path) != changed
    chunk.rename(path / "c" / "3" / "1")
    assert fingerprint(path) != changed


def test_bad_zarr_stores_are_refused(tmp_path: Path, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr

    write_zarr(tmp_path / "line.zarr", x[:, 0])
    write_zarr(tmp_path / "complex.zarr", x.astype(np.complex128))
    write_zarr(tmp_path / "holes.zarr", x)
    (tmp_path / "holes.zarr" / "c" / "3" / "0").unlink()
    write_zarr(tmp_path / "torn.zarr", x)
    torn = tmp_path / "torn.zarr" / "c" / "3" / "0"
    torn.write_bytes(torn.read_bytes()[:100])
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w").create_array("x", shape=(3, 2), dtype="f8")
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "text.zarr").mkdir()
    (tmp_path / "text.zarr" / "zarr.json").write_text("hello")
    (tmp_path / "file.zarr").write_text("hello")
    for name, message in (
        ("line", "real \\(n, d\\) array"),
        ("complex", "real \\(n, d\\) array"),
        ("holes", "1 of 8 chunks of .* are missing and would be read as 0.0"),
        ("group", "as a zarr array"),
        ("empty", "as a zarr array"),
        ("text", "as a zarr array"),
        ("file", "must be a folder"),
        ("absent", "no data"),
    ):
        with pytest.raises(GramError, match=message):
            map_reduce_gram(build, tmp_path / f"{name}.zarr", tmp_path / "other", settings=QUIET)
    assert not (tmp_path / "other").exists()
    once = RunSettings(progress=False, max_retries=0)
    with pytest.raises(IncompleteStudyError, match="cannot read rows 2000 to 3000"):
        map_reduce_gram(build, tmp_path / "torn.zarr", tmp_path / "study", shard_rows=1000, settings=once)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"sfbench\[zarr\]"):
        map_reduce_gram(build, tmp_path / "line.zarr", tmp_path / "other", settings=QUIET)


def test_bad_data_says_what_and_where(tmp_path: Path, x: np.ndarray) -> None:
    x[4321, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    settings = RunSettings(progress=False, max_retries=0)
    with pytest.raises(IncompleteStudyError, match="counted from row 4000") as caught:
        map_reduce_gram(build, tmp_path / "x.npy", tmp_path / "study", shard_rows=1000, settings=settings)
    assert "1 failed" in str(caught.value)
    with pytest.raises(NotFiniteError):
        stream_gram(build()[0], pieces(NpySource(tmp_path / "x.npy"), 500), SETTINGS, rng=0)
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    np.save(tmp_path / "line.npy", np.zeros(3))
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "text.parquet").write_text("hello")
    for name, message in (
        ("objects.npy", "array of numbers"),
        ("line.npy", "real \\(n, d\\) array"),
        ("text.npy", "array of numbers"),
        ("text.parquet", "as Parquet"),
        ("x.csv", "suffix"),
        ("absent.npy", "no data"),
        ("none.npy", "no rows"),
    ):
        with pytest.raises(GramError, match=message):
            map_reduce_gram(build, tmp_path / name, tmp_path / "other", settings=QUIET)
    assert not (tmp_path / "other").exists()
    with pytest.raises(GramError, match="no data"):
        stream_gram(build()[0], [], SETTINGS, rng=0)
    with pytest.raises(StudyError, match="module of its own"):
        map_reduce_gram(lambda: build(), tmp_path / "x.npy", tmp_path / "other", settings=QUIET)


def test_a_parquet_column_of_text_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1.0], "name": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(GramError, match="columns name"):
        ParquetSource(tmp_path / "x.parquet").n  # noqa: B018


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    rows, path = 400_000, tmp_path / "x.npy"  # 128 MB
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(rows, 40))
    rng = np.random.default_rng(0)
    for start in range(0, rows, 50_000):
        array[start : start + 50_000] = rng.standard_normal((50_000, 40))
    del array
    program = (
        "import resource, numpy as np\n"
        "from sfbench.statistics.sharded import stream_gram\n"
        "from sfbench.statistics.files import NpySource, pieces\n"
        "from tests.statistics.example_models import build\n"
        "from pathlib import Path\n"
        "models, settings = build(40)\n"
        "stream_gram(models, [np.zeros((20000, 40))], settings, rng=0)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"gram = stream_gram(models, pieces(NpySource(Path({str(path)!r})), 20_000), settings, rng=0)\n"
        f"assert gram.n == {rows}\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(grown.stdout) * 1024 < path.stat().st_size / 4
