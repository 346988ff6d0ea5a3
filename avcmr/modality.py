"""The two modalities, and the two directions of retrieval between them."""

from typing import Literal, get_args

Modality = Literal["audio", "visual"]

Direction = Literal["audio_to_visual", "visual_to_audio"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

LABELS: dict[str, str] = {"audio_to_visual": "audio → visual", "visual_to_audio": "visual → audio"}

Find = Literal["picture", "sound"]
"""What a search returns, in the words of its users."""
