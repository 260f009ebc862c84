"""Claims of the study of single statements; each name begins with the statement's number."""

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row


def evaluate_claims(tables: dict[str, list[Row]]) -> list[Claim]:
    """Every claim, with a control that breaks the statement."""
    rows, fits = tables["laws"], tables["fits"]
    note = f"{len(rows)} families of laws"
    near = [row for row in rows if row["tv_bound"] < 0.95]

    def apart(one: str, other: str) -> float:
        """Largest difference, relative where it is above 1."""
        return float(max(abs(row[one] - row[other]) / max(1.0, abs(row[other])) for row in rows))

    return [
        within(
            "T1: mean KL(mu || p_i) against KL(mu || p_w) - log Z, largest difference",
            apart("kl_to_pool_less_log_z", "mean_kl"),
            high=1e-6,
            control=(apart("kl_to_mixture_less_log_z", "mean_kl"), "the arithmetic mixture in place of p_w"),
            note=note,
        ),
        within(
            "T4: J(w) from G, b, c against quadrature of the squared error, largest difference",
            apart("j_form", "j_direct"),
            high=1e-6,
            control=(apart("j_without_products", "j_direct"), "G without its products of two models"),
            note=note,
        ),
        within(
            "T4: least eigenvalue of G over its largest, on differences of weights",
            min(row["least_eigenvalue"] for row in rows),
            low=-1e-10,
            control=(min(row["least_without_diagonal"] for row in rows), "G without its diagonal"),
            note=note,
        ),
        within(
            "T8: curvature of log Z against the variance of the log ratio under p_w, largest difference",
            apart("bend", "variance_pool"),
            high=1e-3,
            control=(apart("bend", "variance_mixture"), "under the arithmetic mixture"),
            note=note,
        ),
        within(
            "T8: error of the weight fitted by likelihood, mean",
            float(np.mean([row["error_likelihood"] for row in fits])),
            high=0.02,
            control=(float(np.mean([row["error_matched"] for row in fits])), "by score matching on [1e-3, 5]"),
            note=f"{len(fits)} draws of n = {fits[0]['n']}",
        ),
        within(
            "T10: largest TV over its bound from KL, bounds below 0.95",
            max(row["tv"] / row["tv_bound"] for row in near),
            high=1.0,
            control=(
                max(row["tv"] / min(row["half_constant"], row["tv_bound"]) for row in near),
                "sqrt(KL) / 2 in place of sqrt(KL / 2)",
            ),
            note=f"{len(near)} pairs of laws",
        ),
        within(
            "T26: change of G and b if a normal target becomes a scale mixture of its variance, over the largest of G",
            max(row["scale_mixture_change"] for row in rows),
            high=1e-8,
            control=(max(row["wider_normal_change"] for row in rows), "a normal law of 1.5 times the variance"),
            note=note,
        ),
        within(
            "T29: largest TV of a point's law on the circle from uniform, over its bound",
            max(row["tv_uniform"] / row["uniform_bound"] for row in rows),
            high=1.0,
            control=(max(2 * row["tv_uniform"] / row["uniform_bound"] for row in rows), "half the bound"),
            note=f"{len(rows)} times, sigma from 1 to 5",
        ),
    ]
