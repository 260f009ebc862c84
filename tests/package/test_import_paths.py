"""Import paths that people use stay, and no name hides another.

``PATHS`` are the public names before the modules moved into one folder per noun (version 0.1).
"""

import importlib
import pkgutil
from types import ModuleType

import pytest

PATHS = {
    "sfbench": (
        "AlignedScore AnalyticScore CorrectedSampler FlowSampler ForwardProcess FusedSampler FusedScore "
        "FusionResult GramError GramSettings GridError InexactError ModelError NotFiniteError "
        "OrnsteinUhlenbeck OutputError ProcessMismatchError ProductScore SampleResult ScoreGram ScoreModel "
        "SfbenchError TimeGrid TimeSteps VarianceExploding VariancePreserving bounds fuse metrics "
        "population_gram population_weights prefix_grams sample score_gram simulated_grams time_grid "
        "time_steps"
    ),
    "solvers": (
        "AsymmetricMatrixError BatchSolver Candidate ConicObjective ConstrainedSolver DataTypeError "
        "EntropyRegularised InvalidProblemError LogPartitionObjective MissingExtraError NonFiniteError "
        "NotPositiveSemidefiniteError Requirement ShapeError SimplexObjective SimplexQP SimplexQPBatch "
        "SimplexSolver SolverFailureError SolverResult SolverResults Status StochasticObjective "
        "TangentSpectrum TimeWeights TwiceDifferentiableObjective UnknownSolverError "
        "UnsupportedObjectiveError available_solvers describe_solver get_solver known_solvers project_simplex "
        "resolve_solver ridge solve solve_many solve_over_time solve_path tangent_spectrum"
    ),
    "solvers.testing": (
        "CHECKS ConformanceError ConformanceReport SoftMaximum check_solver duplicated grid_minimum random_qp "
        "run_check separable_qp tangent_modulus"
    ),
    "synthetic": (
        "CovarianceError DiffusableLaw EffectiveSampleSizeError EmbeddedMixture Estimate GaussianMixture "
        "IntractableError Law LogLinearPool NotFiniteError ShapeError SimplexError Subspace SyntheticError "
        "SyntheticProblem UnknownNameError arithmetic_mixture common_subspace known_problems make_problem "
        "problem_parameters"
    ),
    "sfbench.nets": (
        "CheckpointError DivergedError NetworkDivergence NetworkScore Parameterisation ScoreMLP ScoreUNet "
        "TrainingError TrainingResult TrainingSettings WindowReport build_network checkpoint_summary "
        "denoising_loss fine_tune fine_tune_lora from_score inspect_windows load_checkpoint save_checkpoint "
        "to_score train_score_network"
    ),
    "sfbench.metrics": (
        "energy_distance kl_divergence mode_mass_error sliced_wasserstein1 squared_mmd total_variation "
        "total_variation_floor total_variation_from_samples wasserstein wasserstein1_1d wasserstein_1d"
    ),
    "sfbench.bounds": (
        "Bound BoundCheck ErrorTerms check error_terms fast_rate gaussian_fused_law instance_certificate "
        "prior_mismatch slow_rate total_variation_certificate"
    ),
    "sfbench.laws": (
        "DataScaling GridDensity Likelihood LogDensities PlanarDensity affine_fused_law fokker_planck_1d "
        "fokker_planck_2d fused_law log_likelihood ode_log_density"
    ),
    "sfbench.sampling": (
        "AdaptiveFlow CorrectedSampler Diagnostics DivergenceError DivergenceWarning EulerMaruyama "
        "Exponential FlowSampler FusedSampler Heun Integrator PathRatios PredictorCorrector SampleResult "
        "ScoreLikelihoodFit TrustWarning fit_from_scores known_integrators path_ratios sample"
    ),
    "sfbench.experiments": (
        "CellFunction DamagedStoreError GridConflictError IncompleteStudyError Journal MixedVersionsError "
        "Outcome RunSettings SchedulerError StoreError Study StudyError cell_rng complete_records "
        "in_study_folder make_study repair run_study store_path study_cells study_folder verify"
    ),
    "sfbench.experiments.gram_pass": "ShardSpec map_reduce_gram stream_gram",
    "sfbench.data": (
        "DataError DataSet DataUnavailable Items PopulationError cache_folder data_entry fetch_data "
        "known_data load_data load_items make_populations"
    ),
    "sfbench.data.judges": "image_features mnist_judge read_state",
    "sfbench.data.alanine": "AlanineScore NoiseScale mixed_dielectric torsions",
    "sfbench.baselines": "parameter_average superdiff",
    "sfbench.processes": "ForwardProcess OrnsteinUhlenbeck VarianceExploding VariancePreserving",
    "sfbench.checks": "CheckedBound check_bounds",
    "sfbench.files": "prepare_folder provenance write_atomically write_json",
    "sfbench.errors": (
        "GramError GridError InexactError ModelError NotFiniteError OutputError ProcessMismatchError SfbenchError"
    ),
}
STUDIES = "complexity coverage digits engine faults kernels mixture_1d sampling_error solver_speed styles window_bias"


@pytest.mark.parametrize("module", PATHS)
def test_every_public_name_of_the_first_version_is_where_it_was(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in PATHS[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", STUDIES.split())
def test_every_study_is_a_command(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}.__main__").main)


def test_no_module_is_hidden_by_another_thing_of_its_name() -> None:
    hidden = []
    for package in map(importlib.import_module, ("sfbench", "solvers", "synthetic")):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            parent, _, name = info.name.rpartition(".")
            if name.startswith("_") or "__main__" in info.name:
                continue
            importlib.import_module(info.name)
            found = getattr(importlib.import_module(parent), name)
            hidden += [] if isinstance(found, ModuleType) else [info.name]
    assert hidden == []


# The same verb on another kind of models (design: ``sfbench.diffusers.fuse`` beside ``sfbench.fuse``).
VERBS = {"certificate", "compare", "fuse", "population_gram", "sample"}


def test_no_two_public_things_have_one_name() -> None:
    """Verbs apart: those that are one are called by what they do, in the package of what they do it to."""
    things: dict[str, set[int]] = {}
    for info in pkgutil.walk_packages(importlib.import_module("sfbench").__path__, "sfbench."):
        if "__main__" not in info.name:
            module = importlib.import_module(info.name)
            for name in getattr(module, "__all__", ()):
                things.setdefault(name, set()).add(id(getattr(module, name)))
    assert {name for name, found in things.items() if len(found) > 1} == VERBS
