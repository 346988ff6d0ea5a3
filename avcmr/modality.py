"""The two modalities, and the two directions of retrieval between them."""

from typing import Literal, get_args

Modality = Literal["audio", "visual"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)

Direction = Literal["audio_to_visual", "visual_to_audio"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

AUDIO_TO_VISUAL = "audio → visual"
VISUAL_TO_AUDIO = "visual → audio"

Find = Literal["picture", "sound"]
"""What a search returns, in the words of its users."""
