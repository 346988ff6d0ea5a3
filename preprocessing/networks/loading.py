"""Networks with pretrained or seeded random weights, and optimized for inference."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.inception import BasicConv2d

_Network = TypeVar("_Network", bound=nn.Module)


def pretrained(architecture: Callable[[], _Network], tensors: dict[str, Tensor]) -> _Network:
    """Build a network around the given tensors, frozen and in evaluation mode.

    The tensors are the complete state dict, and used without a copy.
    """
    with torch.device("meta"):  # saves initializing weights that are replaced
        network = architecture()
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def untrained(architecture: Callable[[], _Network], seed: int) -> _Network:
    """Build a network with random weights, frozen and in evaluation mode.

    Weights are drawn from He's normal distribution (He et al. 2015), which keeps the scale of
    activations through layers of ReLU; biases are zero and batch norms the identity. The same
    seed gives the same weights, and the global random state is not touched.
    """
    with torch.device("meta"):
        network = architecture()
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return network.eval().requires_grad_(False)


def multiplies_bfloat16() -> bool:
    """Whether this machine has instructions for bfloat16; without, it is slower than float32."""
    processor = torch.cpu.get_capabilities()
    return torch.cuda.is_available() or any(
        bool(has) for name, has in processor.items() if "bf16" in name
    )


def optimized(network: _Network) -> _Network:
    """Optimize a network in evaluation mode for inference, in place.

    Batch norms are folded into their convolutions, which costs a rounding (1e-6 relative). The
    channels are stored innermost, which is fastest for convolutions on CPU and GPU.
    """
    for module in network.modules():
        if isinstance(module, BasicConv2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
