"""Hostile and valid arguments for the fuzz of `synthetic`: numbers, arrays, and laws of every kind and scale."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from synthetic import EmbeddedMixture, GaussianMixture, LogLinearPool

SCALARS: list[Any] = [
    None,
    True,
    "0.5",
    "",
    b"1",
    0,
    1,
    -1,
    3,
    10**12,
    2**63,
    10**400,
    0.0,
    -0.0,
    1e-9,
    0.5,
    2.0,
    1e12,
    1e-80,
    1e80,
    1e-300,
    1e300,
    -1e300,
    5e-324,
    np.nan,
    np.inf,
    -np.inf,
    1j,
    Decimal("1e-6"),
    Fraction(1, 3),
    np.float32(0.1),
    np.float16(1e-3),
    np.int8(2),
    np.uint64(3),
    np.bool_(True),
    np.complex64(1),
    np.datetime64("2020"),
    np.timedelta64(3, "s"),
    np.array(0.25),
    np.array([0.25]),
    np.array(2),
    np.ma.masked,
    torch.tensor(0.5),
    torch.tensor(0.5, requires_grad=True),
    object(),
    len,
    [],
    (1.0,),
    {"a": 1},
    {0.5},
    float,
    "auto",
    "envelope",
    "quadrature",
    np.random.default_rng(0),
    GaussianMixture,
    (0.5, 0.5),
]
scalars = st.sampled_from(SCALARS)
seeds = st.integers(0, 2**32 - 1)
rarely = st.integers(0, 7).map(lambda i: i == 0)


Prepare = Callable[[Any, np.random.Generator], Any]


def nearly_simplex(x: Any, rng: np.random.Generator) -> Any:
    """Probabilities, sometimes with a negative entry or another sum."""
    if x.ndim == 1 and x.size:
        x = rng.dirichlet(np.ones(x.size))
        x[rng.integers(x.size)] *= rng.choice([1.0, 1.0, 1.0, 1.0, 1.0, 1.01, -1.0])
    return x


def covariance(x: Any, rng: np.random.Generator) -> Any:
    """Positive numbers, or positive definite matrices."""
    if x.ndim == 3 and x.shape[1] == x.shape[2] and rng.random() < 0.8:
        return x @ x.transpose(0, 2, 1) + 0.1 * np.abs(x).max(initial=0.0) ** 2 * np.eye(x.shape[1])
    return np.abs(x) * rng.choice([1.0, 1.0, 1.0, -1.0]) + 0.1


def orthonormal(x: Any, rng: np.random.Generator) -> Any:
    """Columns of length one, most of the time."""
    return x / np.linalg.norm(x) if x.size and rng.random() < 0.8 else x


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...], prepare: Prepare | None = None) -> Any:
    """An array for a place of this shape: mostly right, else of another shape, dtype, content or container."""
    if draw(rarely):
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    rng = np.random.default_rng(draw(seeds))
    x = np.asarray(rng.standard_normal(shape))
    with np.errstate(all="ignore"):
        if prepare is not nearly_simplex and draw(st.integers(0, 2)) == 0:
            x = x * 10.0 ** draw(st.one_of(st.floats(-6, 6), st.floats(-300, 300)))
        x = np.asarray(x if prepare is None else prepare(x, rng))
        kind = draw(st.integers(0, 110))
        if kind < 5 and x.size:
            x.flat[rng.integers(x.size)] = [np.nan, np.inf, -np.inf, 1e151, 1e308][kind]
        return {
            5: lambda: x.astype(np.float32),
            6: lambda: x.astype(np.float16),
            7: lambda: x.astype(complex),
            8: x.tolist,
            9: lambda: np.asfortranarray(x),
            10: lambda: np.ma.masked_array(x, mask=x > 0),
            11: lambda: x.astype(object),
            12: lambda: x.astype(str),
            13: lambda: torch.tensor(x),
            14: lambda: torch.tensor(x, requires_grad=True),
            15: lambda: torch.tensor(x).bfloat16(),
            16: lambda: [np.ma.masked_array(row) for row in np.atleast_1d(x)],
            17: lambda: draw(scalars),
            18: lambda: np.round(np.clip(np.nan_to_num(x), -99, 99)).astype(int),
            19: lambda: x.astype(np.longdouble),
            20: lambda: np.broadcast_to(x, (2, *x.shape)),
            21: lambda: np.zeros(x.shape, "datetime64[s]"),
            22: lambda: x > 0,
            23: lambda: np.broadcast_to(np.float64(0.5), (10**12, *shape[1:])),
            24: lambda: torch.tensor(x).to_sparse(),
            25: lambda: torch.tensor(x).to("meta"),
            26: lambda: iter(np.atleast_1d(x)),
            27: lambda: x[..., None],
            28: lambda: np.stack([x, x], axis=-1)[..., 0],
            29: lambda: x.astype(">f8"),
            30: lambda: np.zeros(x.shape, "timedelta64[s]"),
            31: lambda: np.asfortranarray(x.astype(np.float32)),
            32: lambda: x[::-1] if x.ndim else x,
        }.get(kind, lambda: x)()


@st.composite
def maybe(draw: st.DrawFn, good: st.SearchStrategy[Any]) -> Any:
    """A good value, or one time in six any scalar."""
    return draw(scalars) if draw(st.integers(0, 5)) == 0 else draw(good)


counts = maybe(st.integers(0, 20))
rngs = maybe(st.one_of(st.none(), st.integers(0, 5)))


@st.composite
def mixtures(draw: st.DrawFn, d: int, *, huge: bool = True) -> GaussianMixture:
    """A valid mixture on R^d of any layout and scale."""
    rng, m = np.random.default_rng(draw(seeds)), draw(st.integers(1, 3))
    layout = draw(st.sampled_from(["shared", "isotropic", "diagonal", "full"]))
    scale = 10.0 ** draw(st.one_of(st.just(0.0), st.floats(-60, 60) if huge else st.floats(-3, 3)))
    spread = 10.0 ** draw(st.sampled_from([0.0, 0.0, 1.0, 3.0]))
    root = rng.standard_normal((m, d, d)) / np.sqrt(d)
    covariances = {
        "shared": rng.uniform(0.5, 2.0),
        "isotropic": rng.uniform(0.5, 2.0, m),
        "diagonal": rng.uniform(0.5, 2.0, (m, d)),
        "full": root @ root.transpose(0, 2, 1) + 0.3 * np.eye(d),
    }[layout]
    weights = rng.dirichlet(np.ones(m))
    if m > 1 and draw(rarely):
        weights = np.eye(m)[0]
    return GaussianMixture(weights, scale * spread * rng.standard_normal((m, d)), scale**2 * np.asarray(covariances))


@st.composite
def embedded(draw: st.DrawFn, r: int = 1) -> EmbeddedMixture:
    """A valid embedded mixture on R^4 with one of two frames."""
    frame = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 1))).standard_normal((4, r)))[0]
    return EmbeddedMixture(draw(mixtures(r, huge=False)), frame, draw(st.sampled_from([0.5, 1.0])), np.arange(4.0))


@st.composite
def pools(draw: st.DrawFn, d: int) -> LogLinearPool:
    """A valid pool on R^d."""
    k = draw(st.integers(1, 3))
    return LogLinearPool([draw(mixtures(d, huge=False)) for _ in range(k)], np.full(k, 1 / k))


dimensions = st.sampled_from([1, 2, 3, 9])
laws = dimensions.flatmap(lambda d: st.one_of(mixtures(d), mixtures(d), pools(d), embedded()))
