r"""Score-matching statistics of data larger than memory.

Statistics of disjoint samples merge (``ScoreGram.__add__``), so a pass over data is a map over pieces and a sum:

    (G, b, c) = sum_p (n_p / n) (G_p, b_p, c_p).

:func:`stream_gram` folds any iterable of arrays (a memory map in pieces, Parquet batches, a torch ``DataLoader``) in
one process and draws the noise that :func:`sfbench.score_gram` would draw for all of it at once. On
:func:`map_reduce_gram` every shard is a cell of a study: computed in parallel or on a cluster, kept, and resumed; a
shard's noise depends on the seed and the shard alone.
"""

import functools
import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from .._internal.aliases import SeedLike
from .._internal.validation import as_count, as_generator
from ..errors import GramError, NotFiniteError
from ..experiments.cells import make_study, study_cells
from ..experiments.errors import StudyError
from ..experiments.running.runner import run_study
from ..experiments.running.settings import RunSettings, complete_records
from .files import fingerprint, open_source
from .gram import ScoreGram
from .passes import score_gram
from .settings import GramSettings

Build = Callable[[], tuple[Sequence[Any], GramSettings]]


def stream_gram(models: Sequence[Any], batches: Iterable[Any], settings: GramSettings, *, rng: SeedLike) -> ScoreGram:
    """Statistics of the rows of all batches; memory is that of one batch.

    Parameters
    ----------
    models : sequence of ScoreModel or laws
    batches : iterable of array_like, each of shape (rows, d)
        torch tensors are taken too; of a tuple or list, as a ``DataLoader`` over a ``TensorDataset`` gives, the first
        entry.
    settings : GramSettings
    rng : Generator, int or None
        One stream of noise for all batches: the result is that of :func:`sfbench.score_gram` on all rows at once, to
        rounding, however they are cut.
    """
    generator = _OneFamily(as_generator(rng))
    total: ScoreGram | None = None
    for batch in batches:
        data = batch[0] if isinstance(batch, tuple | list) and not np.isscalar(batch[0]) else batch
        gram = score_gram(models, data, settings, rng=generator)
        total = gram if total is None else total + gram
    if total is None:
        raise GramError("no data: the iterable of batches is empty")
    return total


@final
class _OneFamily(np.random.Generator):
    """A generator that spawns its children once: each batch goes on where the noise of the last one ended."""

    def __init__(self, parent: np.random.Generator) -> None:
        super().__init__(parent.bit_generator)
        self._parent = parent
        self._children: dict[int, list[np.random.Generator]] = {}

    def spawn(self, n_children: int) -> list[np.random.Generator]:
        """The same children at every call."""
        if n_children not in self._children:
            self._children[n_children] = list(self._parent.spawn(n_children))
        return self._children[n_children]


@final
@dataclass(frozen=True)
class ShardSpec:
    """Rows of a file, and what is computed of them."""

    build: str
    path: str
    content: str
    start: int
    stop: int
    seed: int


@functools.lru_cache(maxsize=4)
def _built(name: str) -> tuple[Sequence[Any], GramSettings]:
    module, _, qualname = name.partition(":")
    try:
        build = getattr(importlib.import_module(module), qualname)
    except (ImportError, AttributeError, ValueError) as error:
        raise StudyError(
            f"cannot import {name!r} ({error}); the models must come from a function of a module"
        ) from None
    models, settings = build()
    return models, settings


@study_cells(version=1)
def shard_statistics(spec: ShardSpec) -> dict[str, Any]:
    """Statistics of one shard."""
    models, settings = _built(spec.build)
    data = open_source(spec.path).rows(spec.start, spec.stop)
    rng = np.random.default_rng([spec.seed, spec.start, spec.stop])
    try:
        gram = score_gram(models, data, settings, rng=rng)
    except NotFiniteError as error:
        raise NotFiniteError(f"{error} (counted from row {spec.start} of {spec.path!r})") from None
    return {"G": gram.G, "b": gram.b, "c": gram.c, "n": gram.n, "objective": gram.objective}


def map_reduce_gram(
    build: Build,
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    shard_rows: int = 100_000,
    settings: RunSettings | None = None,
    seed: int = 0,
) -> ScoreGram:
    """Statistics of a file's rows, shard by shard on the study engine.

    Parameters
    ----------
    build : callable
        Returns the models and the :class:`GramSettings`; a function at the top of a module, because workers import it
        and its name is part of every shard's key.
    path : path
        A ``.npy`` array (n, d), a ``.parquet`` table of numbers, or a folder ``.zarr`` that is a zarr array (n, d).
    folder : path
        Of the study; finished shards are kept there and not computed again.
    shard_rows : int
        Rows of a shard: memory is a few times this many rows a worker.
    settings : RunSettings
        Workers, scheduler, time limit.
    seed : int
        Of the noise.

    Returns
    -------
    ScoreGram

    Raises
    ------
    IncompleteStudyError
        If shards failed or the run was stopped; the rest is kept.
    """
    as_count("shard_rows", shard_rows, error=GramError)
    name = f"{build.__module__}:{build.__qualname__}"
    if "<" in name or name.startswith("__main__"):
        raise StudyError(f"{build.__qualname__!r} must be at the top of a module of its own, so that workers import it")
    source = open_source(path)
    n = source.n
    if n == 0:
        raise GramError(f"{os.fspath(path)!r} holds no rows")
    content, full = fingerprint(path), str(Path(path).resolve())
    specs = [
        ShardSpec(name, full, content, start, min(start + shard_rows, n), seed) for start in range(0, n, shard_rows)
    ]
    study = make_study(f"statistics of {Path(path).name}", shard_statistics, specs)
    records = complete_records(*run_study(study, folder, settings or RunSettings()))
    grams = [ScoreGram(r["G"], r["b"], r["c"], r["n"], r["objective"]) for r in records]
    return functools.reduce(lambda a, b: a + b, grams)
