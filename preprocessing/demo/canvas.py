"""One picture to draw on, in coordinates that do not depend on its size."""

import colorsys
import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (15, 15, 15)


def colour(
    rng: np.random.Generator,
    hue: float = 0.5,
    spread: float = 0.5,
    *,
    saturation: tuple[float, float] = (0.4, 1.0),
    value: tuple[float, float] = (0.5, 1.0),
) -> Colour:
    """A random colour whose hue lies within ``spread`` of ``hue``, both parts of the circle."""
    angle = (hue + rng.uniform(-spread, spread)) % 1.0
    rgb = colorsys.hsv_to_rgb(angle, rng.uniform(*saturation), rng.uniform(*value))
    return int(rgb[0] * 255), int(rgb[1] * 255), int(rgb[2] * 255)


def shade(base: Colour, factor: float) -> Colour:
    """``base`` made darker (below 1) or lighter (above 1)."""
    red, green, blue = (min(int(part * factor), 255) for part in base)
    return red, green, blue


def ring(a: float, b: float, corners: int = 36) -> NDArray[np.float64]:
    """(corners, 2) points on the ellipse around the origin with the half axes a and b."""
    return _circle(corners) * (a, b)


@cache
def _circle(corners: int) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    return np.column_stack([np.cos(angles), np.sin(angles)])


@dataclass(frozen=True, slots=True)
class Canvas:
    """Draws on a picture, from a frame of reference that can be moved.

    Attributes:
        pen: draws opaque things on the picture, in pixels.
        brush: draws translucent ones; it blends pixel by pixel, several times slower.
        axes: (2, 2), the x and the y axis, pixels.
        origin: (2,), pixels.
    """

    pen: ImageDraw.ImageDraw
    brush: ImageDraw.ImageDraw
    axes: NDArray[np.float64]
    origin: NDArray[np.float64]

    @classmethod
    def over(cls, image: Image.Image) -> Self:
        """The whole of an RGB picture: the origin is its middle, one unit half its short side."""
        axes = np.eye(2) * min(image.size) / 2
        pen, brush = ImageDraw.Draw(image), ImageDraw.Draw(image, "RGBA")
        return cls(pen, brush, axes, np.array(image.size) / 2)

    def moved(
        self, x: float, y: float, *, zoom: float = 1.0, turn: float = 0.0, mirrored: bool = False
    ) -> Self:
        """The same picture from a frame of reference with its origin at (x, y).

        Its axes are ``zoom`` times as long, turned clockwise by ``turn`` radians, and its x axis
        points the other way where it is ``mirrored``.
        """
        cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
        axes = np.array([(cos, sin), (-sin, cos)])
        if mirrored:
            axes[0] *= -1
        return replace(
            self, axes=axes @ self.axes, origin=np.array([x, y]) @ self.axes + self.origin
        )

    def polygon(self, points: ArrayLike, fill: Colour, alpha: float = 1.0) -> None:
        """Fills the polygon with the (N, 2) corners ``points``."""
        tool, ink = self._ink(fill, alpha)
        tool.polygon(self._pixels(points).ravel().tolist(), fill=ink)

    def line(self, points: ArrayLike, fill: Colour, width: float, alpha: float = 1.0) -> None:
        """Draws a line of the given width through the (N, 2) ``points``."""
        self.lines(np.asarray(points)[None], fill, width, alpha)

    def lines(self, points: ArrayLike, fill: Colour, width: float, alpha: float = 1.0) -> None:
        """Draws one line for each of the (lines, N, 2) ``points``."""
        pixels = max(round(width * math.hypot(*self.axes[0])), 1)
        tool, ink = self._ink(fill, alpha)
        for line in self._pixels(points):
            tool.line(line.ravel().tolist(), fill=ink, width=pixels)

    def ellipse(
        self, x: float, y: float, a: float, b: float, fill: Colour, alpha: float = 1.0
    ) -> None:
        """Fills the ellipse around (x, y) with the half axes ``a`` across and ``b`` down."""
        self.polygon(ring(a, b) + np.array([x, y]), fill, alpha)

    def disc(self, x: float, y: float, radius: float, fill: Colour, alpha: float = 1.0) -> None:
        """Fills the disc around (x, y)."""
        self.ellipse(x, y, radius, radius, fill, alpha)

    def _ink(self, fill: Colour, alpha: float) -> tuple[ImageDraw.ImageDraw, tuple[int, ...]]:
        return (self.pen, fill) if alpha >= 1 else (self.brush, (*fill, int(alpha * 255)))

    def _pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(points, dtype=np.float64) @ self.axes + self.origin
