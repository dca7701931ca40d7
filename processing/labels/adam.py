"""Adam in a few lines: ``torch.optim`` imports torch's compiler, which is slow to load and breaks in a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Adam:
    """The optimiser of Kingma & Ba (2015, ICLR), with decoupled weight decay (Loshchilov & Hutter 2019).

    Parameters
    ----------
    parameters : sequence of Tensor
        Changed in place by `step`.
    rate : float
        Learning rate; may be changed between steps.
    decay : float
        Weight decay per step, in units of the rate.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], rate: float = 1e-3, decay: float = 0.0) -> None:
        import torch

        self.parameters = list(parameters)
        self.rate = rate
        self.decay = decay
        self.count = 0
        self.mean = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.square = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """Move the parameters one step down their gradients."""
        import torch

        self.count += 1
        first, second = 1 - 0.9**self.count, 1 - 0.999**self.count
        with torch.no_grad():
            for p, g, mean, square in zip(self.parameters, gradients, self.mean, self.square, strict=True):
                mean.mul_(0.9).add_(g, alpha=0.1)
                square.mul_(0.999).addcmul_(g, g, value=0.001)
                p.mul_(1 - self.rate * self.decay)
                p.addcdiv_(mean, (square / second).sqrt_().add_(1e-8), value=-self.rate / first)
