import numpy as np
import pytest

from sfbench.baselines import parameter_average, superdiff
from sfbench.errors import ModelError, SfbenchError
from sfbench.metrics.from_samples import total_variation_floor, total_variation_from_samples
from sfbench.processes import OrnsteinUhlenbeck
from sfbench.scores import FusedScore
from synthetic import GaussianMixture, arithmetic_mixture


@pytest.mark.slow
def test_or_samples_the_arithmetic_mixture():
    """Densities estimated on the fly recover mixture weights that the scores alone do not contain."""
    laws = [GaussianMixture([1.0], [[-0.5]], 0.2), GaussianMixture([1.0], [[0.7]], 0.3)]
    fused = FusedScore(laws, [0.3, 0.7], process=OrnsteinUhlenbeck())
    x = superdiff(fused, 5000, "or", steps=300, rng=0).x
    mixture = arithmetic_mixture(laws, [0.3, 0.7])
    assert total_variation_from_samples(x, mixture).value < total_variation_floor(x, mixture) + 0.03


def test_and_of_one_model_is_that_model():
    law = GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], 0.1)
    fused = FusedScore([law], [1.0], process=OrnsteinUhlenbeck())
    result = superdiff(fused, 5000, "and", steps=300, rng=0)
    assert total_variation_from_samples(result.x, law).value < total_variation_floor(result.x, law) + 0.03
    assert "AND" in result.law


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")  # with 200 steps AND has not settled
def test_and_equalises_densities():
    """Two unit Gaussians at -1 and 1: where both densities agree is x = 0."""
    laws = [GaussianMixture([1.0], [[m]], 0.5) for m in (-1.0, 1.0)]
    fused = FusedScore(laws, [0.5, 0.5], process=OrnsteinUhlenbeck())
    x = superdiff(fused, 1000, "and", steps=200, largest=100.0, rng=0).x
    free = superdiff(fused, 1000, "or", steps=200, rng=0).x
    assert np.median(np.abs(x)) < 0.5 * np.median(np.abs(free))


def test_superdiff_refuses():
    fused = FusedScore([GaussianMixture([1.0], [[0.0]], 1.0)], [1.0], process=OrnsteinUhlenbeck())
    with pytest.raises(SfbenchError, match="xor"):
        superdiff(fused, 5, "xor", rng=0)  # type: ignore[arg-type]


def test_parameter_average_depends_on_storage_order():
    a = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.2)
    b = GaussianMixture([0.5, 0.5], [[1.0], [-1.0]], 0.2)  # the same law
    same, merged = parameter_average([a, a], [0.5, 0.5]), parameter_average([a, b], [0.5, 0.5])
    np.testing.assert_allclose(same.means, a.means)
    np.testing.assert_allclose(merged.means, 0.0)


def test_parameter_average_of_vertices_and_covariances():
    a = GaussianMixture([0.2, 0.8], [[-1.0, 0.0], [1.0, 0.0]], [0.2, 0.3])
    b = GaussianMixture([0.5, 0.5], [[1.0, 1.0], [-1.0, 0.0]], [[0.1, 0.2], [0.3, 0.4]])
    vertex = parameter_average([a, b], [1.0, 0.0])
    np.testing.assert_allclose(vertex.weights, a.weights)
    np.testing.assert_allclose(vertex.means, a.means)
    half = parameter_average([a, b], [0.5, 0.5])
    np.testing.assert_allclose(half.covariances[0], np.diag([0.15, 0.2]))
    np.testing.assert_allclose(half.weights, np.sqrt([0.1, 0.4]) / np.sqrt([0.1, 0.4]).sum())


def test_parameter_average_refuses():
    a, b = GaussianMixture([1.0], [[0.0]], 1.0), GaussianMixture([0.5, 0.5], [[0.0], [1.0]], 1.0)
    for mixtures, weights in (([a, b], [0.5, 0.5]), ([a], [0.5, 0.5]), ([a, a], [2.0, -1.0]), ([], [])):
        with pytest.raises(ModelError):
            parameter_average(mixtures, weights)
    with pytest.raises(ModelError, match="zero"):
        parameter_average([GaussianMixture([1.0, 0.0], [[0.0], [1.0]], 1.0)] * 2, [0.5, 0.5])
