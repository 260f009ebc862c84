"""The public functions and good values of each of their arguments: ``VERBS``."""

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import sfbench
from sfbench import bounds, laws, methods, metrics, processes, scores, statistics, student, torus, truths
from sfbench.fusion import inspect_windows, path_ratios
from synthetic import Estimate, GaussianMixture, make_problem, student_mixture
from synthetic.torus import WrappedMixture, WrappedPool, torus_total_variation, wrap

OU = sfbench.OrnsteinUhlenbeck()
LINE = [GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.3), GaussianMixture([1.0], [[0.5]], 0.5)]
PLANE = [GaussianMixture([1.0], [[0.0, 0.0]], 1.0), GaussianMixture([1.0], [[2.0, 1.0]], 1.0)]
PROBLEM = make_problem("shifted_gaussians", k=2, d=2)
X, Y = np.random.default_rng(0).standard_normal((2, 30, 2))
GRID = sfbench.time_grid(1e-2, 4.0, 4)
SETTINGS = sfbench.GramSettings(OU, GRID)
GRAM = sfbench.score_gram(PLANE, X, SETTINGS, keep=30, rng=0)
POPULATION = sfbench.population_gram(PROBLEM, process=OU, grid=GRID)
MISMATCH = bounds.prior_mismatch(PLANE[0], OU, 4.0)
EXACT = scores.AnalyticScore(PLANE[1], OU)
FUSED = sfbench.FusedScore(PLANE, [0.5, 0.5], process=OU)
ANGLES = [WrappedMixture([1.0], [[m]], 0.5) for m in (-1.0, 1.0)]
TURNING = sfbench.FusedScore(ANGLES, [0.5, 0.5], process=torus.torus_motion())
SCALED = sfbench.FusedScore(student.scaled_scores(PLANE, OU), [0.5, 0.5], process=OU)
PROCESS = [OU, processes.VariancePreserving(), processes.Karras()]
WEIGHTS = [[0.5, 0.5], np.array([1.0, 0.0]), (0.25, 0.75)]
WINDOW = {"t_min": [1e-2, 0.1], "t_max": [2.0, 4]}
SCORED = np.random.default_rng(1).standard_normal((120, 1))
LOG_WEIGHTS = [None, np.zeros(30), np.linspace(-3, 0, 30)]

Row = dict[str, list[Any]]


def drawn(function: Any) -> Any:
    """A figure on axes that nobody else holds."""
    return lambda **arguments: function(**arguments, ax=Figure().subplots())


VERBS: dict[str, tuple[Any, Row]] = {
    "fuse": (
        sfbench.fuse,
        {
            "auxiliaries": [PLANE, tuple(PLANE)],
            "x": [X, X.tolist(), X.astype(np.float32), torch.from_numpy(X)],
            "process": PROCESS,
            **WINDOW,
            "n_nodes": [2, 4],
            "estimator": ["antithetic", "stein", "dsm"],
            "weighting": ["girsanov", "sigma2", lambda t: 1.0 / t],
            "bins": [None, 2],
            "solver": ["auto", "active_set", "piqp", "auto"],
            "tol": [1e-9],
            "n_noise": [1, 2],
            "allow_inexact": [False, True],
            "rng": [0],
        },
    ),
    "score_gram": (
        sfbench.score_gram,
        {"models": [PLANE], "x": [X], "settings": [SETTINGS], "keep": [0, 30], "rng": [0]},
    ),
    "prefix_grams": (
        sfbench.prefix_grams,
        {"models": [PLANE], "x": [X], "settings": [SETTINGS], "sizes": [[10, 20], np.array([5])], "rng": [0]},
    ),
    "simulated_grams": (
        sfbench.simulated_grams,
        {"auxiliaries": [PLANE], "target": [PLANE[0]], "settings": [SETTINGS], "sizes": [[10, 20]], "rng": [0]},
    ),
    "population_gram": (
        sfbench.population_gram,
        {"problem": [PROBLEM], "process": PROCESS[:2], "grid": [GRID], "weighting": ["girsanov", "sigma2"]},
    ),
    "population_weights": (
        sfbench.population_weights,
        {"problem": [PROBLEM], "process": PROCESS[:2], "grid": [GRID], "weighting": ["girsanov"]},
    ),
    "settings": (
        sfbench.GramSettings,
        {
            "process": PROCESS[:1],
            "grid": [GRID],
            "estimator": ["stein", "dsm"],
            "weighting": ["sigma2"],
            "n_noise": [1, 3],
            "dtype": ["float32", np.float64],
        },
    ),
    "gram": (
        sfbench.ScoreGram,
        {"G": [np.eye(2), [[2.0, 1.0], [1.0, 2.0]]], "b": [[0.5, 0.2]], "c": [None, 1.0], "n": [5], "objective": ["o"]},
    ),
    "tangent_basis": (statistics.tangent_basis, {"k": [1, 3]}),
    "inspect_windows": (
        inspect_windows,
        {
            "models": [PLANE],
            "held_out": [[X, Y]],
            "process": PROCESS[:1],
            "grid": [GRID],
            "tolerance": [0.3],
            "n_noise": [1, 2],
            "rng": [0],
        },
    ),
    "path_ratios": (path_ratios, {"fused": [FUSED], "n": [20], "steps": [4], "rng": [0]}),
    "wrap": (wrap, {"x": [X, 0.5]}),
    "wrapped mixture": (WrappedMixture, {"weights": [[1.0]], "means": [[[0.5]]], "variances": [1.0, [0.2], [[0.2]]]}),
    "wrapped pool": (WrappedPool, {"components": [ANGLES], "weights": WEIGHTS}),
    "torus_total_variation": (torus_total_variation, {"p": ANGLES, "q": ANGLES}),
    "torus_motion": (torus.torus_motion, {"t_max": [7.0, 6]}),
    "uniform_mismatch": (torus.uniform_mismatch, {"process": [torus.torus_motion()], "dim": [1, 3]}),
    "circle_law": (torus.circle_law, {"fused": [TURNING], "n_cells": [32], "n_steps": [4], "t_min": [None, 0.1]}),
    "torus gram": (
        torus.population_gram,
        {
            "target": ANGLES,
            "auxiliaries": [ANGLES],
            "process": [torus.torus_motion()],
            "grid": [GRID],
            "weighting": ["girsanov", "sigma2"],
        },
    ),
    "torus sample": (
        torus.sample,
        {
            "fused": [TURNING],
            "n": [20],
            "sampler": ["fused", "corrected"],
            "n_steps": [4],
            "t_min": [None, 0.1],
            "rng": [0],
        },
    ),
    "student_mixture": (
        student_mixture,
        {"df": [3.0], "location": [0.0, [0.5, 1.0]], "scale": [1.0], "n_components": [8], "tail": [1e-3]},
    ),
    "noise_scales": (student.noise_scales, {"df": [1.5, 3], "n": [1, 20], "strata": [4], "rng": [0]}),
    "student fuse": (
        lambda **arguments: student.fuse(**arguments).weights,  # 30 rows judge nothing
        {"laws": [PLANE], "x": [X], "df": [3.0], "process": [OU], "strata": [2], "rng": [0]},
    ),
    "student sample": (
        student.sample,
        {"fused": [SCALED], "n": [20], "sampler": ["fused", "corrected"], "df": [3.0], "strata": [2], "rng": [0]},
    ),
    "time_grid": (sfbench.time_grid, {**WINDOW, "n_nodes": [1, 7]}),
    "time_steps": (
        sfbench.time_steps,
        {
            "process": PROCESS,
            "n_steps": [1, 9],
            "spacing": ["log_snr", "uniform"],
            "t_min": [None, 1e-3],
            "t_max": [None, 0.9],
        },
    ),
    "affine": (
        laws.affine_fused_law,
        {"auxiliaries": [PLANE], "weights": WEIGHTS, "process": PROCESS[:2], "t_min": [1e-2], "t_max": [None, 0.9]},
    ),
    "line": (
        laws.fokker_planck_1d,
        {
            "score": [sfbench.FusedScore(LINE, [0.4, 0.6], process=OU)],
            "process": [None, OU],
            "n_cells": [100, 200],
            "t_min": [1e-2],
            "t_max": [None, 4.0],
        },
    ),
    "flow density": (
        laws.ode_log_density,
        {"score": [FUSED, EXACT], "x": [X, Y[:3]], "process": [None, OU], "steps": [4, 8], "n_probes": [1], "rng": [0]},
    ),
    "log_likelihood": (
        laws.log_likelihood,
        {
            "score": [FUSED],
            "raw": [X],
            "scaling": [laws.DataScaling(), laws.DataScaling(2.0, 1.0)],
            "process": [None, OU],
            "steps": [4],
            "rng": [0],
        },
    ),
    "scaling": (laws.DataScaling, {"scale": [1.0, [1.0, 2.0]], "shift": [0.0, [1.0, 2.0]]}),
    "score_samples": (
        truths.score_samples,
        {
            "problem": ["gaussian_scaled_d1_ratio4", "line_bimodal_far"],
            "x": [SCORED, SCORED[:, 0], SCORED.tolist()],
            "log_weights": [None, np.zeros(120), np.linspace(-3, 0, 120)],
            "log_z": [None, -0.5],
            "log_z_error": [0.0, 0.1],
            "effective": [None, 50, 60.5],
            "level": [0.01, 0.1],
            "rng": [0],
        },
    ),
    "get_truth": (truths.get_truth, {"name": ["gaussian_scaled_d1_ratio4", "discrete_mixture"]}),
    "certificate of a truth": (truths.certificate, {"name": ["line_paper", "discrete_mixture"]}),
    "known_truths": (truths.known_truths, {"group": [None, "line"]}),
    "product_law": (truths.ProductLaw, {"factor": [PLANE[0]], "copies": [1, 3]}),
    "mixture_law": (truths.MixtureLaw, {"laws": [PLANE, tuple(PLANE)], "weights": WEIGHTS}),
    "run_method": (
        methods.run_method,
        {
            "method": ["uniform", "fused", "mixture"],
            "auxiliaries": [PLANE, [EXACT, EXACT]],
            "x": [X, X.tolist()],
            "process": [OU],
            "n": [50],
            "budget": [20_000, 30_000],
            "rng": [0],
        },
    ),
    "total_variation": (
        metrics.total_variation,
        {"p": PLANE, "q": PLANE, "method": ["auto", "monte carlo"], "n": [None, 500], "rng": [0]},
    ),
    "kl": (
        metrics.kl_divergence,
        {"p": PLANE, "q": PLANE, "method": ["auto", "monte carlo"], "n": [None, 500], "rng": [0]},
    ),
    "wasserstein": (
        metrics.wasserstein,
        {"x": [X], "y": [Y], "order": [1, 2], "x_log_weights": LOG_WEIGHTS, "y_log_weights": LOG_WEIGHTS},
    ),
    "sliced": (
        metrics.sliced_wasserstein1,
        {"x": [X], "y": [Y], "n_directions": [1, 8], "x_log_weights": LOG_WEIGHTS, "rng": [0]},
    ),
    "mmd": (metrics.squared_mmd, {"x": [X], "y": [Y], "bandwidth": [None, 1.0]}),
    "energy": (metrics.energy_distance, {"x": [X], "y": [Y]}),
    "on the line": (
        metrics.wasserstein_1d,
        {"p": [LINE[0], X[:, 0]], "q": [LINE[1], Y[:, :1]], "x_log_weights": [None]},
    ),
    "from samples": (
        metrics.total_variation_from_samples,
        {"x": [X[:, :1]], "law": LINE, "log_weights": LOG_WEIGHTS, "n_bins": [None, 10]},
    ),
    "modes": (metrics.mode_mass_error, {"x": [X[:, :1]], "mixture": LINE, "log_weights": LOG_WEIGHTS}),
    "measure": (metrics.measure, {"metric": ["total_variation", metrics.kl_divergence], "p": PLANE, "q": PLANE}),
    "prior_mismatch": (bounds.prior_mismatch, {"target": PLANE, "process": PROCESS[:2], "t_max": [1.0, 4]}),
    "certificate": (
        bounds.certificate,
        {"problem": [PROBLEM], "weights": WEIGHTS, "process": PROCESS[:1], "t_min": [1e-2], "t_max": [None, 4.0]},
    ),
    "instance": (
        bounds.instance_certificate,
        {"objective": [0.5, Estimate(0.5, 0.01, 9, "quadrature")], "mismatch": [MISMATCH]},
    ),
    "tv of kl": (bounds.total_variation_certificate, {"kl": [MISMATCH]}),
    "check": (bounds.check, {"observed": [0.1, Estimate(0.1, 0.01, 9, "x")], "bound": [MISMATCH], "z": [0, 5.0]}),
    "bound": (
        bounds.Bound,
        {"value": [0.1], "label": ["b"], "guarantee": ["upper", "tight", "asymptotic"], "assumptions": [(), ("a",)]},
    ),
    "aggregation_rate": (
        bounds.aggregation_rate,
        {
            "population": [POPULATION],
            "gradient_covariance": [np.eye(POPULATION.k)],
            "n": [5, 1000],
            "weights": WEIGHTS,
            "delta": [None, 0.05],
        },
    ),
    "slow_rate": (bounds.slow_rate, {"moments": [GRAM.contributions], "n": [5, 1000], "delta": [0.05]}),
    "fast_rate": (
        bounds.fast_rate,
        {"population": [POPULATION], "moments": [GRAM.contributions], "n": [5, 1000], "weights": WEIGHTS},
    ),
    "error_terms": (
        bounds.error_terms,
        {"population": [POPULATION], "weights": WEIGHTS, "optimum": WEIGHTS, "gap": [0.0], "mismatch": [MISMATCH]},
    ),
    "gaussian": (
        bounds.gaussian_fused_law,
        {"means": [np.zeros((2, 3))], "weights": WEIGHTS, "process": PROCESS[:2], "t_min": [1e-2], "t_max": [0.9]},
    ),
    "from_betas": (
        processes.from_betas,
        {"betas": [np.linspace(1e-4, 0.02, 50), [0.1, 0.2, 0.3, 0.4]], "zero_terminal_snr": [False, True]},
    ),
    "beta_schedule": (
        processes.beta_schedule,
        {
            "kind": ["linear", "scaled_linear", "cosine"],
            "n": [10],
            "beta_start": [1e-4],
            "beta_end": [0.02],
        },
    ),
    "check_process": (processes.check_process, {"process": PROCESS}),
    "make_process": (processes.make_process, {"name": ["karras", "cosine"]}),
    "variance preserving": (processes.VariancePreserving, {"beta_min": [0.1], "beta_max": [20.0]}),
    "exploding": (processes.VarianceExploding, {"sigma": [25.0]}),
    "cosine": (processes.Cosine, {"s": [0.008], "end": [0.9]}),
    "alpha": (OU.alpha, {"t": [0.5, [0.1, 0.2]]}),
    "sigma": (OU.sigma, {"t": [0.5, np.array([[1.0]])]}),
    "perturb": (OU.perturb, {"x0": [X], "t": [0.5], "rng": [0]}),
    "fused": (sfbench.FusedScore, {"models": [PLANE, [EXACT]], "weights": [*WEIGHTS, [1.0]], "process": PROCESS[:1]}),
    "fused score": (FUSED.score, {"x": [X], "t": [0.5, 1]}),
    "aligned": (
        sfbench.AlignedScore,
        {"model": [EXACT], "scale": [2.0], "shift": [0.0, [1.0, 2.0]], "process": [OU], "own_process": [None, OU]},
    ),
    "plot_samples": (
        drawn(sfbench.plot_samples),
        {"sample": [X], "law": [None, PLANE[0], Y, X[:3]], "coordinates": [(0, 1), [1, 0]]},
    ),
    "plot_images": (
        drawn(sfbench.plot_images),
        {"x": [X[:8].reshape(2, 2, 4), X], "shape": [None, (1, 2)], "columns": [1, 3], "value_range": [None, (-1, 1)]},
    ),
    "product": (sfbench.ProductScore, {"factor": [EXACT], "copies": [1, 3]}),
    "analytic": (sfbench.AnalyticScore, {"law": PLANE, "process": PROCESS}),
}
