"""AdamW (Loshchilov & Hutter 2019): torch's own arithmetic, without torch's class around it.

``torch.optim.AdamW`` imports torch's compiler when it is made, a second or more that nothing here
makes use of, and that a user waits for before the first epoch.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim.adamw import adamw

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class AdamW:
    """Steps that are bit for bit those of ``torch.optim.AdamW``; its moments are named tensors.

    Args:
        parameters: what is learned. Those that a step finds without gradient it leaves alone.
        rate: learning rate.
        weight_decay: decoupled, in parts of the rate.
    """

    def __init__(self, parameters: Iterable[Tensor], *, rate: float, weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._rate, self._weight_decay = rate, weight_decay
        self._moments = [
            {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }
            for parameter in self._parameters
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters along their gradients."""
        pairs = zip(self._parameters, self._moments, strict=True)
        moving = [(p, p.grad, moments) for p, moments in pairs if p.grad is not None]
        adamw(
            [parameter for parameter, _, _ in moving],
            [gradient for _, gradient, _ in moving],
            [moments["exp_avg"] for _, _, moments in moving],
            [moments["exp_avg_sq"] for _, _, moments in moving],
            [],
            [moments["step"] for _, _, moments in moving],
            lr=self._rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            eps=EPSILON,
            weight_decay=self._weight_decay,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """``INDEX.NAME`` → tensor: ``step``, ``exp_avg`` and ``exp_avg_sq`` of each parameter."""
        return {
            f"{index}.{name}": value
            for index, moments in enumerate(self._moments)
            for name, value in moments.items()
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on where an optimiser of the same parameters stood.

        Parameters without moments start anew, as torch's class has none before the first step.
        """
        moments = self.state_dict()
        for name, value in tensors.items():
            moments[name].copy_(value)
