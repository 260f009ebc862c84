"""Networks whose scores are known, written independently of the library's own scores."""

import torch
from torch import Tensor, nn

from sfbench.nets import Parameterisation, from_score
from sfbench.processes import ForwardProcess
from synthetic import GaussianMixture


class ExactNetwork(nn.Module):
    """The exact score of an isotropic mixture in torch, by automatic differentiation of the log density."""

    def __init__(self, law: GaussianMixture, process: ForwardProcess, parameterisation: Parameterisation) -> None:
        super().__init__()
        self.process, self.parameterisation = process, parameterisation
        self.register_buffer("weights", torch.tensor(law.weights))
        self.register_buffer("means", torch.tensor(law.means))
        self.register_buffer("variances", torch.tensor(law.spectrum.values[:, 0]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        alpha = torch.tensor(self.process.alpha(t.numpy()))[:, None]
        sigma = torch.tensor(self.process.sigma(t.numpy()))[:, None]
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.clone() if x.requires_grad else x.clone().requires_grad_(True)
            variance = alpha**2 * self.variances + sigma**2
            square = ((leaf[:, None, :] - alpha[:, :, None] * self.means) ** 2).sum(dim=2)
            logs = torch.log(self.weights) - 0.5 * (square / variance + x.shape[1] * torch.log(variance))
            total = torch.logsumexp(logs, dim=1).sum()
            (score,) = torch.autograd.grad(total, leaf, create_graph=x.requires_grad)
        return from_score(score, x, alpha, sigma, self.parameterisation)
