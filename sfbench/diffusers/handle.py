"""The verb :func:`fuse` and what it returns: the fusion of one pipeline, to be changed, saved and removed."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, final, get_args

from diffusers.hooks import HookRegistry
from torch import Tensor, nn

from .._internal.validation import as_choice
from .alternatives import join
from .compatible import check_compatible
from .errors import DiffusersError, NotFusedError
from .experts import AbstractExpert, NetworkExpert, as_experts, find_denoiser
from .hook import FusionHook, Method
from .weights import AbstractWeights, ConstantWeights, WeightBins, WeightFunction, as_fusion_weights

NAME = "sfbench_fusion"


def fuse(
    pipe: Any,
    experts: Sequence[Any] | Mapping[str, Any],
    weights: Any = None,
    *,
    method: Method = "sequential",
    keep_predictions: bool = False,
) -> "Handle":
    """Make a pipeline average the predictions of several experts at every step.

    Parameters
    ----------
    pipe : diffusers pipeline, modular pipeline, or network
        Its ``unet``, ``transformer`` or ``model`` is given a hook; nothing else of it changes.
    experts : sequence, or mapping that names them
        Names of adapters that are loaded in the pipeline (``"__base__"``: the network without any), other pipelines,
        or networks. The pipeline itself means its network as it stands. Adapters cost their own weights only; prompts
        are encoded once for every expert whose text encoders differ.
    weights : array_like (k,), WeightBins, or function, optional
        Simplex weights; the same by bins of the log signal-to-noise ratio; or a function of the scheduler's sigma that
        returns them. Equal weights by default.
    method : {"sequential", "batched", "switched"}
        ``"sequential"``: one expert after the other. ``"batched"``: all adapters in one forward of a batch k times as
        large. ``"switched"``: a single expert at each step, in proportion to the weights: the price of one model.
    keep_predictions : bool
        Keep the raw predictions of the last call in ``handle.predictions``.

    Returns
    -------
    Handle
        ``handle.weights = ...`` changes the weights, ``handle.remove()`` gives the pipeline back.

    Raises
    ------
    IncompatibleExpertsError
        For a pipeline with another latent space, prediction type, schedule or network; names every field.
    DiffusersError
        For adapters that are not loaded, weights off the simplex, and pipelines that are fused already.

    Notes
    -----
    Every call of the network becomes k calls, or as many as have a positive weight. With weights (1, 0, ...) images are
    those of the first expert, bit for bit. A pipeline that runs without a single fused call raises
    :class:`NotFusedError` when it ends.
    """
    part, module = find_denoiser(pipe)
    registry = getattr(module, "_diffusers_hook", None)
    if registry is not None and registry.get_hook(NAME) is not None:
        raise DiffusersError(f"the {type(module).__name__} is fused already; call handle.remove() first")
    as_choice("method", method, get_args(Method), DiffusersError)
    models = as_experts(pipe, module, experts)
    for model in models:
        if isinstance(model, NetworkExpert):
            check_compatible(model.name, pipe, model.module if model.pipe is None else model.pipe)
    if getattr(module, "is_cache_enabled", False):
        raise DiffusersError(
            f"the {type(module).__name__} reuses features of earlier calls; call disable_cache() on it"
        )
    rule = as_fusion_weights(weights, len(models))
    handle = Handle(pipe, part, module, FusionHook(pipe, module, models, rule, method, bool(keep_predictions)))
    handle._attach()
    return handle


@contextmanager
def fused(
    pipe: Any, experts: Sequence[Any] | Mapping[str, Any], weights: Any = None, **options: Any
) -> Iterator["Handle"]:
    """:func:`fuse` for the length of a ``with`` block."""
    handle = fuse(pipe, experts, weights, **options)
    try:
        yield handle
    finally:
        handle.remove()


def handle_of(pipe: Any) -> "Handle":
    """The handle of a fused pipeline; NotFusedError for one that is not."""
    handle = getattr(pipe, "_sfbench_handle", None)
    if not isinstance(handle, Handle) or not handle.active:
        raise NotFusedError(f"this {type(pipe).__name__} is not fused; call sfbench.diffusers.fuse(pipe, ...) first")
    return handle


@final
class Handle:
    """The fusion of one pipeline; made by :func:`fuse`.

    Attributes
    ----------
    pipe : pipeline
    module : nn.Module
        The network that has the hook.
    experts : tuple of AbstractExpert
    active : bool
        False after :meth:`remove`.
    """

    def __init__(self, pipe: Any, part: str, module: nn.Module, hook: FusionHook) -> None:
        self.pipe, self.part, self.module, self.hook = pipe, part, module, hook
        self.active = False
        self._link: Any = None  # what the network's forward became when the hook was registered

    @property
    def experts(self) -> tuple[AbstractExpert, ...]:
        """The experts, in the order of the weights."""
        return tuple(self.hook.experts)

    @property
    def weights(self) -> Any:
        """The weights: an array (k,), WeightBins, or a function of sigma. Assign to change them."""
        rule = self.hook.weights
        if isinstance(rule, ConstantWeights):
            return rule.values.copy()
        return rule.function if isinstance(rule, WeightFunction) else rule

    @weights.setter
    def weights(self, weights: Any) -> None:
        rule: AbstractWeights = as_fusion_weights(weights, len(self.hook.experts))
        if isinstance(rule, WeightBins | WeightFunction) and self.hook.timestep_at is None:
            raise DiffusersError("the network takes no timestep, so weights cannot change with the noise")
        self.hook.weights = rule

    @property
    def predictions(self) -> tuple[Tensor | None, ...]:
        """Raw predictions of the last call by expert, None where an expert was not run; needs ``keep_predictions``."""
        if not self.hook.keep:
            raise DiffusersError("predictions are not kept; call fuse(..., keep_predictions=True)")
        return () if self.hook.last is None else self.hook.last.predictions

    @property
    def calls(self) -> int:
        """Fused calls of the network in the last image."""
        return self.hook.calls

    def remove(self) -> None:
        """Give the pipeline back as it was; harmless when done twice."""
        if not self.active:
            return
        self.active = self.hook.on = False
        with _offload_off(self.pipe):
            registry = HookRegistry.check_if_exists_or_initialize(self.module)
            if self._in_chain():
                registry.remove_hook(NAME, recurse=False)
            else:
                self._forget(registry)
        if not isinstance(self.pipe, nn.Module):
            self.pipe.__dict__.pop("encode_prompt", None)
            self.pipe.__dict__.pop("_sfbench_handle", None)
            object.__setattr__(self.pipe, "__class__", type(self.pipe).__mro__[1])

    def save(self, folder: str | PathLike[str], *, adapters: bool = False) -> None:
        """Write the recipe of this fusion; see :func:`sfbench.diffusers.load`.

        Parameters
        ----------
        folder : path
            Holds ``recipe.json`` afterwards: experts with sha256, weights, process, versions.
        adapters : bool
            Write the weights of the adapters too.

        Raises
        ------
        RecipeError
            For weights that are a function, and after :meth:`remove`.
        OutputError
            If the folder cannot be written.
        """
        from .recipe import save_recipe

        save_recipe(self, folder, adapters=adapters)

    def __repr__(self) -> str:
        names = ", ".join(expert.name for expert in self.experts)
        state = "" if self.active else ", removed"
        return (
            f"Handle({type(self.module).__name__} of {len(self.experts)} experts: {names}; {self.hook.method}{state})"
        )

    # ------------------------------------------------------------------------------------------------ inside
    def _attach(self) -> None:
        self._register()
        self.active = True
        if isinstance(self.pipe, nn.Module):
            return
        object.__setattr__(self.pipe, "__class__", _counting_class(type(self.pipe)))  # type: ignore[arg-type]
        object.__setattr__(self.pipe, "_sfbench_handle", self)
        if any(expert.encodes for expert in self.experts):
            try:
                self._encode_for_every_expert()
            except DiffusersError:
                self.remove()
                raise

    def _register(self) -> None:
        # accelerate restores the forward that it found when it takes its hooks off, after every image: it must have
        # found ours.
        with _offload_off(self.pipe):
            registry = HookRegistry.check_if_exists_or_initialize(self.module)
            self._forget(registry)
            registry.register_hook(self.hook, NAME)
            self._link = self.module.forward

    def _forget(self, registry: Any) -> None:
        """Drop a record whose wrapper somebody else has taken off, without a change of forward."""
        if registry.get_hook(NAME) is not None:
            forward = self.module.forward
            registry.remove_hook(NAME, recurse=False)
            self.module.forward = forward

    def _in_chain(self) -> bool:
        forward: Any = self.module.forward
        while forward is not None and forward is not self._link:
            forward = getattr(forward, "__wrapped__", None)
        return forward is not None

    def _encode_for_every_expert(self) -> None:
        encode = getattr(self.pipe, "encode_prompt", None)
        if encode is None:
            names = [expert.name for expert in self.experts if expert.encodes]
            raise DiffusersError(
                f"experts {names} have text encoders of their own, and a {type(self.pipe).__name__} cannot encode a "
                "prompt for each of them: load adapters of the denoiser only, or pass networks in place of pipelines"
            )

        @functools.wraps(encode)
        def for_every_expert(*args: Any, **kwargs: Any) -> Any:
            return join([expert.encode(encode, args, kwargs) for expert in self.experts])

        self.pipe.__dict__["encode_prompt"] = for_every_expert

    @contextmanager
    def _image(self) -> Iterator[None]:
        """Around every call of the pipeline: see that the fusion takes place."""
        if not self._in_chain():
            self._register()
        self.hook.start()
        yield
        if self.hook.calls == 0:
            raise NotFusedError(
                f"the pipeline ended without a fused call of its {type(self.module).__name__}: the images are those of "
                f"one model. Was pipe.{self.part} replaced? Call handle.remove() and fuse again"
            )
        self.hook.check_finite()


@functools.cache
def _counting_class(base: Any) -> type:
    """The pipeline's own class with a look at the fusion before and after every call.

    ``pipe(...)`` looks ``__call__`` up on the class, so there is no other place from which to see the end of a call.
    """

    @functools.wraps(base.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._sfbench_handle._image():
            return base.__call__(self, *args, **kwargs)

    names = {
        "__call__": call,
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    return type(base.__name__, (base,), names)


@contextmanager
def _offload_off(pipe: Any) -> Iterator[None]:
    """Take the hooks of ``enable_model_cpu_offload`` off, and put them on again."""
    offloaded = bool(getattr(pipe, "_all_hooks", None))
    if offloaded:
        device = pipe._offload_device
        pipe.remove_all_hooks()
    try:
        yield
    finally:
        if offloaded:
            pipe.enable_model_cpu_offload(device=device)
