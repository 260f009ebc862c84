"""The border: what is not real numbers, has another shape or does not fit is refused by name; nothing is written."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import synthetic
from synthetic import (
    CovarianceError,
    DataTypeError,
    EmbeddedMixture,
    Estimate,
    GaussianMixture,
    IntractableError,
    LogLinearPool,
    NotFiniteError,
    ShapeError,
    SimplexError,
    SyntheticError,
    arithmetic_mixture,
    common_subspace,
    make_problem,
)
from synthetic import _memory as memory
from synthetic.quadrature import GridLaw, cover
from synthetic.reduction import reduce_laws

from .examples import KINDS, embedded, pool, random_frame, random_mixture

DIAGONAL = np.array([[1.0, 2.0], [0.5, 1.5]])
PLANE = random_mixture(1)
EMBEDDED = embedded(0, 3)
ISOTROPIC = [GaussianMixture([1.0], np.eye(1, 9), v) for v in (0.5, 1.0)]


def reduction() -> Any:
    return reduce_laws(ISOTROPIC)


# Every public place that takes an array: what it is called there, a good value, and the call.
PLACES: dict[str, tuple[str, Any, Callable[[Any], Any]]] = {
    "mixture, weights": ("weights", [0.25, 0.75], lambda a: GaussianMixture(a, np.eye(2), 1.0)),
    "mixture, means": ("means", np.eye(2), lambda a: GaussianMixture([0.25, 0.75], a, 1.0)),
    "mixture, variances": ("covariances", [1.0, 2.0], lambda a: GaussianMixture([0.25, 0.75], np.eye(2), a)),
    "mixture, matrices": ("covariances", [np.eye(2)] * 2, lambda a: GaussianMixture([0.25, 0.75], np.eye(2), a)),
    "mixture, diagonals": ("covariances", DIAGONAL, lambda a: GaussianMixture([0.25, 0.75], np.eye(2), a)),
    "mixture, shift": ("shift", [1.0, 2.0], lambda a: PLANE.affine(2.0, a)),
    "embedded, frame": ("frame", np.eye(3, 1), lambda a: EmbeddedMixture(EMBEDDED.core, a, 1.0, np.zeros(3))),
    "embedded, shift": ("shift", [1.0, 0.0, 2.0], lambda a: EmbeddedMixture(EMBEDDED.core, np.eye(3, 1), 1.0, a)),
    "embedded, map": ("shift", [1.0, 0.0, 2.0], lambda a: EMBEDDED.affine(2.0, a)),
    "pool, weights": ("weights", [0.25, 0.75], lambda a: LogLinearPool([PLANE, PLANE], a)),
    "arithmetic mixture": ("weights", [0.25, 0.75], lambda a: arithmetic_mixture([PLANE, PLANE], a)),
    "barycenter": ("weights", [0.25, 0.75], lambda a: make_problem("scaled_gaussians", k=2).barycenter(a)),
    "family": ("weights", [0.25, 0.75], lambda a: make_problem("scaled_gaussians", k=2, weights=a)),
    "subspace, points": ("x", np.eye(3), lambda a: EMBEDDED.embedding.project(a)),
    "subspace, directions": ("z", np.eye(3), lambda a: EMBEDDED.embedding.project_direction(a)),
    "subspace, coordinates": (
        "y",
        np.eye(3, 1),
        lambda a: EMBEDDED.embedding.lift(a, np.random.default_rng(0)),
    ),
    "reduction, points": ("x", np.eye(4, 9), lambda a: reduction().project(a)),
    "reduction, noise": ("z", np.eye(4, 9), lambda a: reduction().project_noise(np.ones((4, 9)), a)),
    "grid law": ("x", np.eye(4, 2), lambda a: GridLaw(cover([PLANE]).nodes[:, 0], cover([PLANE])).log_prob(a)),
}
for _kind in ("isotropic 2-D", "full 2-D", "diagonal 12-D", "embedded rank 1", "pool of mixtures 2-D"):
    _law = KINDS[_kind]()
    for _method in ("log_prob", "score", "divergence", "score_and_divergence"):
        if hasattr(_law, _method):
            PLACES[f"{_kind}, {_method}"] = ("x", np.eye(4, _law.dim), getattr(_law, _method))

everywhere = pytest.mark.parametrize("place", PLACES)


def masked(a: Any) -> Any:
    return np.ma.masked_array(a, mask=np.arange(np.size(a)).reshape(np.shape(a)) == 0)


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "masked": (masked, r"is a masked array.*\.compressed\(\).*\.filled\(value\)"),
    "no mask": (np.ma.masked_array, "is a masked array"),
    "masked rows": (lambda a: [masked(row) for row in np.asarray(a)], "is a masked array"),
    "complex": (lambda a: np.asarray(a) + 0j, r"must hold real numbers, got dtype complex128; take \w+\.real"),
    "dates": (lambda a: np.asarray(a).astype("datetime64[s]"), "must hold real numbers, got dtype datetime64"),
    "durations": (lambda a: np.asarray(a).astype("timedelta64[s]"), "got dtype timedelta64.*divide by a unit of time"),
    "text": (lambda a: np.asarray(a).astype(str), "must hold real numbers, got dtype <U"),
    "objects": (lambda a: np.asarray(a).astype(object), "must hold real numbers, got dtype object"),
    "truth values": (lambda a: np.asarray(a) > 0, r"must hold real numbers, got dtype bool; .*astype\(float\)"),
    "gradient": (lambda a: torch.tensor(np.asarray(a)).requires_grad_(), r"is a torch tensor .* \w+\.detach\(\)"),
    "bfloat16": (lambda a: torch.tensor(np.asarray(a)).bfloat16(), r"is a torch tensor .* pass \w+\.float\(\)"),
    "sparse": (lambda a: torch.tensor(np.asarray(a)).to_sparse(), r"is a torch tensor .* pass \w+\.to_dense\(\)"),
    "meta": (lambda a: torch.tensor(np.asarray(a)).to("meta"), "on the meta device, which holds no values"),
    "both": (
        lambda a: torch.tensor(np.asarray(a)).bfloat16().requires_grad_(),
        r"is a torch tensor \(torch.bfloat16.* pass \w+\.detach\(\)\.float\(\)",
    ),
    "rows of tensors": (
        lambda a: [torch.tensor(row, requires_grad=True) for row in np.atleast_2d(np.asarray(a))],
        r"torch tensor .*\.detach\(\)|shape",
    ),
}


@everywhere
def test_what_does_not_hold_real_numbers_is_named(place: str) -> None:
    name, good, call = PLACES[place]
    for wrong, (spoil, message) in WRONG.items():
        error = SyntheticError if wrong == "rows of tensors" else DataTypeError
        with pytest.raises(error, match=rf"{name}.* {message}"):
            call(spoil(good))


def test_a_foreign_array_that_fails_is_named() -> None:
    class Broken:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise KeyError("no such column")

    with pytest.raises(DataTypeError, match="x cannot be read as an array: 'no such column'"):
        PLANE.score(Broken())  # type: ignore[arg-type]


@pytest.mark.slow
def test_torch_is_not_imported() -> None:
    use = "synthetic.make_problem('random_mixtures').target.sample(5)"
    code = f"import sys, synthetic; {use}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@everywhere
def test_real_numbers_of_every_kind_pass(place: str) -> None:
    _, good, call = PLACES[place]
    array = np.asarray(good, np.float64)
    whole = array.astype(int) if np.array_equal(array, np.round(array)) else array
    for given in (array.tolist(), array.astype(np.float32), whole, torch.tensor(array), array.astype(">f8")):
        call(given)


# ---------------------------------------------------------------------- nothing is written
@everywhere
def test_inputs_are_not_written_to(place: str) -> None:
    """Writable and read-only, in both orders and dtypes: the same bits afterwards."""
    _, good, call = PLACES[place]
    for dtype in (np.float64, np.float32):
        for order in ("C", "F"):
            for writeable in (True, False):
                array = np.array(good, dtype, order=order)  # type: ignore[call-overload]
                before = array.tobytes()
                array.setflags(write=writeable)
                call(array)
                assert array.tobytes() == before
                assert array.flags.writeable == writeable


@everywhere
def test_results_do_not_alias_inputs(place: str) -> None:
    _, good, call = PLACES[place]
    array = np.array(good, np.float64)
    made = call(array)
    held = [made] if isinstance(made, np.ndarray) else list(vars(made).values()) if hasattr(made, "__dict__") else made
    assert not any(np.shares_memory(part, array) for part in held if isinstance(part, np.ndarray))


@pytest.mark.parametrize("kind", KINDS)
def test_methods_leave_the_law_as_it_was(kind: str) -> None:
    law = KINDS[kind]()
    x = law.sample(5, rng=0)
    first = law.log_prob(x)
    for method in (law.score, law.divergence, law.log_prob):
        method(x)[:] = np.nan  # results belong to the caller
    np.testing.assert_array_equal(law.log_prob(x), first)


# ---------------------------------------------------------------------- shapes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["log_prob", "score", "divergence", "score_and_divergence"])
def test_nothing_broadcasts(kind: str, method: str) -> None:
    law = KINDS[kind]()
    if not hasattr(law, method):
        return
    d = law.dim
    for shape in ((4, d + 1), (4, 1), (1, 4, d), (d,), ()):
        if shape != (4, d):
            with pytest.raises(ShapeError, match=rf"x must have shape \(n, {d}\)"):
                getattr(law, method)(np.ones(shape))


@pytest.mark.parametrize(
    "call",
    [
        lambda: EMBEDDED.embedding.project(np.ones((4, 1))),
        lambda: EMBEDDED.embedding.project_direction(np.ones((4, 1))),
        lambda: EMBEDDED.embedding.lift(np.ones((4, 3)), np.random.default_rng(0)),
        lambda: reduction().project(np.ones((4, 1))),
        lambda: reduction().project_noise(np.ones((4, 9)), np.ones((4, 1))),
        lambda: reduction().laws[0].score(np.ones((4, 1))),
        lambda: GridLaw(cover([PLANE]).nodes[:, 0], cover([PLANE])).log_prob(np.ones((4, 1))),
        lambda: PLANE.affine(1.0, np.ones((1, 2))),
        lambda: EMBEDDED.affine(1.0, np.ones(1)),
        lambda: EmbeddedMixture(EMBEDDED.core, np.eye(3, 1), 1.0, np.zeros(1)),
        lambda: EmbeddedMixture(EMBEDDED.core, np.eye(3, 1), 1.0, np.zeros((3, 1))),
        lambda: cover([PLANE, random_mixture(1, d=1)]),
        lambda: cover([]),
        lambda: common_subspace([]),
    ],
)
def test_other_shapes_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ShapeError):
        call()


# ---------------------------------------------------------------------- sizes
def ones(*shape: int, dtype: Any = float) -> Any:
    """A view that takes no memory."""
    return np.broadcast_to(np.ones((), dtype), shape)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: GaussianMixture([1.0], ones(10**6, 10**6), 1.0), ShapeError),
        (lambda: GaussianMixture([1.0], ones(1, 10**13), 1.0), IntractableError),
        (lambda: GaussianMixture(ones(10**13), ones(10**13, 1), 1.0), IntractableError),
        (lambda: GaussianMixture(ones(10**12), [[0.0]], 1.0), ShapeError),
        (lambda: GaussianMixture(ones(10**13, 1), [[0.0]], 1.0), ShapeError),
        (lambda: GaussianMixture([1.0], [[0.0]], ones(10**13)), ShapeError),
        (lambda: GaussianMixture([1.0], ones(1, 10**13, dtype=np.int8), 1.0), IntractableError),
        (lambda: PLANE.score(ones(10**13, 2)), IntractableError),
        (lambda: PLANE.log_prob(ones(10**13, 2)), IntractableError),
        (lambda: PLANE.log_prob(ones(10**13, 2, dtype=np.int8)), IntractableError),
        (lambda: PLANE.score(ones(10**13, 3)), ShapeError),
        (lambda: PLANE.affine(1.0, ones(10**13)), ShapeError),
        (lambda: EMBEDDED.score(ones(10**13, 3)), IntractableError),
        (lambda: pool(2).divergence(ones(10**13, 2)), IntractableError),
        (lambda: LogLinearPool([PLANE, PLANE], ones(10**13)), ShapeError),
        (lambda: EmbeddedMixture(EMBEDDED.core, ones(10**13, 1), 1.0, np.zeros(3)), IntractableError),
        (lambda: EmbeddedMixture(EMBEDDED.core, np.eye(3, 1), 1.0, ones(10**13)), ShapeError),
    ],
)
def test_views_of_a_trillion_are_refused_at_once(call: Callable[[], Any], error: type[SyntheticError]) -> None:
    started = time.process_time()
    with pytest.raises(error):
        call()
    assert time.process_time() - started < 0.5


def test_a_refusal_says_what_it_would_take_and_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 12 << 30)
    with pytest.raises(
        IntractableError,
        match=r"sample of n points of shape \(1000000000, 2\) would take 14.9 GiB \(29.8 .*has 12.0 GiB left",
    ):
        PLANE.sample(10**9)
    with pytest.raises(ShapeError, match=r"n must be an integer, got 1000000000.0"):
        PLANE.sample(1e9)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="n must be at most 2"):
        PLANE.sample(10**5000)


def test_memory_left_is_a_plausible_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 << 27 < memory.available_bytes() < 1 << 50
    monkeypatch.setattr(memory, "_read", lambda path: {"/sys/fs/cgroup/memory.max": "1073741824\n"}.get(path, ""))
    assert memory.available_bytes() == 1 << 30  # a container's limit
    monkeypatch.setattr(memory, "_read", lambda _: "max\n")
    assert memory.available_bytes() > 1 << 27  # neither: what is built in


@pytest.mark.parametrize("law", [PLANE, EMBEDDED], ids=repr)
def test_samples_take_the_memory_that_the_check_counts(law: Any) -> None:
    import tracemalloc

    n = 200_000
    law.sample(2, rng=0)
    tracemalloc.start()
    try:
        law.sample(n, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    counted = 8 * n * (law.dim + (2 if law is PLANE else 3 * law.dim))
    assert peak < 1.25 * counted


# ---------------------------------------------------------------------- numbers, names, generators
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make_problem(["x"]), SyntheticError, r"unknown problem \['x'\]"),
        (lambda: make_problem(None), SyntheticError, "unknown problem None"),
        (lambda: synthetic.problem_parameters({}), SyntheticError, "unknown problem {}"),
        (lambda: make_problem("paper_mixture_1d", space=["raw"]), SyntheticError, r"space must be .* got \['raw'\]"),
        (lambda: make_problem("paper_mixture_1d", space=np.zeros(2)), SyntheticError, "space must be 'raw' or"),
        (lambda: make_problem("random_mixtures", covariance={}), SyntheticError, "covariance must be 'isotropic', "),
        (lambda: make_problem("shifted_gaussians", separation=np.nan), NotFiniteError, "separation is nan"),
        (lambda: make_problem("shifted_gaussians", condition=np.inf), NotFiniteError, "condition is inf"),
        (lambda: make_problem("scaled_gaussians", ratio=-np.inf), NotFiniteError, "ratio is -inf"),
        (lambda: make_problem("near_duplicates", spread="0.1"), DataTypeError, "spread must hold real numbers.*'0.1'"),
        (lambda: make_problem("near_duplicates", spread=True), DataTypeError, "spread must hold real numbers"),
        (lambda: make_problem("shifted_gaussians", k=True), ShapeError, "k must be an integer, got True"),
        (lambda: make_problem("shifted_gaussians", k=np.timedelta64(3, "s")), ShapeError, "k must be an integer"),
        (lambda: make_problem("shifted_gaussians", k=np.array(3)), ShapeError, r"k must be an integer, got array\(3\)"),
        (lambda: make_problem("shifted_gaussians", rng=True), SyntheticError, "rng must be .* got True"),
        (lambda: make_problem("shifted_gaussians", rng={"bit_generator": "x"}), SyntheticError, "rng must be"),
        (lambda: PLANE.diffuse(10**400, 1.0), NotFiniteError, "alpha is 1000.*at most 1e"),
        (lambda: PLANE.diffuse(1.0, 1j), DataTypeError, "sigma must hold real numbers, got dtype complex128"),
        (lambda: PLANE.diffuse(1.0, np.timedelta64(1, "s")), DataTypeError, "sigma must hold real numbers"),
        (lambda: PLANE.diffuse(1.0, True), DataTypeError, "sigma must hold real numbers, got dtype bool"),
        (lambda: PLANE.affine(1e70).affine(1e70).affine(1e70), SyntheticError, "must"),
        (lambda: EMBEDDED.diffuse(1e80, 0.0), CovarianceError, "they must lie between"),
        (lambda: pool(2).log_partition(["envelope"]), SyntheticError, r"unknown method \['envelope'\]"),
        (lambda: pool(2).log_partition(np.zeros(2)), SyntheticError, "unknown method array"),
        (lambda: Estimate("a"), NotFiniteError, "value must be a number, got 'a'"),
        (lambda: Estimate(1.0, None), NotFiniteError, "stderr must be a number, got None"),
        (lambda: cover([PLANE], refine=np.nan), NotFiniteError, "refine is nan"),
    ],
)
def test_arguments_are_named(call: Callable[[], Any], error: type[SyntheticError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_messages_stay_short() -> None:
    with pytest.raises(ShapeError) as caught:
        PLANE.sample(list(range(10**6)))  # type: ignore[arg-type]
    assert str(caught.value) == "n must be an integer, got a list of 1000000"
    with pytest.raises(SyntheticError) as other:
        make_problem("x" * 10**6)
    assert len(str(other.value)) < 500


def test_short_weights_may_miss_one_by_their_own_rounding() -> None:
    for dtype in (np.float16, np.float32):
        third = np.full(3, 1 / 3, dtype)
        law = GaussianMixture(third, np.eye(3), 1.0)
        np.testing.assert_allclose(law.weights, 1 / 3, rtol=1e-12)
        with pytest.raises(SimplexError, match="weights sum to"):
            GaussianMixture(third * dtype(0.99), np.eye(3), 1.0)
    with pytest.raises(SimplexError, match="weights sum to"):
        GaussianMixture(np.full(3, 1 / 3, np.float16).astype(float), np.eye(3), 1.0)


def test_half_precision_is_computed_in_double() -> None:
    means, x = np.array([[0.1, 300.0], [2.0, -7.0]], np.float16), np.array([[0.5, 250.0]], np.float16)
    law, same = GaussianMixture([0.5, 0.5], means, 1.0), GaussianMixture([0.5, 0.5], means.astype(float), 1.0)
    assert law.score(x).dtype == np.float64
    np.testing.assert_array_equal(law.score(x), same.score(x.astype(float)))


def test_parts_of_an_embedded_law_are_read_only() -> None:
    law = EmbeddedMixture(EMBEDDED.core, random_frame(1, 3, 1), 1.0, np.zeros(3))
    for array in (law.frame, law.shift):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
