"""Batches: whole epochs, balance, and nothing but seed and epoch decides them."""

from functools import partial

import pytest
import torch

from avcmr.training.batches import fitting_batch_size, global_batches
from preprocessing.errors import UsageError

LABELS = torch.arange(5).repeat_interleave(torch.tensor([40, 20, 10, 7, 3]))
BALANCED = partial(global_batches, LABELS, 16, classes_per_batch=4)


def test_shuffled_batches_cover_an_epoch_once() -> None:
    rows = torch.cat(global_batches(torch.zeros(70), 16, classes_per_batch=0, seed=3, epoch=0))
    assert len(rows) == 64 == len(set(rows.tolist()))


@pytest.mark.parametrize("classes_per_batch", [0, 4])
def test_batches_depend_on_seed_and_epoch_alone(classes_per_batch: int) -> None:
    def drawn(seed: int, epoch: int) -> torch.Tensor:
        torch.manual_seed(torch.seed())
        return torch.cat(BALANCED(classes_per_batch=classes_per_batch, seed=seed, epoch=epoch))

    assert torch.equal(drawn(3, 0), drawn(3, 0))
    assert not torch.equal(drawn(3, 0), drawn(3, 1))
    assert not torch.equal(drawn(3, 0), drawn(4, 0))


@pytest.mark.parametrize("epoch", range(5))
def test_balanced_batches_hold_k_clips_of_p_classes(epoch: int) -> None:
    batches = BALANCED(seed=0, epoch=epoch)
    assert len(batches) == 80 // 16
    for batch in batches:
        counts = LABELS[batch].bincount(minlength=5)
        assert sorted(counts.tolist()) == [0, 4, 4, 4, 4]


@pytest.mark.parametrize("epoch", range(5))
def test_classes_and_the_clips_of_a_class_come_equally_often(epoch: int) -> None:
    labels = torch.arange(30) % 3
    rows = torch.cat(global_batches(labels, 6, classes_per_batch=2, seed=0, epoch=epoch))
    for counts in (
        labels[rows].bincount(minlength=3) // 3,  # batches that each class is in
        *(rows.bincount(minlength=30)[labels == label] for label in range(3)),
    ):
        assert counts.max() - counts.min() <= 1


def test_a_class_with_fewer_clips_than_its_share_repeats_them_evenly() -> None:
    for batch in BALANCED(classes_per_batch=2, seed=0, epoch=0):  # K = 8
        for label in LABELS[batch].unique():
            members = batch[LABELS[batch] == label]
            counts = members.bincount()[members.unique()]
            of_class = int(LABELS.bincount()[label])
            assert len(members) == 8
            assert len(counts) == min(of_class, 8)
            assert counts.max() - counts.min() <= 1


def test_batches_too_large_for_the_clips_become_a_power_of_two() -> None:
    assert [fitting_batch_size(64, clips) for clips in (64, 63, 33, 2)] == [64, 32, 32, 2]


@pytest.mark.parametrize(
    ("workers", "clips", "classes_per_batch", "expected"),
    [
        (3, 999, 0, 255),
        (5, 999, 0, 255),
        (6, 999, 0, 258),
        (7, 999, 0, 259),
        (6, 257, 0, 252),  # 258 would be nearer
        (3, 999, 32, 288),
        (3, 100, 0, 63),
        (8, 999, 0, 256),
    ],
)
def test_batches_that_workers_cannot_share_become_the_nearest_that_they_can(
    workers: int, clips: int, classes_per_batch: int, expected: int
) -> None:
    size = fitting_batch_size(256, clips, workers=workers, classes_per_batch=classes_per_batch)
    assert size == expected


def test_too_few_clips_for_the_workers_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"5 workers need batches of at least 5 clips.*are 4 train"
    ):
        fitting_batch_size(256, 4, workers=5)
