r"""Chunked evaluation of log density, score and score divergence of a Gaussian mixture.

With log joints ``L_j(x) = log w_j + log N(x; mu_j, S_j)`` and responsibilities ``R_j = softmax_j L_j``,

    log p   = logsumexp_j L_j
    s       = sum_j R_j u_j,                     u_j = S_j^{-1} (mu_j - x)
    div s   = sum_j R_j (|u_j|^2 - tr S_j^{-1}) - |s|^2

Two ways of computing ``L_j``:

- **product form** (isotropic and diagonal): ``-|x - mu|^2 / 2v`` expanded into ``x x' - 2 x mu' + mu mu'``, so that a
  chunk costs one matrix product for L and one for s. Log joints are stored component-major, (m, rows), so every
  elementwise pass runs along the long axis.
- **whitened form** (full covariances, and the fallback): residuals are formed first, then log joints are refined
  relative to each point's most likely component. Between components of one covariance their *differences* come from
  the means alone, so that they stay exact far from all of them; otherwise their error is ``eps * |x|^2 / v``. The
  divergence is evaluated as ``sum_j R_j (|u_j - s|^2 - tr S_j^{-1})``, which does not cancel.

The product form cancels when ``|x|^2 / v`` is large. Its error in L is predicted as ``eps * (|x|^2 + |mu|^2) / v``; a
chunk above tolerance is first centred on the mean of the means and, if that is not enough, evaluated in float64 by the
whitened form. Extra memory is a few megabytes whatever n. Components of weight zero are left out.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, final

import numpy as np

from ._covariance import Spectrum
from ._typing import Float64Array, FloatArray, IntArray
from ._validation import LARGEST, not_finite
from .errors import NotFiniteError

# Largest predicted error of a log joint before a chunk leaves the product form.
_TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 4e-3}
# Responsibilities are cut here: smaller ones make products subnormal, which is up to 10x slower and adds nothing.
_SMALLEST_LOG = {np.dtype(np.float64): -600.0, np.dtype(np.float32): -60.0}
# Numbers (and their inverses) up to here keep the product form within the range of its dtype.
_RANGE = {np.dtype(np.float64): LARGEST, np.dtype(np.float32): 1e18}
_SMALL_DIM = 8
_CHUNK_BYTES = 1 << 19  # of the log joints of one chunk, and of its points: both stay in the second-level cache
_SQUARES_BYTES = 1 << 21  # of the squared points of one chunk: larger ones are mapped and cleared anew every time
_CHUNK_WORK = 1 << 25  # bytes times coordinates that one chunk is worth its calls for
_COPY_BYTES = 1 << 23  # of the points of one chunk, at most


@final
@dataclass(frozen=True, eq=False)
class _Prepared:
    """Constants of the product form in one dtype, for means centred on ``centre``."""

    linear: FloatArray  # (m, d): mu_j / v_j
    curved: FloatArray  # (m, 2): what multiplies |x|^2 (isotropic, else zero) and 1 in L_j
    quadratic: FloatArray  # (m, 1) or (m, d): -1 / 2 v_j
    precision: FloatArray  # (m, 1) or (m, d)
    sums: FloatArray  # (2, m): ones, and the precision of isotropic components; times R: its total and the pull
    shared: float | None  # the common precision of isotropic components, if there is one
    centre: FloatArray | None  # (d,), or None if x is used as it is
    log_w: FloatArray  # (m, 1): normalised log weight, what L_j holds besides the quadratic form
    means_sq: float  # max_j |mu_j|^2


@cache
def _gemm(dtype: np.dtype[np.floating]) -> Any:
    """BLAS matrix product. Importing scipy.linalg takes a third of the time of `import sfbench`: at first use."""
    from scipy.linalg import blas

    return blas.dgemm if dtype == np.float64 else blas.sgemm


def _add_product(out: FloatArray, a: FloatArray, b: FloatArray, times: float = 1.0) -> None:
    """``out = times * out + a @ b`` in place; out is C-contiguous, a and b are contiguous in either order."""
    left, right = b.T, a.T  # BLAS sees the transposed product, in Fortran order
    flip_left, flip_right = not left.flags.f_contiguous, not right.flags.f_contiguous
    _gemm(out.dtype)(
        1.0,
        left.T if flip_left else left,
        right.T if flip_right else right,
        beta=times,
        c=out.T,
        trans_a=flip_left,
        trans_b=flip_right,
        overwrite_c=1,
    )


@final
class MixtureKernel:
    """Evaluator of one mixture; holds the prepared constants of each dtype."""

    def __init__(self, weights: Float64Array, means: Float64Array, spectrum: Spectrum) -> None:
        alive = np.flatnonzero(weights)
        if len(alive) < len(weights):
            weights, means, spectrum = weights[alive], means[alive], spectrum.subset(alive)
        self.means, self.spectrum = means, spectrum
        d = spectrum.dim  # may exceed the stored coordinates: see isotropic reductions
        self.log_norm: Float64Array = np.log(weights) - 0.5 * (spectrum.log_det() + d * np.log(2 * np.pi))
        self._smallest, self._largest = float(spectrum.values.min()), float(spectrum.values.max())
        self._centre: Float64Array = means.sum(axis=0) / len(means)
        self._prepared: dict[tuple[np.dtype[np.floating], bool], _Prepared] = {}

    # ------------------------------------------------------------------ entry point
    def evaluate(
        self,
        x: FloatArray,
        *,
        log_prob: FloatArray | None = None,
        score: FloatArray | None = None,
        divergence: FloatArray | None = None,
    ) -> None:
        """Fill the given output arrays ((n,), (n, d), (n,)) for points x (n, d)."""
        rows = self._rows_per_chunk(x.itemsize)
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            outputs = [None if out is None else out[part] for out in (log_prob, score, divergence)]
            points = np.ascontiguousarray(x[part])  # the same bits whatever the layout of x
            if not self._try_product_form(points, *outputs):
                self._fall_back(points, start, *outputs)

    def _rows_per_chunk(self, itemsize: int) -> int:
        m, d = self.means.shape
        if self.spectrum.layout == "diagonal":  # whose squares are a temporary of the size of the points
            return int(
                min(max(_SQUARES_BYTES // (itemsize * max(m, d)), 64), max(_COPY_BYTES // (itemsize * d), 1), 8192)
            )
        fitting = max(_CHUNK_BYTES // (itemsize * m), 64)
        cached = _CHUNK_BYTES // (itemsize * d)
        worthwhile = max(_CHUNK_WORK // (itemsize * m * d), 512)  # or the calls cost more than the cache saves
        return int(min(fitting, max(cached, worthwhile), max(_COPY_BYTES // (itemsize * d), 1), 8192))

    def _try_product_form(
        self, x: FloatArray, log_prob: FloatArray | None, score: FloatArray | None, divergence: FloatArray | None
    ) -> bool:
        """Evaluate a chunk by the product form if that is accurate there; points that are not finite never pass."""
        limit = _RANGE[x.dtype]
        if self.spectrum.layout == "full" or not 1.0 / limit <= self._smallest <= self._largest <= limit:
            return False
        small = x.shape[1] <= _SMALL_DIM
        budget = _TOLERANCE[x.dtype] * self._smallest / float(np.finfo(x.dtype).eps)
        # Low-dimensional chunks are copied to component-major order anyway: centring them is free.
        for centred in (True,) if small else (False, True):
            prepared = self._prepare(x.dtype, centred)
            points = x if prepared.centre is None else x - prepared.centre
            if small:
                points = np.asfortranarray(points)
            with np.errstate(over="ignore", invalid="ignore"):  # an infinite norm is above every budget
                norms: FloatArray = np.vecdot(points, points)
            if float(norms.max()) + prepared.means_sq <= budget:
                self._product_form(prepared, points, norms, log_prob, score, divergence)
                return True
        return False

    def _fall_back(self, x: FloatArray, first_row: int, *outputs: FloatArray | None) -> None:
        """Evaluate a chunk in float64 by the whitened form, refusing what floats cannot hold."""
        if not float(np.abs(x).max()) <= LARGEST:
            raise not_finite("x", x, first_row=first_row)
        rows = max(_CHUNK_BYTES // (4 * self.means.size), 64 if self.spectrum.layout == "full" else 1)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                views = [None if out is None else out[part] for out in outputs]
                self._whitened_form(x[part].astype(np.float64, copy=False), *views)
        for out in outputs:
            if out is not None and not np.all(np.isfinite(out)):
                row = int(np.argwhere(~np.isfinite(out))[0, 0])
                raise NotFiniteError(
                    f"x[{row + first_row}] lies too many standard deviations from the mixture for a {out.dtype} result"
                )

    def _prepare(self, dtype: np.dtype[np.floating], centred: bool) -> _Prepared:
        key = (dtype, centred)
        if key not in self._prepared:
            centre = self._centre.astype(dtype)  # as it will be subtracted from the points
            means = self.means - centre if centred else self.means
            precision = 1.0 / self.spectrum.values
            linear = means * precision
            isotropic = self.spectrum.layout == "isotropic"
            shared = isotropic and bool(np.all(precision == precision[0]))
            offset = self.log_norm - 0.5 * (linear * means).sum(axis=1)
            slope = -0.5 * precision[:, 0] if isotropic and not shared else np.zeros(len(means))
            pull = precision[:, 0] if isotropic else np.zeros(len(means))
            self._prepared[key] = _Prepared(
                linear=linear.astype(dtype),
                curved=np.stack([slope, offset], axis=1).astype(dtype),
                quadratic=(-0.5 * precision).astype(dtype),
                precision=precision.astype(dtype),
                sums=np.stack([np.ones(len(means)), pull]).astype(dtype),
                shared=float(precision[0, 0]) if shared else None,
                centre=centre if centred else None,
                log_w=self.log_norm[:, None].astype(dtype),
                means_sq=float((means * means).sum(axis=1).max()),
            )
        return self._prepared[key]

    # ------------------------------------------------------------------ product form
    def _product_form(
        self,
        c: _Prepared,
        x: FloatArray,
        norms: FloatArray,
        log_prob: FloatArray | None,
        score: FloatArray | None,
        divergence: FloatArray | None,
    ) -> None:
        xt = x.T
        joint = self._product_joints(c, x, norms)
        square_term: FloatArray | None = None  # the part of log p common to all components, added at the end
        if c.shared is not None:
            square_term = (-0.5 * c.shared) * norms
        quad: FloatArray | None = None
        if divergence is not None:  # squared Mahalanobis distances, before the exponential overwrites the joints
            quad = -2.0 * (joint - c.log_w) if square_term is None else -2.0 * (joint - c.log_w + square_term)
        top = joint.max(axis=0)
        joint -= top
        np.maximum(joint, np.full_like(top, _SMALLEST_LOG[x.dtype]), out=joint)  # a row: twice as fast as a number
        np.exp(joint, out=joint)
        total, pull = c.sums @ joint
        if log_prob is not None:
            log_prob[...] = np.log(total) + top
            if square_term is not None:
                log_prob += square_term
        if score is None and divergence is None:
            return
        np.reciprocal(total, out=total)
        joint *= total
        pull *= total
        value = self._product_score(c, xt, joint, pull, out=score)
        if divergence is not None:
            assert quad is not None
            divergence[...] = self._product_divergence(c, x, joint, quad, value)

    def _product_joints(self, c: _Prepared, x: FloatArray, norms: FloatArray) -> FloatArray:
        """Log joints (m, rows), without what isotropic components of one variance have in common."""
        powers = np.stack([norms, np.ones_like(norms)])
        # With few components a float32 product into rows and a transposed copy cost 0.5-0.8 of one into columns.
        transposed = x.dtype == np.float32 and x.shape[1] >= max(4 * len(c.linear), _SMALL_DIM + 1)
        joint: FloatArray = powers.T @ c.curved.T if transposed else c.curved @ powers
        terms = [(c.linear, x)] if self.spectrum.layout != "diagonal" else [(c.linear, x), (c.quadratic, x * x)]
        for factors, points in terms:
            _add_product(joint, *((points, factors.T) if transposed else (factors, points.T)))
        return np.ascontiguousarray(joint.T) if transposed else joint

    def _product_score(
        self, c: _Prepared, xt: FloatArray, resp: FloatArray, pull: FloatArray, out: FloatArray | None
    ) -> FloatArray:
        """Score as a (rows, d) array, written into ``out`` if given; ``pull`` (rows,) is the mean precision."""
        d, rows = xt.shape
        diagonal = self.spectrum.layout == "diagonal"
        if d <= _SMALL_DIM:
            s = c.linear.T @ resp
            s -= (c.precision.T @ resp if diagonal else pull) * xt
            if out is None:
                return s.T
            out[...] = s.T
            return out
        if out is None:
            out = np.empty((rows, d), dtype=xt.dtype)
        # One accumulating product, out = R'(M/v) - precision x, instead of a product and a subtraction.
        if diagonal:
            np.matmul(resp.T, c.quadratic, out=out)  # in rows, as the points lie; half of what is needed
            out *= xt.T
            _add_product(out, resp.T, c.linear, times=2.0)
            return out
        if c.shared is not None:
            np.multiply(xt.T, xt.dtype.type(-c.shared), out=out)
        else:
            np.multiply(xt.T, np.negative(pull, out=pull)[:, None], out=out)
        _add_product(out, resp.T, c.linear)
        return out

    def _product_divergence(
        self, c: _Prepared, x: FloatArray, resp: FloatArray, quad: FloatArray, score: FloatArray
    ) -> FloatArray:
        if self.spectrum.layout == "diagonal":
            # |u_j|^2 = sum_e (mu_je - x_e)^2 / v_je^2, expanded like the joints.
            p2 = c.precision * c.precision
            norms = p2 @ (x * x).T - 2.0 * (c.linear * c.precision) @ x.T + (c.linear * c.linear).sum(1, keepdims=True)
        else:
            norms = quad * c.precision
        trace = self.spectrum.precision_trace().astype(x.dtype)
        out: FloatArray = np.einsum("mn,mn->n", resp, norms - trace[:, None]) - np.einsum("nd,nd->n", score, score)
        return out

    # ------------------------------------------------------------------ whitened form
    def _whitened_form(
        self, x: Float64Array, log_prob: FloatArray | None, score: FloatArray | None, divergence: FloatArray | None
    ) -> None:
        m = len(self.means)
        whitened = np.stack([self.spectrum.whiten(x - self.means[j], j) for j in range(m)])  # (m, rows, d)
        joint = self.log_norm[:, None] - 0.5 * np.einsum("mnd,mnd->mn", whitened, whitened)
        best = np.argmax(joint, axis=0)
        log_ratio = (self.log_norm[:, None] - self.log_norm[best]) - 0.5 * self._gaps(whitened, best)
        resp = np.exp(log_ratio - log_ratio.max(axis=0))
        total = resp.sum(axis=0)
        if log_prob is not None:
            log_prob[...] = np.take_along_axis(joint, best[None], 0)[0] + log_ratio.max(axis=0) + np.log(total)
        if score is None and divergence is None:
            return
        resp /= total
        pull = whitened  # -u_j, in place
        for j in range(m):
            pull[j] = self.spectrum.unwhiten_precision(whitened[j], j)
        value = np.einsum("mn,mnd->nd", resp, pull)
        if score is not None:
            score[...] = -value
        if divergence is not None:
            pull -= value
            spread = np.einsum("mnd,mnd->mn", pull, pull)
            divergence[...] = np.einsum("mn,mn->n", resp, spread - self.spectrum.precision_trace()[:, None])

    def _gaps(self, whitened: FloatArray, best: IntArray) -> Float64Array:
        """``|y_j|^2 - |y_best|^2`` (m, rows) from standard coordinates, as products of sum and difference."""
        reference = np.take_along_axis(whitened, best[None, :, None], axis=0)[0]  # (rows, d)
        gaps = np.empty(whitened.shape[:2])
        for j, y in enumerate(whitened):
            difference = y - reference
            alike = self._alike == self._alike[j]
            if np.count_nonzero(alike) > 1:
                exact = self.spectrum.whiten(self.means - self.means[j], j)
                difference = np.where(alike[best][:, None], exact[best], difference)
            gaps[j] = np.einsum("nd,nd->n", difference, y + reference)
        return gaps

    @cached_property
    def _alike(self) -> IntArray:
        """Labels (m,): components with equal covariances have equal ones."""
        values, basis = self.spectrum.values, self.spectrum.basis
        parts = values if basis is None else np.hstack([values, basis.reshape(len(basis), -1)])
        return np.unique(parts, axis=0, return_inverse=True)[1].reshape(-1)
