"""The checks have teeth: each deliberate fault in the package fails the check that names it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synthetic import (
    EmbeddedMixture,
    GaussianMixture,
    IntractableError,
    LogLinearPool,
    _mixture_kernel,
    families,
    gaussian_mixture,
    log_linear_pool,
    product_envelope,
)
from synthetic._covariance import Spectrum
from synthetic._mixture_kernel import MixtureKernel
from synthetic.quadrature import GridLaw
from synthetic.reduction import IsotropicReduction, ReducedIsotropicMixture
from synthetic.subspace import Subspace

from . import test_families, test_gaussian_mixture, test_log_linear_pool, test_numerics, test_reduction
from .checks import CHECKS
from .examples import KINDS, pool, random_parts

Patch = pytest.MonkeyPatch
Change = Callable[..., Any]


def around(owner: Any, name: str, change: Change) -> Callable[[Patch], None]:
    """Fault that changes what a method returns: ``change(result, self, *args)``."""
    original = getattr(owner, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        return change(original(*args, **kwargs), *args)

    return lambda patch: patch.setattr(owner, name, broken)


def instead(owner: Any, name: str, method: Any) -> Callable[[Patch], None]:
    """Fault that replaces an attribute."""
    return lambda patch: patch.setattr(owner, name, method)


def on(kind: str, check: str) -> Callable[[], None]:
    return lambda: CHECKS[check](KINDS[kind]())


def law_test(test: Any, *example: Any) -> Callable[[], None]:
    """One example of a hypothesis test."""
    return lambda: test.hypothesis.inner_test(*example)


# fault -> (how to break the package, the check that must fail)
FAULTS: dict[str, tuple[Callable[[Patch], None], Callable[[], None]]] = {
    "score a percent too long": (
        around(GaussianMixture, "score", lambda out, *_: 1.01 * out),
        on("isotropic 2-D", "score_is_gradient"),
    ),
    "score of too few powers": (
        instead(LogLinearPool, "score", lambda self, x: self.components[0].score(x)),
        on("pool of mixtures 2-D", "draws_obey_stein"),
    ),
    "divergence without the square of the score": (
        around(GaussianMixture, "divergence", lambda out, law, x: out + (law.score(x) ** 2).sum(axis=1)),
        on("diagonal 2-D", "divergence_averages_to_minus_square"),
    ),
    "divergence with one trace for all components": (
        instead(Spectrum, "precision_trace", lambda self: np.full(len(self.values), self.dim / self.values.mean())),
        on("full 2-D", "divergence_is_trace_of_jacobian"),
    ),
    "determinant of one coordinate for all": (
        instead(Spectrum, "log_det", lambda self: np.log(self.values).sum(axis=1)),
        on("isotropic 2-D", "density_integrates_to_one"),
    ),
    "complement without its normalisation": (
        around(EmbeddedMixture, "log_prob", lambda out, law, _: out + 0.5 * (law.dim - 1) * np.log(law.variance)),
        on("embedded in the plane", "density_integrates_to_one"),
    ),
    "variances used as standard deviations": (
        instead(Spectrum, "colour", lambda self, z, j: (z * self.values[j]) @ self.basis[j].T),
        on("full 2-D", "draws_obey_stein"),
    ),
    "draws from a law a little to the right": (
        around(GaussianMixture, "sample", lambda out, *_: out + 0.1),
        on("shared variance 1-D", "draws_follow_the_density"),
    ),
    "draws that ignore the seed": (
        around(GaussianMixture, "sample", lambda out, *_: out + 1e-9 * np.random.default_rng().random()),
        on("full 5-D", "seed_decides_the_draws"),
    ),
    "affine map without its Jacobian": (
        around(
            GaussianMixture, "affine", lambda out, law, *_: GaussianMixture(law.weights, out.means, law.covariances)
        ),
        law_test(test_gaussian_mixture.test_affine_follows_the_change_of_variables, KINDS["diagonal 2-D"](), 2.0, 1.0),
    ),
    "noise added to the standard deviation": (
        instead(Spectrum, "noised", lambda self, a, s: replace(self, values=(abs(a) * np.sqrt(self.values) + s) ** 2)),
        lambda: test_gaussian_mixture.test_diffusion_is_a_convolution("diagonal"),
    ),
    "components of weight zero revived": (
        instead(gaussian_mixture, "MixtureKernel", lambda w, *rest: MixtureKernel(np.maximum(w, 1e-3), *rest)),
        law_test(
            test_gaussian_mixture.test_components_of_weight_zero_are_inert, random_parts(0, "diagonal", 2, 2), 1.0, 1.0
        ),
    ),
    "cancellation tolerated in float64": (
        lambda patch: patch.setitem(_mixture_kernel._TOLERANCE, np.dtype(np.float64), np.inf),
        lambda: test_numerics.test_far_points_equal_extended_precision(2, "isotropic", 1e6),
    ),
    "cancellation tolerated in float32": (
        lambda patch: patch.setitem(_mixture_kernel._TOLERANCE, np.dtype(np.float32), np.inf),
        test_numerics.test_float32_far_from_the_origin_is_centred_not_cancelled,
    ),
    "differences of components taken after rounding": (
        instead(MixtureKernel, "_alike", property(lambda self: np.arange(len(self.means)))),
        lambda: test_numerics.test_far_points_between_two_modes_keep_both_responsibilities(1.0),
    ),
    "log Z forgotten": (
        around(LogLinearPool, "log_partition", lambda out, *_: replace(out, value=0.0)),
        on("pool of mixtures 1-D", "density_integrates_to_one"),
    ),
    "samples of the arithmetic mixture": (
        instead(
            LogLinearPool,
            "sample",
            lambda self, n, rng: log_linear_pool.arithmetic_mixture(self.components, self.weights).sample(n, rng=rng),
        ),
        on("pool of mixtures 2-D", "draws_obey_stein"),
    ),
    "envelope too large to bound from below": (
        around(log_linear_pool, "product_envelope", lambda out, *_: replace(out, log_mass=out.log_mass + 1.0)),
        law_test(test_log_linear_pool.test_envelope_dominates_and_floor_holds_everywhere, 0, "full", 2, 2),
    ),
    "envelope too small to bound from above": (
        around(log_linear_pool, "product_envelope", lambda out, *_: replace(out, log_mass=out.log_mass - 1.0)),
        law_test(test_log_linear_pool.test_envelope_dominates_and_floor_holds_everywhere, 0, "full", 2, 2),
    ),
    "rejection that accepts too much": (
        around(LogLinearPool, "_log_ratio", lambda out, *_: 0.5 * out),
        on("pool of mixtures 4-D", "draws_obey_stein"),
    ),
    "projection without the shift": (
        instead(Subspace, "project", lambda self, x: x @ self.frame),
        law_test(test_reduction.test_statistics_survive_the_reduction, "shared variance", 0.7, 0.4, 0),
    ),
    "reduced law normalised in the reduced dimension": (
        around(
            ReducedIsotropicMixture, "__init__", lambda _, law, w, mu, v, d: setattr(law, "spectrum", Spectrum(v, 4))
        ),
        law_test(test_reduction.test_statistics_survive_the_reduction, "isotropic", 0.7, 0.4, 0),
    ),
    "noise with a degree of freedom too many": (
        around(
            IsotropicReduction,
            "draw_noise",
            lambda out, _, n, *__: np.hypot(
                out, np.eye(out.shape[1])[-1] * np.random.default_rng(0).normal(size=(n, 1))
            ),
        ),
        lambda: test_reduction.test_draws_in_law_are_projections_of_draws(test_reduction.CASES["isotropic"]()),
    ),
    "means on a cube instead of a simplex": (
        instead(families, "_regular_simplex", lambda k, edge: edge * np.eye(k, k - 1)),
        law_test(test_families.test_shifted_means_are_separated_as_asked, 0, 4, 2.0),
    ),
    "geometry drawn in R^d": (
        around(families, "_frame", lambda out, d, r, *_: out * (1 + 1 / d)),
        lambda: test_families.test_dimension_rotates_the_geometry_and_changes_nothing_else("shifted_gaussians"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str, monkeypatch: Patch) -> None:
    break_it, check = FAULTS[fault]
    check()
    break_it(monkeypatch)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("fault", ["product envelope too small", "grid envelope too small"])
def test_an_envelope_that_is_exceeded_stops_the_sampler(fault: str, monkeypatch: Patch) -> None:
    """The package itself notices: no biased sample leaves it."""
    if fault.startswith("grid"):
        monkeypatch.setattr(product_envelope, "_MOST_TUPLES", 0)
        around(GridLaw, "log_prob", lambda out, *_: out - 0.5)(monkeypatch)
    else:
        around(
            log_linear_pool,
            "product_envelope",
            lambda out, *_: replace(out, log_mass=out.log_mass - 1.5, log_scale=out.log_scale - 1.5),
        )(monkeypatch)
    law = pool(3, layout="isotropic", m=2, d=1)
    for use in (lambda: law.sample(1000, rng=0), lambda: law.log_partition("envelope", n=1000)):
        with pytest.raises(IntractableError, match="is exceeded by a factor"):
            use()
