"""Networks of any origin: what they are given, what may come back, and an error that names the repair for the rest."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import sfbench
from sfbench import GridError, ModelError, NotFiniteError
from sfbench.nets import EDM, NetworkScore, build_network
from sfbench.sampling import TrustWarning
from synthetic import GaussianMixture

OU, VP, VE = sfbench.OrnsteinUhlenbeck(), sfbench.VariancePreserving(), sfbench.VarianceExploding(25.0)
X = np.random.default_rng(0).standard_normal((6, 4))


class Foreign(torch.nn.Module):
    """Predicts ``scale x`` in float32 and remembers what it was given."""

    def __init__(self, wrap=lambda out: out, scale=-0.5):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))
        self.wrap, self.seen = wrap, []

    def forward(self, x, t, labels=None):
        self.seen.append((x, t, labels))
        return self.wrap(self.scale * x)


def network(module=None, dim=4, process=OU, parameterisation="score", **options):
    return NetworkScore(Foreign() if module is None else module, dim, process, parameterisation, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_modules_are_called_in_their_own_precision(dtype):
    model = network().to(dtype=dtype)
    np.testing.assert_allclose(model.score(X, 0.3), -0.5 * X, rtol={torch.bfloat16: 1e-2}.get(dtype, 1e-6))
    for x, t, _ in model.module.seen:
        assert x.dtype == t.dtype == dtype
        assert t.shape == (6,)
    assert model.score(X, 0.3).dtype == np.float64
    assert model.score(X.astype(np.float32), 0.3).dtype == np.float32


def test_a_module_without_weights_has_the_precision_of_the_points():
    class Bare(torch.nn.Module):
        def forward(self, x, t):
            return -x * torch.ones_like(t)[:, None]

    model = network(Bare())
    np.testing.assert_array_equal(model.score(X, 0.3), -X)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda out: (out, "more"),
        lambda out: [out],
        lambda out: SimpleNamespace(sample=out),
        lambda out: SimpleNamespace(logits=out),
        lambda out: (SimpleNamespace(sample=out),),
    ],
)
def test_what_may_come_back(wrap):
    np.testing.assert_allclose(network(Foreign(wrap)).score(X, 0.3), -0.5 * X, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda out: out[:, :2], r"returned shape \(6, 2\) for points of shape \(6, 4\)"),
        (lambda out: out[:1], r"returned shape \(1, 4\)"),
        (lambda out: out.mean(), r"returned shape \(\)"),
        (lambda out: out.long(), "returned torch.int64; a score is real: dense"),
        (lambda out: out + 0j, "returned torch.complex64"),
        (lambda out: out.detach().numpy(), "returned a ndarray; it must return a tensor"),
        (lambda out: None, "returned a NoneType"),
        (lambda out: (), "returned a tuple"),
        (lambda out: {"a": out}, "returned a dict"),
        (lambda out: torch.distributions.Normal(out, 1.0), "returned a Normal"),
        (lambda out: out.to("meta"), "returned a tensor on meta for points on cpu"),
        (lambda out: 1 / 0, "failed, called with x = .6, 4. float32, t = .6,. float32: ZeroDivisionError"),
    ],
)
def test_what_may_not(wrap, message):
    with pytest.raises(ModelError, match=message):
        network(Foreign(wrap)).score(X, 0.3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_at_the_first_call(value):
    def poison(out):
        out = out.clone()
        out[2, 1] = value
        return out

    with pytest.raises(NotFiniteError, match=r"Foreign returned (nan|-?inf) at a finite point \(row 2\) and t = 0.3"):
        network(Foreign(poison)).score(X, 0.3)
    points = X.copy()
    points[3, 0] = np.nan  # of somebody else: passed on, for samplers that drop such particles
    found = network().score(points, 0.3)
    assert np.isnan(found[3, 0])
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_models_that_write_into_their_input_are_refused_and_the_points_stay_as_they_were(kind):
    class Writing(Foreign):
        def forward(self, x, t):
            return x.mul_(-0.5)

    model = network(Writing()).to(dtype=torch.float64)
    points = X.copy() if kind == "numpy" else torch.from_numpy(X.copy())
    with pytest.raises(ModelError, match=r"Writing writes into the points.*x = x\.clone\(\)"):
        model.score(points, 0.3)
    np.testing.assert_array_equal(np.asarray(points), X)


def test_tensors_stay_tensors():
    model = network()
    for dtype in (torch.float32, torch.float64):
        points = torch.tensor(X, dtype=dtype)
        found = model.score(points, 0.3)
        assert isinstance(found, torch.Tensor)
        assert (found.dtype, found.requires_grad) == (dtype, False)
        torch.testing.assert_close(found, -0.5 * points)
    own = model.to(dtype=torch.float64)
    shared = torch.from_numpy(X.copy())
    own.score(shared, 0.3)
    own.score(shared, 0.3)
    assert own.module.seen[-1][0].data_ptr() == shared.data_ptr()  # no copy on the way


def test_tensors_that_cannot_be_used():
    model = network()
    good = torch.zeros(3, 4)
    for x, message in (
        (good.clone().requires_grad_(), r"records gradients; pass x\.detach\(\), or use evaluate"),
        (good.bfloat16(), r"got torch\.bfloat16.*x\.float\(\)"),
        (good.half(), r"got torch\.float16"),
        (good.long(), r"got torch\.int64"),
        (good + 0j, r"got torch\.complex64"),
        (good.to_sparse(), "sparse"),
        (good.to("meta"), r"x is on meta, the network on cpu; use x\.to\(score\.device\)"),
        (torch.zeros(3, 5), r"x must have shape \(n, 4\), got \(3, 5\)"),
        (torch.zeros(3, 2, 2), r"got \(3, 2, 2\); use x\.reshape\(len\(x\), -1\)"),
        (np.zeros((3, 2, 2)), r"use x\.reshape\(len\(x\), -1\)"),
        (np.zeros(4), r"got \(4,\)"),
        (np.ma.masked_array(X, X > 0), "mask"),
        (X + 1j, "imaginary"),
        ([["a"] * 4], "real numbers"),
        (None, "real numbers"),
    ):
        with pytest.raises(ModelError, match=message):
            model.score(x, 0.3)


def test_arrays_of_every_layout_have_the_same_scores():
    model = network(parameterisation="v")
    expected = model.score(X, 0.3)
    wide = np.zeros((6, 8))
    wide[:, ::2] = X
    for points in (
        np.asfortranarray(X),
        wide[:, ::2],
        X.astype(">f8"),
        X.astype(np.longdouble),
        X[::-1][::-1],
        X.tolist(),
    ):
        np.testing.assert_array_equal(model.score(points, 0.3), expected)
    assert model.score(X[:0], 0.3).shape == (0, 4)


# ---------------------------------------------------------------------- times
def test_every_time_is_a_time_for_each_point():
    model = network(parameterisation="v", process=VP)
    times = np.linspace(0.1, 0.9, 6)
    each = np.concatenate([model.score(X[i : i + 1], float(t)) for i, t in enumerate(times)])
    for t in (times, torch.from_numpy(times), times.tolist()):
        np.testing.assert_allclose(model.score(X, t), each, rtol=1e-5)
    np.testing.assert_array_equal(model.score(X, np.float32(0.25)), model.score(X, 0.25))
    np.testing.assert_array_equal(model.score(X, torch.tensor(0.25)), model.score(X, 0.25))
    parts = network(model.module, parameterisation="v", process=VP, batch=4)
    np.testing.assert_allclose(parts.score(X, times), model.score(X, times), rtol=1e-6)


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (np.ones(5), r"one for each of the 6 points, got shape \(5,\)"),
        (np.ones((6, 1)), r"got shape \(6, 1\)"),
        ([0.3], "got shape"),
        (np.nan, "finite and at least 0, got nan"),
        (-1.0, "at least 0, got -1"),
        (np.inf, "finite"),
        (np.array([0.1, 0.2, -0.5, 0.1, 0.1, 0.1]), "at least 0, got -0.5"),
        (None, "t must hold real numbers"),
        ("0.3", "t must hold real numbers"),
        (0.3j, "t must hold real numbers"),
        (0.0, r"a score needs noise \(t > 0\)"),
        (np.zeros(6), r"a score needs noise \(t > 0\)"),
    ],
)
def test_times_that_are_none(t, message):
    with pytest.raises(GridError, match=message):
        network().score(X, t)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (None, 0.3),
        ("t", 0.3),
        ("scaled", 300.0),
        ("timestep", 299.0),
        ("log_snr", float(VP.log_snr(0.3))),
        ("sigma", float(VP.sigma(0.3))),
        ("c_noise", 0.25 * np.log(float(VP.sigma(0.3) / VP.alpha(0.3)))),
        (lambda t: 1000 * t - 1, 299.0),
    ],
)
def test_time_scales(time, expected):
    process = sfbench.processes.from_betas(np.linspace(1e-4, 0.02, 1000)) if time == "timestep" else VP
    for t in (0.3, np.full(6, 0.3)):
        model = network(process=process, time=time)
        model.score(X, t)
        seen = model.module.seen[-1][1]
        assert seen.dtype == torch.float32
        np.testing.assert_allclose(seen.numpy(), np.full(6, expected), rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_items_of_another_shape_are_refused(kind):
    """(n, 4, 4, 3) has as many numbers as (n, 3, 4, 4), in another order."""
    process = sfbench.OrnsteinUhlenbeck()
    images = np.random.default_rng(0).normal(size=(20, 3, 4, 4))
    models = [NetworkScore(torch.nn.Conv2d(3, 3, 1), (3, 4, 4), process, "score", time=lambda t: t)]
    with pytest.raises(ModelError, match=r"items of shape \(4, 4, 3\), the models of shape \(3, 4, 4\); channels come"):
        sfbench.fuse(models, kind(np.moveaxis(images, 1, -1).copy()), process=process)
    with pytest.raises(ModelError, match="channels come first"):
        sfbench.compare({"one": models[0]}, np.moveaxis(images, 1, -1), process=process)


def test_no_timestep_before_the_first():
    """Samplers end, and checks ask, within the table, where a network may take the root of its timestep."""
    process = sfbench.processes.from_betas(np.linspace(1e-4, 0.02, 1000))
    models = [network(process=process, time="timestep") for _ in range(2)]
    assert models[0].t_range == (1 / 1000, 1.0)
    assert network(process=process, time="timestep", t_range=(0.1, 0.5)).t_range == (0.1, 0.5)
    result = sfbench.fuse(models, X, process=process, rng=0)
    with pytest.warns(TrustWarning):  # these networks are none of this process
        sfbench.sample(result, 8, steps=8, check_steps=False, rng=1)
    assert min(float(t.min()) for model in models for _, t, _ in model.module.seen) >= -1e-9


def test_integer_steps_and_functions_that_err():
    class Table(torch.nn.Module):
        """Looks its steps up, as discrete models do."""

        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(1000, 4)

        def forward(self, x, t):
            return self.table(t) * x

    with pytest.raises(ModelError, match=r"Table failed, called with .*time= other times"):
        network(Table()).score(X, 0.3)
    steps = network(Table(), time=lambda t: (1000 * t - 1).round().long())
    np.testing.assert_allclose(steps.score(X, 0.3), steps.module.table.weight[299].detach().numpy() * X, rtol=1e-6)
    for time, message in ((lambda t: 3.0, "got a float"), (lambda t: t[:1], r"got \(1,\) float64 for \(6,\) float64")):
        with pytest.raises(ModelError, match=message):
            network(time=time).score(X, 0.3)
    with pytest.raises(ModelError, match="time='timestep' needs a process with numbered steps"):
        network(time="timestep")
    with pytest.raises(ModelError, match=r"unknown time 'sacled' .did you mean 'scaled'"):
        network(time="sacled")


def test_own_networks_take_their_times_in_double_precision_on_the_host():
    model = NetworkScore(build_network("mlp", {"dim": 4, "width": 8}, process=OU), 4, OU)
    seen = []
    model.module.embed.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.score(X, 1e-5)
    assert seen[0].dtype == torch.float64
    assert float(seen[0][0]) == 1e-5
    assert model.parameterisation == "v"  # what they predict unless told otherwise


# ---------------------------------------------------------------------- shapes
class Pictures(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, sample, timestep):
        return SimpleNamespace(sample=self.layer(sample))


def test_images_are_seen_as_images():
    torch.manual_seed(0)
    model = NetworkScore(Pictures(), (2, 3, 5), OU, "score")
    assert (model.dim, model.shape) == (30, (2, 3, 5))
    flat = np.random.default_rng(0).standard_normal((4, 30))
    direct = model.module.layer(torch.tensor(flat, dtype=torch.float32).reshape(4, 2, 3, 5)).detach().numpy()
    np.testing.assert_allclose(model.score(flat, 0.3), direct.reshape(4, 30), rtol=1e-6)
    again = model.to(dtype=torch.float64)  # a copy keeps the shape
    assert again.shape == (2, 3, 5)
    fit = sfbench.fuse([model, again], flat, process=OU, n_nodes=2, rng=0)
    assert abs(fit.weights.sum() - 1) < 1e-8
    with pytest.raises(ModelError, match=r"Pictures failed, called with x = \(6, 4\) float32.*dim=\(C, H, W\)"):
        NetworkScore(Pictures(), 4, OU, "score").score(X, 0.3)
    with pytest.raises(ModelError, match=r"shape \(2, 3\) has 6 entries, but dim is 5"):
        NetworkScore(Pictures(), 5, OU, "score", shape=(2, 3))

    class LearnedVariance(torch.nn.Module):
        def forward(self, x, t):
            return torch.cat([x, x], dim=1)

    with pytest.raises(ModelError, match="half of the channels are a learned variance"):
        NetworkScore(LearnedVariance(), (2, 3, 5), OU, "epsilon").score(flat, 0.3)


@pytest.mark.parametrize("dim", [0, -1, 2.0, True, None, "4", (), (2, 0), (2, 2.5), [[1]]])
def test_dimensions_that_are_none(dim):
    with pytest.raises(ModelError, match=r"dim|shape"):
        network(dim=dim)


# ---------------------------------------------------------------------- what they predict
LAW = GaussianMixture([0.3, 0.7], [[-1.0, 0.2], [0.5, 0.0]], [0.3, 0.2])


class Exact(torch.nn.Module):
    """A prediction made from the exact mean of the data given x, in float64, by the definition of each kind."""

    def __init__(self, process, kind):
        super().__init__()
        self.process, self.kind = process, kind

    def forward(self, x, t):
        alpha, sigma = (float(f(self.t)) for f in (self.process.alpha, self.process.sigma))
        y = x * np.hypot(sigma, self.kind.sigma_data * alpha) if isinstance(self.kind, EDM) else x
        score = torch.from_numpy(LAW.diffuse(alpha, sigma).score(y.numpy()))
        data, noise = (y + sigma**2 * score) / alpha, -sigma * score
        if isinstance(self.kind, EDM):  # Karras et al., in their own letters
            s, d = sigma / alpha, self.kind.sigma_data
            c_skip, c_out = d**2 / (s**2 + d**2), s * d / (d**2 + s**2) ** 0.5
            return (data - c_skip * y / alpha) / c_out
        mixed = (alpha * noise - sigma * data) / np.hypot(alpha, sigma)
        return {"epsilon": noise, "x0": data, "score": score, "velocity": noise - data, "v": mixed}[self.kind]


@pytest.mark.parametrize("process", [OU, VP, VE], ids=repr)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("epsilon", "eps"),
        ("v", "v_prediction"),
        ("x0", "sample"),
        ("velocity", "flow_prediction"),
        ("score", "score"),
        (EDM(0.5), "edm"),
        (EDM(2.0), EDM(2.0)),
    ],
)
def test_every_prediction_is_the_same_score(process, kind, name):
    module = Exact(process, kind)
    points = LAW.sample(20, rng=0)
    for t in (0.05, 0.5):
        module.t = t
        expected = LAW.diffuse(float(process.alpha(t)), float(process.sigma(t))).score(points)
        model = NetworkScore(module, 2, process, name)
        assert model.parameterisation == kind
        np.testing.assert_allclose(model.score(points, t), expected, rtol=1e-8, atol=1e-9)


def test_edm_is_told_the_noise_level_as_it_expects():
    model = network(process=VE, parameterisation="edm")
    model.score(X, 0.3)
    x, t, _ = model.module.seen[-1]
    sigma = float(VE.sigma(0.3))
    np.testing.assert_allclose(t.numpy(), 0.25 * np.log(sigma), rtol=1e-6)
    np.testing.assert_allclose(x.numpy(), X / np.hypot(sigma, 0.5), rtol=1e-6)
    for wrong in (0.0, -1.0, np.nan, "a"):
        with pytest.raises(ModelError, match="sigma_data"):
            EDM(wrong)


def test_foreign_modules_have_no_default_prediction():
    with pytest.raises(ModelError, match=r"parameterisation= must say what this Foreign predicts: 'epsilon'"):
        NetworkScore(Foreign(), 4, OU)
    with pytest.raises(ModelError, match=r"unknown parameterisation 'epsilom' .did you mean 'epsilon'"):
        network(parameterisation="epsilom")
    with pytest.raises(ModelError, match="unknown parameterisation 3"):
        network(parameterisation=3)
