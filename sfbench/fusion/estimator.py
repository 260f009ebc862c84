"""A fit as an estimator of scikit-learn: parameters that can be read, set and cloned, attributes that end in ``_``.

It is a density estimator like ``sklearn.neighbors.KernelDensity``: ``fit`` learns weights, ``sample`` draws from the
fused law, ``score_samples`` gives log densities of the probability flow of the fused score. The two are close, and not
the same law (:mod:`sfbench.sampling.fused`).
"""

from collections.abc import Callable
from typing import Any, Self, final

import numpy as np

from .._internal.aliases import Float64Array
from .._internal.validation import as_count
from ..errors import ModelError
from ..laws import ode_log_density
from ..processes import ForwardProcess
from ..sampling import sample
from .api import Models, fuse
from .names import named_models

try:
    from sklearn.base import BaseEstimator
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise ImportError(
        "FusionEstimator needs scikit-learn 1.6 or later: pip install 'sfbench[sklearn]' (sfbench.fuse does not)"
    ) from None

_FLOW_STEPS = 128
_OF_FUSE = ("process", "t_min", "t_max", "n_nodes", "estimator", "solver")


@final
class FusionEstimator(BaseEstimator):  # type: ignore[misc]  # it comes without types
    """Fuse models as an estimator of scikit-learn; :func:`sfbench.fuse` says what the parameters mean.

    Parameters
    ----------
    models : sequence or mapping of ScoreModel or laws, or function
        The models; a function gets the number of features and returns them.
    process : ForwardProcess
    t_min, t_max : float
        Time window; as in :func:`sfbench.fuse` by default.
    n_nodes : int
    estimator : str or AbstractEstimator
        How the target's score enters.
    solver : str or SimplexSolver
    sampler : str or Sampler
        What :meth:`sample` draws with.
    steps : int, optional
        Steps of the sampler, and of the flow behind log densities; by default the sampler's own, and 128.
    random_state : int, RandomState, Generator or None
        Noise of the fit and of samples. An integer makes both repeat.
    verbose : bool
        Show progress.

    Attributes
    ----------
    result_ : FusionResult
        The fit with its intervals, certificate and warnings; ``print(model.result_.summary())``.
    weights_ : array, shape (k,)
    feature_names_in_ : array of str
        If ``X`` had names.
    n_features_in_ : int

    Examples
    --------
    >>> import sfbench
    >>> from synthetic import make_problem
    >>> problem = make_problem("shifted_gaussians", k=3, d=8)
    >>> fit = sfbench.FusionEstimator(problem.auxiliaries, sfbench.OrnsteinUhlenbeck(), random_state=0)
    >>> fit.fit(problem.target.sample(1000, rng=0)).weights_.shape
    (3,)
    """

    def __init__(
        self,
        models: Models | Callable[[int], Models],
        process: ForwardProcess,
        *,
        t_min: float | None = None,
        t_max: float | None = None,
        n_nodes: int = 16,
        estimator: Any = "antithetic",
        solver: Any = "auto",
        sampler: Any = "fused",
        steps: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.models = models
        self.process = process
        self.t_min = t_min
        self.t_max = t_max
        self.n_nodes = n_nodes
        self.estimator = estimator
        self.solver = solver
        self.sampler = sampler
        self.steps = steps
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the weights from rows (n, d), weighted (n,) or not; ``y`` is there for pipelines, and ignored."""
        points = validate_data(self, X, dtype=(np.float64, np.float32))
        models = self.models
        if callable(models):
            models = models(points.shape[1])
        given, names = named_models(models)
        for model in given:
            if getattr(model, "dim", points.shape[1]) != points.shape[1]:
                raise ModelError(f"X has {points.shape[1]} features, and the models have dimension {model.dim}")
        options = {name: getattr(self, name) for name in _OF_FUSE}
        options |= {"progress": self.verbose, "names": names or None, "sample_weight": sample_weight}
        self.result_ = fuse(given, points, **options, rng=self._generator(0))
        self.weights_ = self.result_.weights
        return self

    def sample(self, n_samples: int = 1) -> Float64Array:
        """Points (n_samples, d) of the law of ``sampler``, which ``sfbench.sample(fit.result_, ...)`` names.

        The points of a weighted sampler are resampled to equal weights.
        """
        check_is_fitted(self)
        rng, n = self._generator(1), as_count("n_samples", n_samples)
        drawn = sample(self.result_, n, self.sampler, steps=self.steps, progress=self.verbose, rng=rng)
        weighted = np.ptp(drawn.log_weights) > 0
        return np.asarray(drawn.resampled(rng=rng) if weighted else drawn.x, np.float64)

    def score_samples(self, X: Any) -> Float64Array:
        """Log densities (n,) in nats of rows under the probability flow of the fused score.

        Networks that do not know their divergence get estimates by random probes; :func:`sfbench.laws.ode_log_density`
        gives their errors.
        """
        check_is_fitted(self)
        points = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        steps = _FLOW_STEPS if self.steps is None else self.steps
        return ode_log_density(self.result_.score, points, steps=steps, rng=self._generator(2)).values

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log density of rows; larger is better, so that searches over parameters maximise it."""
        return float(np.mean(self.score_samples(X)))

    def _generator(self, purpose: int) -> np.random.Generator:
        """A stream for each purpose, the same in every call if ``random_state`` is an integer."""
        state = self.random_state
        if isinstance(state, np.random.Generator):
            return state
        if isinstance(state, int | np.integer):
            return np.random.default_rng([int(state), purpose])
        return np.random.default_rng(check_random_state(state).randint(np.iinfo(np.int32).max))
