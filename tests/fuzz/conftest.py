"""Runs of ``avcmr extract``, as the end-to-end tests start them."""

from tests.end_to_end.conftest import good_clips, start, undisturbed, undisturbed_store

__all__ = ["good_clips", "start", "undisturbed", "undisturbed_store"]
