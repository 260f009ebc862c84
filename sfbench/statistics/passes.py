r"""Score-matching statistics of data, in one streamed pass.

With ``x_t = alpha x_0 + sigma z`` one noise vector per sample serves every time node, and the target enters through an
unbiased estimator (:mod:`.estimators`). Mixtures are first moved to the few coordinates in which they differ
(:mod:`synthetic.reduction`): two products ``(n, d) x (d, r)`` and nothing else of size n x d. Anything else streams
through its ``score`` in chunks; either way memory does not depend on n, scores may be float32, and sums are float64.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from synthetic import DiffusableLaw, EmbeddedMixture, GaussianMixture, Law
from synthetic._memory import refuse_huge
from synthetic.reduction import ReducedLaw, reduce_laws

from .._internal.aliases import SeedLike
from .._internal.arrays import keep_freed_memory
from .._internal.validation import as_count, as_generator, as_items, as_kind, as_sample_weight
from ..errors import GramError, ModelError
from ..progress import progress
from ..scores import AnalyticScore, ScoreModel, as_score_models
from .affine import MomentStatistics, are_gaussian
from .gram import ScoreGram, split_terms
from .isotropic_terms import IsotropicEvaluator, has_distances
from .nodes import NodeStatistics, part_edges
from .residuals import Residuals, ResidualsByPart
from .rows import is_loader
from .samples import DataSource, LawSource, data_source
from .settings import GramSettings
from .tensor_terms import TensorEvaluator
from .terms import BatchMeans, ChunkEvaluator, block_rows

_FEWEST_TOGETHER = 16  # rows of a block
_LARGEST_AFFINE_DIM = 256  # dense moments of more coordinates cost more than the scores
Models = Iterable[ScoreModel | DiffusableLaw]


def score_statistics(
    models: Models,
    x: Any,
    settings: GramSettings,
    *,
    keep: int = 0,
    parts: int = 1,
    residuals: Residuals | ResidualsByPart | None = None,
    sample_weight: Any = None,
    condition: Any = None,
    show_progress: bool = False,
    rng: SeedLike = None,
) -> NodeStatistics:
    """Statistics of every time node, from one pass over the data.

    Parameters
    ----------
    models : iterable of ScoreModel or diffusable laws
        The k auxiliaries.
    x : array_like, shape (n, d)
        Target data; further axes are flattened.
    settings : GramSettings
    keep : int
        Keep per-sample terms, averaged over equal batches into at most this many rows; 0 keeps none.
    parts : int
        Equal parts of the window that get terms of their own.
    residuals : Residuals or ResidualsByPart, optional
        Filled from the same scores, unless the models are reduced to the coordinates in which they differ.
    sample_weight : array_like, shape (n,), optional
        How much each row counts; only ratios matter. Terms are multiplied by it, so their spread is that of a weighted
        mean; statistics of whole numbers are those of repeated rows that share their noise.
    condition : int or array_like, shape (n, ...), optional
        Labels or embeddings of the rows, for models with ``score(x, t, condition=)``.
    show_progress : bool
        Count evaluations under a progress bar.
    rng : Generator, int or None
        Noise; results do not depend on chunking.

    Returns
    -------
    NodeStatistics

    Raises
    ------
    NotFiniteError
        If the data or a model's scores are not finite; names the model, time and first row.
    GramError, ModelError
        For no data, a mismatched dimension, models whose scores are unusable, or an estimate that needs divergences of
        models that have none.
    IntractableError
        If the statistics would not fit in memory.

    Notes
    -----
    Costs ``O(T k)`` score evaluations of n points (2T k for ``antithetic``), plus ``O(n k^2 d T)`` for inner products,
    with the reduced dimension in place of d for mixtures. Memory: ``T k^2`` numbers, ``parts x keep x k^2`` for terms,
    and about 16 million for the scores of a chunk.
    """
    for name, given in (("sample_weight", sample_weight), ("condition", condition)):
        if given is not None and is_loader(x):
            raise GramError(f"{name} needs rows in a known order; a loader may shuffle: pass an array or a file")
    source = data_source(models, x, settings, as_generator(rng), condition=condition)
    if sample_weight is not None:
        source.sample_weight = as_sample_weight(sample_weight, len(source.data), GramError)
    seen = residuals if source.reduction is None else None
    return accumulate(source, settings, [len(source.data)], keep, parts, show_progress, seen)[0]


def score_gram(models: Models, x: Any, settings: GramSettings, *, keep: int = 0, rng: SeedLike = None) -> ScoreGram:
    """Statistics of the whole window: :func:`score_statistics` summed over its nodes, with the same arguments."""
    return score_statistics(models, x, settings, keep=keep, rng=rng).at()


def prefix_grams(
    models: Models, x: Any, settings: GramSettings, sizes: Sequence[int], *, rng: SeedLike = None
) -> list[ScoreGram]:
    """Statistics of the first ``sizes[0] < sizes[1] < ...`` samples, for the price of one pass over the last.

    Parameters
    ----------
    models, x, settings, rng
        As in :func:`score_statistics`.
    sizes : sequence of int
        Strictly increasing numbers of leading rows of x.

    Returns
    -------
    list of ScoreGram
        One per size; prefixes share samples, so they are dependent.

    Raises
    ------
    GramError
        For sizes that do not increase, or exceed the data; otherwise as :func:`score_statistics`.
    """
    checked, source = _checked_sizes(sizes), data_source(models, x, settings, as_generator(rng))
    if checked[-1] > len(source.data):
        raise GramError(f"sizes ask for {checked[-1]} samples, data hold {len(source.data)}")
    return [statistics.at() for statistics in accumulate(source, settings, checked)]


def simulated_grams(
    auxiliaries: Iterable[GaussianMixture | EmbeddedMixture],
    target: Law,
    settings: GramSettings,
    sizes: Sequence[int],
    *,
    keep: int = 0,
    rng: SeedLike = None,
) -> list[ScoreGram]:
    """Prefix statistics of fresh target samples, drawn in the reduced coordinates when the problem allows it.

    Equal in law to :func:`prefix_grams` on ``target.sample(sizes[-1])``, at a cost that does not depend on d for
    problems with a shared complement or isotropic mixtures.

    Parameters
    ----------
    auxiliaries : iterable of GaussianMixture or EmbeddedMixture
        The k laws to fuse.
    target : Law
        Where samples come from.
    settings : GramSettings
    sizes : sequence of int
        Strictly increasing sample sizes.
    keep : int
        As in :func:`score_statistics`; only the last of the statistics carries its contributions.
    rng : Generator, int or None
        Samples and noise.

    Returns
    -------
    list of ScoreGram
        One per size.

    Raises
    ------
    GramError
        For sizes that do not increase, a negative ``keep``, a target that cannot be sampled, or ``n_noise > 1``.
    """
    checked, generator = _checked_sizes(sizes), as_generator(rng)
    laws: Any = as_items("models", auxiliaries, "score models or laws", ModelError)
    as_score_models(laws, as_kind("settings", settings, GramSettings, GramError).process)
    if not hasattr(target, "sample"):
        raise GramError(f"target must be a law with sample(n, rng=), got a {type(target).__name__}")
    reduction = reduce_laws(laws, target)
    source: DataSource | LawSource
    if reduction is None or reduction.target is None:
        data = target.sample(checked[-1], rng=generator)
        source = data_source(laws, data, settings, generator)
    else:
        source = LawSource(reduction, checked[-1], settings, generator)
    return [statistics.at() for statistics in accumulate(source, settings, checked, keep)]


def _checked_sizes(sizes: Iterable[int]) -> list[int]:
    if not isinstance(sizes, Iterable) or (hasattr(sizes, "ndim") and sizes.ndim != 1):
        raise GramError(f"sizes must be a sequence of integers, got {sizes!r}")
    values = [as_count("sizes", size, at_least=0, error=GramError) for size in sizes]
    if not values or values[0] < 1 or any(a >= b for a, b in itertools.pairwise(values)):
        raise GramError(f"sizes must be strictly increasing and at least 1, got {values}")
    return values


# ---------------------------------------------------------------------- accumulation
def accumulate(
    source: DataSource | LawSource,
    settings: GramSettings,
    sizes: list[int],
    keep: int = 0,
    parts: int = 1,
    show_progress: bool = False,
    residuals: Residuals | ResidualsByPart | None = None,
) -> list[NodeStatistics]:
    """Statistics of the first ``sizes`` samples of a source, the last with per-sample terms of ``parts`` parts."""
    keep_freed_memory()
    keep = as_count("keep", keep, at_least=0, error=GramError)
    as_count("parts", parts, at_most=len(settings.grid), error=GramError)
    k, n, n_noise, n_nodes = len(source.models), sizes[-1], settings.n_noise, len(settings.grid)
    refuse_huge("the per-sample terms to keep", parts, min(keep, n), k, k, beside=n_nodes * k * k)
    refuse_huge("the noise of a chunk", min(source.rows_per_chunk, n), n_noise, source.models[0].dim)
    laws = [model.law for model in source.models if isinstance(model, AnalyticScore)]
    if residuals is not None:
        residuals.begin(source)
    elif (
        not keep
        and source.sample_weight is None
        and len(laws) == k
        and are_gaussian(laws)
        and laws[0].dim <= _LARGEST_AFFINE_DIM
    ):
        return _accumulate_moments(source, cast("list[ReducedLaw]", laws), settings, sizes)
    dim = source.models[0].dim
    evaluator: ChunkEvaluator | IsotropicEvaluator | TensorEvaluator
    summed = getattr(source, "reduced", False) and residuals is None and not keep and source.sample_weight is None
    if summed and has_distances(laws, settings):
        evaluator = IsotropicEvaluator(source.models, settings)
    elif getattr(source, "device", None) is None:
        evaluator = ChunkEvaluator(source.models, settings, residuals)
    else:
        evaluator = TensorEvaluator(source.models, settings, residuals)
    block, edges, omega = block_rows(dim), part_edges(n_nodes, parts), settings.omega
    if isinstance(evaluator, TensorEvaluator):  # whole calls of a network are whole blocks
        block = source.rows_per_chunk // -(-source.rows_per_chunk // block)
    if keep:  # a batch is a number of blocks, or a block is a batch
        block = min(block, -(-n // keep))
    common, ends = math.gcd(*sizes), sizes
    if len(sizes) > 1 and common >= _FEWEST_TOGETHER and isinstance(evaluator, ChunkEvaluator):
        # Chunks reach across the ends of prefixes, which are ends of blocks.
        block, ends = max(rows for rows in range(1, min(block, common) + 1) if common % rows == 0), [n]
    batches = BatchMeans(sizes, -(-n // (keep * block)) * block, parts, k) if keep else None
    sums = np.zeros((len(sizes), n_nodes, k, k - 1))
    part_of = np.searchsorted(edges, np.arange(n_nodes), side="right") - 1
    signs = len(settings.rule.signs)
    with progress(settings.evaluations(k, n), "evaluations", show_progress) as bar:
        for start, stop in _chunks(ends, max(source.rows_per_chunk // block, 1) * block):
            weight = None if source.sample_weight is None else source.sample_weight[start:stop]
            starts = np.arange(start, stop, block)
            first = np.searchsorted(sizes, starts, side="right")  # prefixes that do not hold a block
            prefixes, places = np.unique(first, return_index=True)
            for y, zeta in source.chunk(start, stop):
                for t, terms in enumerate(evaluator.evaluate(y, zeta, block, start, weight)):
                    bar.advance(k * len(zeta) * signs)
                    sums[prefixes, t] += np.add.reduceat(terms, places, axis=0) / n_noise
                    if batches is not None:
                        batches.add(part_of[t], start, block, terms * (omega[t] / n_noise))
    kept = batches.finish() if batches is not None else ()
    of_last = {n: (edges if kept else (), kept)}
    return [
        NodeStatistics(settings, *split_terms(total / size), size, *of_last.get(size, ()))
        for size, total in zip(sizes, sums.cumsum(axis=0), strict=True)
    ]


def _chunks(sizes: list[int], rows: int) -> Iterator[tuple[int, int]]:
    """Ends of chunks of at most ``rows`` rows within each prefix."""
    for first, size in itertools.pairwise([0, *sizes]):
        for start in range(first, size, rows):
            yield start, min(start + rows, size)


def _accumulate_moments(
    source: DataSource | LawSource, laws: list[ReducedLaw], settings: GramSettings, sizes: list[int]
) -> list[NodeStatistics]:
    """The same statistics for Gaussian auxiliaries, through the moments of data and noise (see :mod:`.affine`)."""
    moments = MomentStatistics(laws, settings)
    for start, stop in _chunks(sizes, source.rows_per_chunk):
        for y, zeta in source.chunk(start, stop):
            moments.add(y, zeta)
        if stop in sizes:
            moments.mark(stop)
    return [NodeStatistics(settings, G, b, size) for G, b, size in moments.finish()]
