"""AdamW against torch's own."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from avcmr.training.optimizer import AdamW


def learner() -> nn.ParameterList:
    torch.manual_seed(0)
    return nn.ParameterList([torch.randn(4, 3), torch.randn(3), torch.randn(2)])


def losses(parameters: nn.ParameterList) -> Iterator[Tensor]:
    """One a step; the last parameter has no part in every other."""
    generator = torch.Generator().manual_seed(1)
    for step in range(9):
        x = torch.randn(5, 4, generator=generator)
        loss = (x @ parameters[0] + parameters[1]).square().sum()
        yield loss + parameters[2].exp().sum() if step % 2 else loss


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_are_those_of_torch_bit_for_bit(weight_decay: float) -> None:
    ours, theirs = learner(), learner()
    optimizer = AdamW(ours, rate=0.01, weight_decay=weight_decay)
    reference = torch.optim.AdamW(theirs, lr=0.01, weight_decay=weight_decay)
    for mine, other in zip(losses(ours), losses(theirs), strict=True):
        ours.zero_grad()
        mine.backward()
        optimizer.step()
        reference.zero_grad()
        other.backward()
        reference.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for index, slots in reference.state_dict()["state"].items():
        for name, value in slots.items():
            assert torch.equal(optimizer.state_dict()[f"{index}.{name}"], value)


def test_moments_that_are_not_given_are_those_before_the_first_step() -> None:
    ours, another = (AdamW(learner(), rate=0.01, weight_decay=0.1) for _ in range(2))
    ours.load_state_dict({"0.step": torch.tensor(5.0)})
    assert ours.state_dict().pop("0.step") == 5
    for name, value in another.state_dict().items():
        assert name == "0.step" or torch.equal(ours.state_dict()[name], value)


def test_it_goes_on_where_another_stood() -> None:
    whole, halves = learner(), learner()
    optimizer, first = (AdamW(one, rate=0.01, weight_decay=0.1) for one in (whole, halves))
    for step, (mine, other) in enumerate(zip(losses(whole), losses(halves), strict=True)):
        if step == 4:
            second = AdamW(halves, rate=0.01, weight_decay=0.1)
            second.load_state_dict(first.state_dict())
            first = second
        for learned, stepper, loss in ((whole, optimizer, mine), (halves, first, other)):
            learned.zero_grad()
            loss.backward()
            stepper.step()
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


def test_training_starts_without_torch_s_compiler() -> None:
    """It is a second and more that torch's class would take; see the module."""
    program = """
import sys, torch
from avcmr.config import ModelConfig
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.optimizer import AdamW
network = TwoBranchNetwork(3, 4, ModelConfig(), classes=2)
optimizer = AdamW(network.parameters(), rate=0.1, weight_decay=0.1)
audio, visual = network(torch.rand(5, 3), torch.rand(5, 4))
(audio * visual).sum().backward()
optimizer.step()
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
