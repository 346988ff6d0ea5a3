"""Made-up clips: real video files with sound, for the demo and for the tests."""

from preprocessing.synthesis.demo import DEMO_CLASSES, demo_recording, write_demo_clips
from preprocessing.synthesis.encode import write_clip
from preprocessing.synthesis.recording import Recording

__all__ = ["DEMO_CLASSES", "Recording", "demo_recording", "write_clip", "write_demo_clips"]
