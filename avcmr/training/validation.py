"""Validation after each epoch: MAP, and gauges of collapse."""

from typing import TypedDict

import torch

from avcmr.features.dataset import PairedFeatures
from avcmr.metrics.collapse import collapse_gauges, distance_spread
from avcmr.metrics.metrics import map_both_ways
from avcmr.model.inference import embed, inference
from avcmr.model.network import TwoBranchNetwork


class Validation(TypedDict):
    """What :func:`validate` measures."""

    val_map: float
    val_map_audio_to_visual: float
    val_map_visual_to_audio: float
    mean_distance: float
    effective_rank: float
    distance_spread: float


def validate(network: TwoBranchNetwork, train: PairedFeatures, clips: PairedFeatures) -> Validation:
    """MAP both ways, and the gauges that show a collapse of the embedding space.

    The class posteriors are fitted again, to the training clips.
    """
    with inference(network):
        network.fit_posterior(train)
        audio, visual = network(clips.audio, clips.visual)
    reached = map_both_ways(*embed(network, clips), clips.labels)
    gauges = collapse_gauges(torch.cat([audio, visual]))
    return {
        "val_map": reached.average,
        "val_map_audio_to_visual": reached.audio_to_visual,
        "val_map_visual_to_audio": reached.visual_to_audio,
        "mean_distance": gauges.mean_distance,
        "effective_rank": gauges.effective_rank,
        "distance_spread": min(distance_spread(audio, visual), distance_spread(visual, audio)),
    }
