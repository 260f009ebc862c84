"""A pipeline on the line whose networks are exact: the truth for schedulers and samplers."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, DiffusionPipeline, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput

from synthetic import GaussianMixture


class ExactNetwork(ModelMixin, ConfigMixin):
    """What a perfect network would predict of a mixture, from the noise level that the pipeline passes on."""

    @register_to_config
    def __init__(self, law: Any = None, predicts: str = "epsilon", kind: str = "vp") -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))  # pipelines ask for device and dtype
        self.law, self.predicts, self.kind, self.calls = law, predicts, kind, 0

    def forward(self, sample: torch.Tensor, timestep: Any, sigma: float = 0.0) -> BaseOutput:
        self.calls += 1
        x = sample.double().numpy().reshape(len(sample), 1)
        if self.kind == "edm":
            x = x * np.hypot(sigma, 0.5)  # undo c_in
        alpha = {"vp": 1 / np.hypot(1, sigma), "flow": 1 - sigma, "edm": 1.0}[self.kind]
        noise = sigma * alpha if self.kind == "vp" else sigma
        if alpha == 0.0:
            data = np.full_like(x, self.law.weights @ self.law.means[:, 0])
        else:
            data = (x + noise**2 * np.asarray(self.law.diffuse(alpha, noise).score(x))) / alpha
        epsilon = (x - alpha * data) / noise
        if self.predicts == "edm":
            scale = np.hypot(sigma, 0.5)
            out = (data - 0.25 / scale**2 * x) / (sigma * 0.5 / scale)
        else:
            out = {"epsilon": epsilon, "v": alpha * epsilon - noise * data, "x0": data, "velocity": epsilon - data}[
                self.predicts
            ]
        return LineOutput(sample=torch.from_numpy(out.reshape(sample.shape)).to(sample.dtype))


@dataclass
class LineOutput(BaseOutput):
    sample: torch.Tensor


class LinePipeline(DiffusionPipeline):
    """The loop of a text-to-image pipeline, on one number an image."""

    def __init__(self, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    def sigma(self, j: int, t: Any) -> float:
        s = self.scheduler
        if getattr(s, "sigmas", None) is None:
            bar = float(s.alphas_cumprod[int(t)])
            return float(np.sqrt((1 - bar) / bar))
        between = getattr(s, "sigmas_interpol", None)
        return float(s.sigmas[j] if between is None or j % 2 == 0 else between[j - 1])

    @torch.no_grad()
    def __call__(
        self, batch_size: int = 1, num_inference_steps: int = 32, generator: Any = None, eta: float = 0.0
    ) -> Any:
        s = self.scheduler
        s.set_timesteps(num_inference_steps)
        x = torch.randn(batch_size, 1, 1, 1, generator=generator, dtype=torch.float64)
        x = x * float(getattr(s, "init_noise_sigma", 1.0))
        accepted = inspect.signature(s.step).parameters
        extra = {key: value for key, value in {"generator": generator, "eta": eta}.items() if key in accepted}
        for j, t in enumerate(s.timesteps):
            inputs = s.scale_model_input(x, t) if hasattr(s, "scale_model_input") else x
            output = self.unet(inputs, t, sigma=self.sigma(j, t)).sample
            x = s.step(output, t, x, **extra).prev_sample.double()
        self.maybe_free_model_hooks()
        return Drawn(images=list(x.flatten()))


@dataclass
class Drawn(BaseOutput):
    images: list


def line(
    laws: tuple[GaussianMixture, ...], scheduler: Any, predicts: str = "epsilon", kind: str = "vp"
) -> tuple[Any, list]:
    """A pipeline of the first law, and a network for each law."""
    networks = [ExactNetwork(law, predicts, kind) for law in laws]
    return LinePipeline(networks[0], scheduler), networks
