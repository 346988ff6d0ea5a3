"""Synthetic clips of ten classes, as real video files with sound, for the demo and for tests."""

from preprocessing.demo.demo import DEMO_CLASSES, demo_recording, write_demo_clips
from preprocessing.demo.recording import Recording

__all__ = ["DEMO_CLASSES", "Recording", "demo_recording", "write_demo_clips"]
