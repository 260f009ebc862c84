r"""Score-matching statistics of data, in one streamed pass.

With ``x_t = alpha x_0 + sigma z`` and ``S_i = s_i - s_0``, the target enters through one of three unbiased estimators:

=============  ==================================================  ============================================
estimator      term for ``E<S_i, s* - s_0>``                       variance as t -> 0
=============  ==================================================  ============================================
``dsm``        ``<S_i, -z/sigma - s_0>`` at ``x_t``                grows like ``1/sigma^2``
``antithetic`` mean of the same over ``z`` and ``-z``              bounded
``stein``      ``-(div s_i - div s_0) - <S_i, s_0>`` at ``x_t``    bounded; needs divergences
=============  ==================================================  ============================================

(Denoising score matching; its antithetic pair; integration by parts.) One noise vector per sample serves every time
node. Mixtures are first moved to the few coordinates in which they differ (:mod:`synthetic.reduction`): two products
``(n, d) x (d, r)`` and nothing else of size n x d. Anything else streams through its ``score`` in chunks; either way
memory does not depend on n, scores may be float32, and sums are float64.
"""

import itertools
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from synthetic import DiffusableLaw, EmbeddedMixture, GaussianMixture, Law
from synthetic.reduction import ReducedLaw, reduce_laws

from .._typing import SeedLike
from .._validation import as_generator
from ..errors import GramError
from ..scores import AnalyticScore, ScoreModel
from ..times import objective_weights
from .affine import AffineScores, PairMoments, are_gaussian, node_statistics
from .gram import ScoreGram
from .samples import DataSource, LawSource, as_data, data_source
from .settings import ESTIMATORS, Estimator, GramSettings
from .terms import BatchMeans, ChunkEvaluator

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "GramSettings",
    "as_data",
    "prefix_grams",
    "score_gram",
    "simulated_grams",
]

_LARGEST_AFFINE_DIM = 256  # dense moments of more coordinates cost more than the scores


def score_gram(
    models: Sequence[ScoreModel | DiffusableLaw],
    x: ArrayLike,
    settings: GramSettings,
    *,
    keep: int = 0,
    rng: SeedLike = None,
) -> ScoreGram:
    """Statistics of the objective from data.

    Parameters
    ----------
    models : sequence of ScoreModel or diffusable laws
        The k auxiliaries.
    x : array_like, shape (n, d)
        Target data.
    settings : GramSettings
    keep : int
        Keep per-sample contributions, averaged into at most this many rows; 0 keeps none.
    rng : Generator, int or None
        Noise; results do not depend on chunking.

    Returns
    -------
    ScoreGram

    Raises
    ------
    NotFiniteError
        If the data or a model's scores are not finite; names the model, time and first row.
    GramError, ModelError
        For no data, a mismatched dimension, or a ``stein`` estimate of models without divergences.

    Notes
    -----
    Costs ``O(T k)`` score evaluations of n points (2T k for ``antithetic``), plus ``O(n k^2 d T)`` for inner products,
    with the reduced dimension in place of d for mixtures.
    """
    data = as_data(x)
    source = data_source(models, data, settings, as_generator(rng))
    return _accumulate(source, settings, [len(data)], _checked_keep(keep))[0]


def prefix_grams(
    models: Sequence[ScoreModel | DiffusableLaw],
    x: ArrayLike,
    settings: GramSettings,
    sizes: Sequence[int],
    *,
    rng: SeedLike = None,
) -> list[ScoreGram]:
    """Statistics of the first ``sizes[0] < sizes[1] < ...`` samples, for the price of one pass over the last.

    Parameters
    ----------
    models, x, settings, rng
        As in :func:`score_gram`.
    sizes : sequence of int
        Strictly increasing numbers of leading rows of x.

    Returns
    -------
    list of ScoreGram
        One per size; prefixes share samples, so they are dependent.

    Raises
    ------
    GramError
        For sizes that do not increase, or exceed the data; otherwise as :func:`score_gram`.
    """
    data = as_data(x)
    if sizes and sizes[-1] > len(data):
        raise GramError(f"sizes ask for {sizes[-1]} samples, data hold {len(data)}")
    source = data_source(models, data, settings, as_generator(rng))
    return _accumulate(source, settings, _checked_sizes(sizes), 0)


def simulated_grams(
    auxiliaries: Sequence[GaussianMixture | EmbeddedMixture],
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
    auxiliaries : sequence of GaussianMixture or EmbeddedMixture
        The k laws to fuse.
    target : Law
        Where samples come from.
    settings : GramSettings
    sizes : sequence of int
        Strictly increasing sample sizes.
    keep : int
        As in :func:`score_gram`; only the last of the statistics carries its contributions.
    rng : Generator, int or None
        Samples and noise.

    Returns
    -------
    list of ScoreGram
        One per size.

    Raises
    ------
    GramError
        For sizes that do not increase, a negative ``keep``, or ``n_noise > 1``.
    """
    checked, keep = _checked_sizes(sizes), _checked_keep(keep)
    generator = as_generator(rng)
    reduction = reduce_laws(auxiliaries, target) if settings.reduce else None
    source: DataSource | LawSource
    if reduction is None or reduction.target is None:
        data = target.sample(checked[-1], rng=generator)
        source = data_source(auxiliaries, data, settings, generator)
    else:
        source = LawSource(reduction, checked[-1], settings, generator)
    return _accumulate(source, settings, checked, keep)


def _checked_keep(keep: int) -> int:
    if keep < 0:
        raise GramError(f"keep must be at least 0 rows, got {keep!r}")
    return keep


def _checked_sizes(sizes: Sequence[int]) -> list[int]:
    values = [int(s) for s in sizes]
    if not values or values[0] < 1 or any(a >= b for a, b in itertools.pairwise(values)):
        raise GramError(f"sizes must be strictly increasing and at least 1, got {list(sizes)}")
    return values


# ---------------------------------------------------------------------- accumulation
def _accumulate(source: DataSource | LawSource, settings: GramSettings, sizes: list[int], keep: int) -> list[ScoreGram]:
    """Sum contributions chunk by chunk; chunk edges include every prefix size."""
    k, n = len(source.models), sizes[-1]
    rows = source.rows_per_chunk
    laws = [model.law for model in source.models if isinstance(model, AnalyticScore)]
    if not keep and len(laws) == k and are_gaussian(laws) and laws[0].dim <= _LARGEST_AFFINE_DIM:
        return _accumulate_moments(source, cast("list[ReducedLaw]", laws), settings, sizes)
    evaluator = ChunkEvaluator(source.models, settings)
    g, b = np.zeros((k, k)), np.zeros(k)
    grams: list[ScoreGram] = []
    batches = BatchMeans(n, min(keep, n), k) if keep else None
    start = 0
    for size in sizes:
        while start < size:
            stop = min(start + rows, size)
            for y, zeta in source.chunk(start, stop):
                terms = evaluator.evaluate(y, zeta, start, per_sample=batches is not None)
                g[1:, 1:] += terms.g.sum(axis=0) / settings.n_noise
                b[1:] += terms.b.sum(axis=0) / settings.n_noise
                if batches is not None:
                    batches.add(start, terms.g / settings.n_noise, terms.b / settings.n_noise)
            start = stop
        kept = batches.finish() if batches is not None and size == n else None
        grams.append(ScoreGram((g + g.T) / (2 * size), b / size, None, size, settings.describe(), kept))
    return grams


def _accumulate_moments(
    source: DataSource | LawSource, laws: list[ReducedLaw], settings: GramSettings, sizes: list[int]
) -> list[ScoreGram]:
    """The same statistics for Gaussian auxiliaries, through the moments of data and noise (see affine_gram)."""
    k, process = len(laws), settings.process
    omega = objective_weights(settings.grid, process, settings.weighting)
    nodes = [(float(process.alpha(t)), float(process.sigma(t))) for t in settings.grid.nodes]
    # Moments about the middle of the laws: raw ones would lose the digits of data far from the origin.
    centre = np.mean([law.means[0] for law in laws], axis=0)
    scores = [AffineScores.of([law.diffuse(*node) for law in laws], node[0] * centre) for node in nodes]
    moments = PairMoments.zero(laws[0].dim, dense=any(law.spectrum.layout == "full" for law in laws))
    grams: list[ScoreGram] = []
    start = 0
    for size in sizes:
        while start < size:
            stop = min(start + source.rows_per_chunk, size)
            for y, zeta in source.chunk(start, stop):
                moments = moments.add(y.astype(np.float64, copy=False) - centre, zeta.astype(np.float64, copy=False))
            start = stop
        g, b = np.zeros((k, k)), np.zeros(k)
        for factor, node, at_node in zip(omega, nodes, scores, strict=True):
            pairs, cross = node_statistics(at_node, moments, size * settings.n_noise, *node, settings.estimator)
            g += factor * pairs
            b += factor * cross
        grams.append(ScoreGram((g + g.T) / 2, b, None, size, settings.describe()))
    return grams
