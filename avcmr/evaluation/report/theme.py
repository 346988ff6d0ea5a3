"""The style of a report's figures: a light and a dark theme, and empty panels in it."""

from dataclasses import dataclass
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 6.4
"""Width of every figure in inches; fonts are sized for it, and the page scales it."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one appearance of the page, as hexadecimal RGB."""

    paper: str
    ink: str
    faint: str
    audio: str
    visual: str
    runs: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    ink="#1f2328",
    faint="#8c949e",
    audio="#0072b2",
    visual="#d55e00",
    runs=("#0072b2", "#d55e00", "#009e73", "#b4558f", "#b07d00", "#3f4a55"),
)


DARK = Theme(
    paper="#16191d",
    ink="#e6e8eb",
    faint="#868e98",
    audio="#56b4e9",
    visual="#e69f00",
    runs=("#56b4e9", "#e69f00", "#3cc9a0", "#dd8fc0", "#f0e442", "#b9c2cc"),
)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG, 1,024 pixels wide; the same figure gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()


def empty_panels(theme: Theme, *, rows: int, height: float) -> tuple[Figure, tuple[Axes, ...]]:
    """An empty figure of stacked panels, in the theme's colours."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)
    panels = tuple(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for panel in panels:
        panel.set_facecolor(theme.paper)
        panel.grid(True, color=theme.faint, alpha=0.25, linewidth=0.8)
        panel.set_axisbelow(True)
        panel.spines[:].set_visible(False)
        panel.tick_params(colors=theme.ink, labelsize=10.5, length=0, pad=5)
        for axis in (panel.xaxis, panel.yaxis):
            axis.label.set(color=theme.ink, fontsize=11.5)
    return figure, panels
