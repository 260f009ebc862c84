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
  relative to each point's most likely component, which keeps their *differences* exact far from all the means.

The product form cancels when ``|x|^2 / v`` is large. Its error in L is predicted as ``eps * (|x|^2 + |mu|^2) / v``; a
chunk above tolerance is first centred on the mean of the means and, if that is not enough, evaluated in float64 by the
whitened form. Extra memory is a few megabytes whatever n.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.linalg.blas import dgemm, sgemm

from ._covariance import Spectrum
from ._typing import Float64Array, FloatArray
from .errors import NotFiniteError

# Largest predicted error of a log joint before a chunk leaves the product form.
_TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 4e-3}
# Responsibilities are cut here: smaller ones make products subnormal, which is up to 10x slower and adds nothing.
_SMALLEST_LOG = {np.dtype(np.float64): -600.0, np.dtype(np.float32): -60.0}
_SMALL_DIM = 8
_GEMM = {np.dtype(np.float64): dgemm, np.dtype(np.float32): sgemm}
_CHUNK_BYTES = 1 << 19


@final
@dataclass(frozen=True, eq=False)
class _Prepared:
    """Constants of the product form in one dtype, for means centred on ``centre``."""

    linear: FloatArray  # (m, d): mu_j / v_j
    quadratic: FloatArray  # (m, 1) or (m, d): -1 / 2 v_j
    offset: FloatArray  # (m, 1): log w_j - log det / 2 - |mu_j|^2 / 2 v_j - d/2 log 2 pi
    precision: FloatArray  # (m, 1) or (m, d)
    shared: float | None  # the common precision of isotropic components, if there is one
    centre: FloatArray | None  # (d,), or None if x is used as it is
    log_w: FloatArray  # (m, 1): normalised log weight, what L_j holds besides the quadratic form
    means_sq: float  # max_j |mu_j|^2


@final
class MixtureKernel:
    """Evaluator of one mixture; holds the prepared constants of each dtype."""

    def __init__(self, weights: Float64Array, means: Float64Array, spectrum: Spectrum) -> None:
        self.means, self.spectrum = means, spectrum
        d = spectrum.dim  # may exceed the stored coordinates: see isotropic reductions
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        self.log_norm: Float64Array = log_weights - 0.5 * (spectrum.log_det() + d * np.log(2 * np.pi))
        self._smallest = float(spectrum.values.min())
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
            self._evaluate_chunk(x[part], *outputs)

    def _rows_per_chunk(self, itemsize: int) -> int:
        m, d = self.means.shape
        width = m * d if self.spectrum.layout == "full" else m + (d if self.spectrum.layout == "diagonal" else 0)
        return int(min(max(_CHUNK_BYTES // (itemsize * width), 64), 8192))

    def _evaluate_chunk(
        self, x: FloatArray, log_prob: FloatArray | None, score: FloatArray | None, divergence: FloatArray | None
    ) -> None:
        if self.spectrum.layout != "full":
            small = x.shape[1] <= _SMALL_DIM
            budget = _TOLERANCE[x.dtype] * self._smallest / float(np.finfo(x.dtype).eps)
            # Low-dimensional chunks are copied to component-major order anyway: centring them is free.
            for centred in (True,) if small else (False, True):
                prepared = self._prepare(x.dtype, centred)
                points = x if prepared.centre is None else x - prepared.centre
                if small:
                    points = np.asfortranarray(points)
                norms = _squared_norms(points)
                if float(norms.max()) + prepared.means_sq <= budget:
                    self._product_form(prepared, points, norms, log_prob, score, divergence)
                    return
        self._whitened_form(x.astype(np.float64, copy=False), log_prob, score, divergence)

    def _prepare(self, dtype: np.dtype[np.floating], centred: bool) -> _Prepared:
        key = (dtype, centred)
        if key not in self._prepared:
            means = self.means - self._centre if centred else self.means
            precision = 1.0 / self.spectrum.values
            linear = means * precision
            shared = self.spectrum.layout == "isotropic" and bool(np.all(precision == precision[0]))
            self._prepared[key] = _Prepared(
                linear=linear.astype(dtype),
                quadratic=(-0.5 * precision).astype(dtype),
                offset=(self.log_norm - 0.5 * (linear * means).sum(axis=1))[:, None].astype(dtype),
                precision=precision.astype(dtype),
                shared=float(precision[0, 0]) if shared else None,
                centre=self._centre.astype(dtype) if centred else None,
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
        joint = c.linear @ xt  # (m, rows)
        square_term: FloatArray | None = None  # the part of log p common to all components, added at the end
        if self.spectrum.layout == "diagonal":
            joint += c.quadratic @ (xt * xt)
        elif c.shared is None:
            joint += c.quadratic * norms
        else:
            square_term = (-0.5 * c.shared) * norms
        joint += c.offset
        quad: FloatArray | None = None
        if divergence is not None:  # squared Mahalanobis distances, before the exponential overwrites the joints
            with np.errstate(invalid="ignore"):
                quad = -2.0 * (joint - c.log_w) if square_term is None else -2.0 * (joint - c.log_w + square_term)
            np.nan_to_num(quad, copy=False, nan=0.0)  # zero-weight components: -inf - (-inf)
        top = joint.max(axis=0)
        joint -= top
        np.maximum(joint, _SMALLEST_LOG[x.dtype], out=joint)
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        if log_prob is not None:
            log_prob[...] = np.log(total) + top
            if square_term is not None:
                log_prob += square_term
        if score is None and divergence is None:
            return
        joint /= total
        value = self._product_score(c, xt, joint, out=score)
        if divergence is not None:
            assert quad is not None
            divergence[...] = self._product_divergence(c, x, joint, quad, value)

    def _product_score(self, c: _Prepared, xt: FloatArray, resp: FloatArray, out: FloatArray | None) -> FloatArray:
        """Score as a (rows, d) array, written into ``out`` if given."""
        d, rows = xt.shape
        pulled = c.shared if c.shared is not None else c.precision.T @ resp  # number, (1, rows) or (d, rows)
        precision = np.asarray(pulled, dtype=xt.dtype)
        if d <= _SMALL_DIM:
            s = c.linear.T @ resp
            s -= precision * xt
            if out is None:
                return s.T
            out[...] = s.T
            return out
        if out is None:
            out = np.empty((rows, d), dtype=xt.dtype)
        # One accumulating product, out = R'(M/v) - precision x, instead of a product and a subtraction.
        np.multiply(xt.T, -precision.T, out=out)
        gemm = _GEMM[xt.dtype]
        gemm(1.0, c.linear.T, resp.T, beta=1.0, c=out.T, trans_b=1, overwrite_c=1)
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
        reference = np.take_along_axis(whitened, best[None, :, None], axis=0)[0]  # (rows, d)
        # L_j - L_best = (norm terms) - (|y_j|^2 - |y_best|^2) / 2, as a product of sum and difference: no cancellation.
        gap = np.einsum("mnd,mnd->mn", whitened - reference, whitened + reference)
        log_ratio = (self.log_norm[:, None] - self.log_norm[best]) - 0.5 * gap
        resp = np.exp(log_ratio - log_ratio.max(axis=0))
        total = resp.sum(axis=0)
        if log_prob is not None:
            log_prob[...] = np.take_along_axis(joint, best[None], 0)[0] + log_ratio.max(axis=0) + np.log(total)
        if score is None and divergence is None:
            return
        resp /= total
        value = np.zeros_like(x)
        curvature = np.zeros(len(x))
        trace = self.spectrum.precision_trace()
        for j in range(m):
            u = self.spectrum.unwhiten_precision(whitened[j], j)
            value -= resp[j][:, None] * u
            if divergence is not None:
                curvature += resp[j] * (np.einsum("nd,nd->n", u, u) - trace[j])
        if score is not None:
            score[...] = value
        if divergence is not None:
            divergence[...] = curvature - np.einsum("nd,nd->n", value, value)


def _squared_norms(points: FloatArray) -> FloatArray:
    """Squared norms (n,), refusing points that are not finite or too large to square."""
    norms: FloatArray = np.einsum("nd,nd->n", points, points)
    if not np.isfinite(norms.max()):
        row = int(np.argmin(np.isfinite(norms)))
        column = int(np.argmax(np.where(np.isnan(points[row]), np.inf, np.abs(points[row]))))
        raise NotFiniteError(
            f"x holds a point with coordinate {column} equal to {points[row, column]}; "
            f"every entry must be finite and small enough to square in {points.dtype}"
        )
    return norms
