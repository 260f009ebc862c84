"""One way of computing statistics of data on disk, in a process whose peak memory is reported (part ``stream``)."""

import functools
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from joblib.externals.loky import get_reusable_executor

from sfbench import score_gram
from sfbench.experiments import RunSettings
from sfbench.statistics.files import NpySource, ParquetSource, pieces
from sfbench.statistics.sharded import map_reduce_gram, stream_gram
from synthetic import make_problem

from .cells import STREAM_DIM as DIM
from .cells import build_stream_models

PIECE, SEED = 100_000, 11


def write(folder: Path, rows: int) -> None:
    """Draw the target's samples straight to disk, as npy and as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = make_problem("shifted_gaussians", k=4, d=DIM, rng=0).target
    array = np.lib.format.open_memmap(folder / "x.npy", mode="w+", dtype=np.float64, shape=(rows, DIM))
    schema = pa.schema([(f"x{j}", pa.float64()) for j in range(DIM)])
    rng = np.random.default_rng(SEED)
    with pq.ParquetWriter(folder / "x.parquet", schema, compression="none") as parquet:
        for start in range(0, rows, PIECE):
            x = target.sample(min(PIECE, rows - start), rng=rng)
            array[start : start + len(x)] = x
            parquet.write_table(pa.table(list(x.T), schema=schema))
    array.flush()


def compute(how: str, folder: Path, rows: int) -> dict[str, Any]:
    """Statistics one way."""
    models, settings = build_stream_models()
    if how == "npy":
        gram = stream_gram(models, pieces(NpySource(folder / "x.npy"), PIECE), settings, rng=SEED)
    elif how == "parquet":
        gram = stream_gram(models, pieces(ParquetSource(folder / "x.parquet"), PIECE), settings, rng=SEED)
    elif how == "shards":
        gram = map_reduce_gram(
            build_stream_models,
            folder / "x.npy",
            folder / "study",
            shard_rows=PIECE,
            settings=RunSettings(2, progress=False),
            seed=SEED,
        )
    else:
        x = np.load(folder / "x.npy")
        gram = score_gram(models, x, settings, rng=SEED)
        shards = [
            score_gram(models, x[i : i + PIECE], settings, rng=np.random.default_rng([SEED, i, min(i + PIECE, rows)]))
            for i in range(0, rows, PIECE)
        ]
        merged = functools.reduce(lambda a, b: a + b, shards)
        return _plain(gram) | {"G_shards": merged.G.tolist(), "b_shards": merged.b.tolist()}
    return _plain(gram)


def _plain(gram: Any) -> dict[str, Any]:
    return {"G": gram.G.tolist(), "b": gram.b.tolist(), "n": gram.n}


def main(argv: list[str] | None = None) -> int:
    """Print the answer as JSON with seconds and peak memory; of workers, the largest."""
    how, folder, rows = sys.argv[1:] if argv is None else argv
    started = time.perf_counter()
    if how == "write":
        write(Path(folder), int(rows))
        print("{}")
        return 0
    answer = compute(how, Path(folder), int(rows))
    seconds = time.perf_counter() - started
    get_reusable_executor().shutdown(wait=True)  # workers count once they are gone
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(json.dumps(answer | {"seconds": seconds, "peak_mb": peak}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
