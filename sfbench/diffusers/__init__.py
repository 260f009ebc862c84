"""Fusing diffusers pipelines: adapters and checkpoints averaged at every step, at the memory of one model.

>>> handle = sfbench.diffusers.fuse(pipe, ["adapter_a", "adapter_b"], [0.4, 0.6])   # doctest: +SKIP
>>> images = pipe("a prompt").images                                                # doctest: +SKIP
>>> handle.weights = [0.2, 0.8]                                                     # doctest: +SKIP
>>> handle.remove()                                                                 # doctest: +SKIP

Needs the extra ``[hf]``.
"""

try:
    import diffusers as _library
    import peft as _peft
except ImportError as _error:
    raise ImportError(
        f"sfbench.diffusers needs the package {_error.name!r}: pip install -c constraints.txt 'sfbench[hf]'"
    ) from None

from .comparing import PipelineComparison, Way, compare
from .drawing import sample, sde_scheduler
from .errors import DiffusersError, IncompatibleExpertsError, NoiseScheduleError, NotFusedError, RecipeError
from .exporting import score_models
from .grids import draw_grid, tile, weight_steps
from .handle import Handle, fuse, fused, handle_of
from .learning import learn_weights
from .merging import merge
from .opening import load_adapter, open_on, open_pipeline
from .recipe import load, make_recipe, read_recipe, save_images
from .result import PathIntegral, PipelineSample
from .schedules import Schedule, from_scheduler, scheduler_process
from .weights import WeightBins

__all__ = [
    "DiffusersError",
    "Handle",
    "IncompatibleExpertsError",
    "NoiseScheduleError",
    "NotFusedError",
    "PathIntegral",
    "PipelineComparison",
    "PipelineSample",
    "RecipeError",
    "Schedule",
    "Way",
    "WeightBins",
    "compare",
    "draw_grid",
    "from_scheduler",
    "fuse",
    "fused",
    "handle_of",
    "learn_weights",
    "load",
    "load_adapter",
    "make_recipe",
    "merge",
    "open_on",
    "open_pipeline",
    "read_recipe",
    "sample",
    "save_images",
    "scheduler_process",
    "score_models",
    "sde_scheduler",
    "tile",
    "weight_steps",
]
del _library, _peft
