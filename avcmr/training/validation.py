"""Validation after each epoch: MAP, and gauges of collapse."""

from typing import TypedDict

import torch

from avcmr.features.dataset import PairedFeatures
from avcmr.metrics.collapse import collapse_gauges, distance_spread
from avcmr.metrics.metrics import map_both_ways
from avcmr.model.inference import embed, inference
from avcmr.model.network import TwoBranchNetwork
from preprocessing.errors import UsageError


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

    Raises:
        UsageError: the network's outputs are not finite.
    """
    with inference(network):
        network.fit_posterior(train)
        audio, visual = network(clips.audio, clips.visual)
    searched = embed(network, clips)
    if not all(rows.isfinite().all() for rows in (audio, visual, *searched)):
        raise UsageError(
            "training diverged: embeddings are NaN or infinite; lower the learning rates "
            "(stage1.learning_rate, stage2.learning_rate), or use the defaults of other settings"
        )
    reached = map_both_ways(*searched, clips.labels)
    gauges = collapse_gauges(torch.cat([audio, visual]))
    return {
        "val_map": reached.average,
        "val_map_audio_to_visual": reached.audio_to_visual,
        "val_map_visual_to_audio": reached.visual_to_audio,
        "mean_distance": gauges.mean_distance,
        "effective_rank": gauges.effective_rank,
        "distance_spread": min(distance_spread(audio, visual), distance_spread(visual, audio)),
    }
