"""Scores of forecasts, and what is known to be stylised about returns."""

import numpy as np

LAGS = 5


def energy_score(draws: np.ndarray, weights: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Energy scores (rows,) of weighted draws (rows, n, h) for outcomes (rows, h); smaller is better.

    ``E|Y - y| - E|Y - Y'|/2``, with distinct draws Y and Y'.
    """
    found = np.empty(len(y))
    for i, (x, w) in enumerate(zip(draws, weights, strict=True)):
        apart = np.sqrt(np.maximum(_squares(x), 0.0))
        distinct = 1.0 - float(w @ w)
        found[i] = w @ np.linalg.norm(x - y[i], axis=1) - 0.5 * (w @ apart @ w) / distinct
    return found


def crps(draws: np.ndarray, weights: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score (rows,), averaged over coordinates."""
    columns = [energy_score(draws[:, :, j : j + 1], weights, y[:, j : j + 1]) for j in range(draws.shape[2])]
    return np.asarray(np.mean(columns, axis=0))


def stylised_facts(x: np.ndarray) -> dict[str, float]:
    """Of rows (n, d): standard deviation, kurtosis (3 for a Gaussian), mean autocorrelation of the absolute values and
    of the values over five lags, and mean correlation of different coordinates.
    """
    centred = x - x.mean()
    variance = float((centred**2).mean())
    d = x.shape[1]
    correlation = np.corrcoef(x, rowvar=False)
    return {
        "deviation": float(np.sqrt(variance)),
        "kurtosis": float((centred**4).mean() / variance**2),
        "absolute_autocorrelation": _autocorrelation(np.abs(centred)),
        "autocorrelation": _autocorrelation(centred),
        "correlation": float((correlation.sum() - d) / (d * (d - 1))),
    }


def covariance_error(x: np.ndarray, y: np.ndarray) -> float:
    """Frobenius norm of the difference of the covariances of two sets of rows, over that of the second."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def _autocorrelation(x: np.ndarray) -> float:
    """Mean over lags; mean and variance are those of all rows together."""
    centred = x - x.mean()
    variance = float((centred**2).mean())
    return float(np.mean([(centred[:, lag:] * centred[:, :-lag]).mean() / variance for lag in range(1, LAGS + 1)]))


def _squares(x: np.ndarray) -> np.ndarray:
    norms = np.einsum("nd,nd->n", x, x)
    return np.asarray(norms[:, None] + norms[None] - 2.0 * x @ x.T)
