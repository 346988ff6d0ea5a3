"""The triplet losses of both stages, in both directions of retrieval."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from avcmr.config import (
    BatchAllStage,
    HardStage,
    SemiHardStage,
    SmoothHardStage,
    Stage,
    TripletStage,
)
from avcmr.features.dataset import PairedFeatures
from avcmr.model.inference import inference
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.interpolation import convex_combinations, interpolate
from avcmr.training.mining import Miner, all_triplets, hard_triplets, semi_hard_triplets

_MINERS: dict[type[TripletStage], Miner] = {
    SemiHardStage: semi_hard_triplets,
    HardStage: hard_triplets,
    BatchAllStage: all_triplets,
}


@dataclass(frozen=True, slots=True)
class TripletLoss:
    """A loss and how many triplets it came from.

    Attributes:
        value: scalar; zero, with a (zero) gradient, where no triplet is active.
        triplets: how many were mined.
        active: how many of them violate the margin; of the smooth loss, which has none, those
            whose nearest negative is nearer than the positive.
    """

    value: Tensor
    triplets: int
    active: int


BatchLoss = Callable[[Tensor, Tensor, Tensor], TripletLoss]
"""(B, D) audio and visual embeddings and (B,) labels of a global batch → its loss."""


def stage_loss(
    stage: Stage, network: TwoBranchNetwork, clips: PairedFeatures, *, seed: int
) -> BatchLoss:
    """The loss of one epoch of a stage; a memory bank is filled now, and stays as it is.

    ``seed`` is that of the synthetic embeddings, drawn for each batch, and the same on all workers.
    """
    if not isinstance(stage, SmoothHardStage):
        return partial(cross_modal_loss, stage=stage)
    bank = _memory_bank(network, clips) if stage.memory_bank else None
    generator = torch.Generator().manual_seed(seed)

    def loss(audio: Tensor, visual: Tensor, labels: Tensor) -> TripletLoss:
        members, of_class = bank or (torch.cat([audio, visual]).detach(), labels.repeat(2))
        synthetic, classes = convex_combinations(
            members,
            of_class,
            per_class=stage.synthetics_per_class,
            points=stage.members,
            generator=generator,
        )
        return smooth_hard_loss(audio, visual, labels, synthetic, classes, stage.temperature)

    return loss


def _memory_bank(network: TwoBranchNetwork, clips: PairedFeatures) -> tuple[Tensor, Tensor]:
    """(2 N, D) embeddings of all clips in both modalities, and their (2 N,) labels."""
    with inference(network):
        return torch.cat(network(clips.audio, clips.visual)), clips.labels.repeat(2)


def _cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 − cosine of embeddings of unit length, (A, D) and (B, D) → (A, B), in [0, 2]."""
    return torch.addmm(a.new_ones(()), a, b.T, alpha=-1)  # 1 − a @ b.T in one pass


def triplet_loss(anchor_positive: Tensor, anchor_negative: Tensor, margin: float) -> TripletLoss:
    """Mean of max(0, d(a, p) − d(a, n) + margin) over the triplets where it is not 0.

    The mean over active triplets keeps the gradient's size when most triplets are learned.

    Args:
        anchor_positive: (M,) distances.
        anchor_negative: (M,) distances.
        margin: in units of the distance.
    """
    violation = (anchor_positive - anchor_negative + margin).relu()
    active = int((violation > 0).sum())
    return TripletLoss(violation.sum() / max(active, 1), len(violation), active)


def cross_modal_loss(
    audio: Tensor, visual: Tensor, labels: Tensor, stage: TripletStage
) -> TripletLoss:
    """Both directions: audio anchors among visual candidates, and visual among audio.

    Positives are the other modality's embeddings of the anchor's class, its own pair included.
    Negatives are those of other classes and, where the stage interpolates, synthetic ones.

    Args:
        audio: (B, D) embeddings of unit length.
        visual: (B, D), row i from the clip of audio row i.
        labels: (B,) int64.
        stage: miner, margin and interpolation.
    """
    directions = [
        _one_direction(anchors, candidates, labels, stage)
        for anchors, candidates in ((audio, visual), (visual, audio))
    ]
    return TripletLoss(
        value=torch.stack([direction.value for direction in directions]).sum(),
        triplets=sum(direction.triplets for direction in directions),
        active=sum(direction.active for direction in directions),
    )


def smooth_hard_loss(
    audio: Tensor,
    visual: Tensor,
    labels: Tensor,
    synthetic: Tensor,
    synthetic_labels: Tensor,
    temperature: float,
) -> TripletLoss:
    """Triplets whose positive and negatives are interpolated; hard ones weigh most.

    An anchor of either modality has M positives, the synthetics of its class. The m-th is compared
    with the m-th synthetics of all other classes as negatives, and costs
    ln(1 + Σₙ exp((d(a, p) − d(a, n)) / T)), the smooth form of max(0, maxₙ d(a, p) − d(a, n)) / T:
    as T goes to 0, the nearest negative alone counts; a larger T spreads the gradient over the near
    ones and bounds what a single wrong label can do. The loss is the mean over anchors and m,
    summed over modalities.

    So no triplet is mined: all count, and only in the limit T → 0 the hardest alone. The same
    number is the cross-entropy of a softmax over cosine / T to one synthetic of each class, a proxy
    that is drawn for each batch instead of being learned.

    Args:
        audio: (B, D) embeddings of unit length.
        visual: (B, D), row i from the clip of audio row i.
        labels: (B,) int64, all of them among the synthetics' classes.
        synthetic: (C, M, D) of unit length; no gradient flows into them.
        synthetic_labels: (C,) int64, ascending.
        temperature: T, in units of the distance.
    """
    own = torch.searchsorted(synthetic_labels, labels)[:, None, None]  # (B, 1, 1)
    value = audio.new_zeros(())
    triplets = active = 0
    for anchors in (audio, visual):
        closeness = torch.einsum("bd,cmd->bmc", anchors, synthetic.detach())
        to_own = closeness.gather(2, own.expand(-1, closeness.shape[1], 1))  # (B, M, 1)
        lead = (closeness - to_own) / temperature  # how much nearer each class is than the own
        value = value + lead.logsumexp(dim=2).mean()  # the own class's lead of 0 is the 1
        triplets += to_own.numel()
        active += int((lead.detach().amax(dim=2) > 0).sum())
    return TripletLoss(value, triplets, active)


def _one_direction(
    anchors: Tensor, candidates: Tensor, labels: Tensor, stage: TripletStage
) -> TripletLoss:
    mine = _MINERS[type(stage)]
    same = labels[:, None] == labels[None, :]
    to_candidates = _cosine_distance(anchors, candidates)  # (B, B)
    if not stage.interpolation_points:
        mined = mine(to_candidates, to_candidates, same, ~same)
        to_mined = to_candidates[mined.anchor, mined.negative]
    else:
        synthetic, synthetic_labels = interpolate(
            candidates, labels, points=stage.interpolation_points
        )
        negatives = torch.cat([candidates, synthetic])  # (N, D)
        # Of these many distances few are mined: only those are worth a gradient.
        with torch.no_grad():
            to_negatives = _cosine_distance(anchors, negatives)  # (B, N)
            is_negative = labels[:, None] != torch.cat([labels, synthetic_labels])
        to_positives = to_negatives[:, : len(candidates)]
        mined = mine(to_positives, to_negatives, same, is_negative)
        to_mined = 1 - (anchors[mined.anchor] * negatives[mined.negative]).sum(dim=1)
    return triplet_loss(to_candidates[mined.anchor, mined.positive], to_mined, stage.margin)
