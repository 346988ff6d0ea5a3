"""Inference: a network without dropout or gradients."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from avcmr.features.dataset import PairedFeatures
from avcmr.model.network import TwoBranchNetwork


@contextmanager
def inference(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside; the network's own mode is restored after."""
    was_training = network.training
    network.eval()
    with torch.no_grad():
        yield
    network.train(was_training)


def embed(network: TwoBranchNetwork, clips: PairedFeatures) -> tuple[Tensor, Tensor]:
    """Audio and visual embeddings (N, E) of clips, to be compared by cosine."""
    with inference(network):
        return network.embed_audio(clips.audio), network.embed_visual(clips.visual)
