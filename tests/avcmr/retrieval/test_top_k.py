"""Exact search against NumPy's stable sort of all scores."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avcmr.retrieval import top_k as search
from avcmr.retrieval.top_k import top_k


def sorted_rows(query, gallery, k, allowed):
    """What a full sort finds."""
    rows = np.flatnonzero(allowed)
    scores = (gallery @ query)[rows]
    return rows[np.argsort(-scores, kind="stable")][:k]


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 9))
def test_ties_go_to_earlier_rows_wherever_chunks_end(seed: int, k: int, chunk: int) -> None:
    draw = np.random.default_rng(seed)
    # Small whole numbers, so that many scores are equal to the last bit.
    gallery = draw.integers(-2, 3, (draw.integers(0, 40), 3)).astype(np.float32)
    query = draw.integers(-2, 3, 3).astype(np.float32)
    allowed = draw.random(len(gallery)) < draw.choice([0, 0.3, 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_CHUNK", chunk)
        rows, scores = top_k(
            torch.from_numpy(query),
            torch.from_numpy(gallery),
            k,
            allowed=torch.from_numpy(allowed),
        )
    expected = sorted_rows(query, gallery, k, allowed)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, (gallery @ query)[expected])


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_many_vectors(k: int) -> None:
    draw = np.random.default_rng(0)
    gallery = draw.normal(size=(150_000, 32)).astype(np.float32)  # more than two chunks
    query = draw.normal(size=32).astype(np.float32)
    rows, scores = top_k(torch.from_numpy(query), torch.from_numpy(gallery), k)
    exact = gallery.astype(np.float64) @ query.astype(np.float64)
    expected = np.argsort(-exact, kind="stable")[:k]
    np.testing.assert_allclose(scores, exact[expected], rtol=1e-5)
    np.testing.assert_allclose(exact[rows], exact[expected], rtol=1e-6)
    assert len(set(rows.tolist())) == k


def test_equal_items_come_in_their_order() -> None:
    gallery = torch.ones(200_000, 4)
    assert top_k(torch.ones(4), gallery, 5)[0].tolist() == [0, 1, 2, 3, 4]
