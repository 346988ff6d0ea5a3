"""The figures of a report, each a pure function from results and a theme to a matplotlib figure.

Built on ``Figure`` itself: no pyplot, so no global state, no display and nothing to close.
Colours are Okabe & Ito's, told apart with any colour vision; lines differ in dash as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from avcmr.metrics import RECALL_LEVELS, DirectionResult, Evaluation

if TYPE_CHECKING:  # a report has no need of all methods
    from avcmr.comparison import Summary

History = Sequence[Mapping[str, Any]]
"""The lines of ``metrics.jsonl``, one per epoch; values may be missing or None."""

WIDTH = 6.4
"""Inches of every figure; text is sized for this, and the page scales it."""

ANNOTATED_CLASSES = 15
"""Above this, numbers no longer fit into the cells of a confusion."""

Modality = Literal["audio", "visual"]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one appearance of the page, as hexadecimal RGB."""

    paper: str
    ink: str
    faint: str
    audio: str
    visual: str
    average: str


LIGHT = Theme("#ffffff", "#1f2328", "#8c949e", "#0072b2", "#d55e00", "#009e73")
DARK = Theme("#16191d", "#e6e8eb", "#868e98", "#56b4e9", "#e69f00", "#3cc9a0")

AUDIO_TO_VISUAL = "audio → visual"
VISUAL_TO_AUDIO = "visual → audio"


def training_figure(history: History, theme: Theme) -> Figure:
    """Loss and validation MAP over epochs, one above the other."""
    figure, (loss, quality) = _panels(theme, rows=2, height=5.2)
    _curve(loss, history, "loss", color=theme.ink)
    loss.set_ylabel("loss")
    for key, label, color, dash in (
        ("val_map_audio_to_visual", AUDIO_TO_VISUAL, theme.audio, "-"),
        ("val_map_visual_to_audio", VISUAL_TO_AUDIO, theme.visual, "--"),
        ("val_map", "average", theme.average, ":"),
    ):
        _curve(quality, history, key, color=color, linestyle=dash, label=label)
    quality.set_ylabel("validation MAP")
    _legend(quality, theme)
    _epochs((loss, quality), history, theme)
    return figure


def collapse_figure(history: History, theme: Theme) -> Figure:
    """Mean distance, effective rank and share of active triplets over epochs."""
    figure, axes = _panels(theme, rows=3, height=6.2)
    for panel, key, label in zip(
        axes,
        ("mean_distance", "effective_rank", "active_triplets"),
        ("mean distance", "effective rank", "active triplets"),
        strict=True,
    ):
        _curve(panel, history, key, color=theme.ink)
        panel.set_ylabel(label)
        panel.set_ylim(bottom=0)
    axes[2].set_ylim(0, 1.02)
    axes[2].yaxis.set_major_formatter(PercentFormatter(1))
    _epochs(axes, history, theme)
    return figure


def precision_recall_figure(evaluation: Evaluation, theme: Theme) -> Figure:
    """Interpolated precision over recall, both directions, with random ranking's precision."""
    figure, (panel,) = _panels(theme, rows=1, height=4.4)
    for result, label, color, dash in _directions(evaluation, theme):
        legend = f"{label}, MAP {result.map:.3f}"
        panel.plot(RECALL_LEVELS, result.precision_curve, dash, color=color, label=legend, lw=2)
    chance = evaluation.audio_to_visual.prevalence
    panel.axhline(chance, color=theme.faint, linestyle=":", label=f"random ranking, {chance:.3f}")
    panel.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    _legend(panel, theme)
    return figure


def class_figure(evaluation: Evaluation, theme: Theme) -> Figure:
    """MAP of each class, both directions, best class on top, with each class's chance level."""
    first, second = evaluation.audio_to_visual, evaluation.visual_to_audio
    means = (np.array(first.per_class_map) + np.array(second.per_class_map)) / 2
    order = np.argsort(np.nan_to_num(means, nan=-1))  # bars are drawn from the bottom up
    names = [_short(evaluation.class_names[i]) for i in order]
    places = np.arange(len(order))
    figure, (panel,) = _panels(theme, rows=1, height=1.4 + 0.34 * len(order))
    handles: list[Artist | Container] = []
    for (result, label, color, _), shift in zip(
        _directions(evaluation, theme), (0.2, -0.2), strict=True
    ):
        values = np.array(result.per_class_map)[order]
        handles.append(panel.barh(places + shift, values, height=0.36, color=color, label=label))
    chance = np.array(first.per_class_chance)[order]
    low, high = places - 0.44, places + 0.44
    handles.append(panel.vlines(chance, low, high, color=theme.ink, lw=2, label="chance"))
    panel.set_yticks(places, names, parse_math=False)
    panel.set(xlim=(0, 1), ylim=(-0.6, len(order) - 0.4), xlabel="MAP of the class's queries")
    panel.grid(False, axis="y")
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, frameon=False, labelcolor=theme.ink
    )
    return figure


def confusion_figure(evaluation: Evaluation, query: Modality, theme: Theme) -> Figure:
    """Which classes (columns) the queries of each class (rows) retrieve in one direction."""
    if query == "audio":
        result, gallery = evaluation.audio_to_visual, "visual"
    else:
        result, gallery = evaluation.visual_to_audio, "audio"
    shares, names = np.array(result.confusion), [_short(name) for name in evaluation.class_names]
    annotated = len(names) <= ANNOTATED_CLASSES
    figure, (panel,) = _panels(theme, rows=1, height=WIDTH)
    colours = LinearSegmentedColormap.from_list("share", [theme.paper, theme.audio])
    image = panel.imshow(shares, cmap=colours, vmin=0, vmax=1)
    size = 10 if annotated else 8
    panel.set_xticks(range(len(names)), names, rotation=90, fontsize=size, parse_math=False)
    panel.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
    panel.set(xlabel=f"class retrieved ({gallery})", ylabel=f"class of the query ({query})")
    panel.grid(False)
    if not annotated:
        bar = figure.colorbar(image, ax=panel, location="top", shrink=0.5, aspect=40)
        bar.ax.xaxis.set_major_formatter(PercentFormatter(1))
        bar.ax.tick_params(colors=theme.ink, length=0)
        bar.outline.set_visible(False)
        return figure
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            ink = theme.paper if share > 0.6 else theme.ink
            text = f"{100 * share:.0f}"
            panel.text(column, row, text, color=ink, ha="center", va="center", fontsize=9)
    return figure


def comparison_figure(summaries: "Sequence[Summary]", chance: float, theme: Theme) -> Figure:
    """MAP of each method in both directions with 95% intervals, grouped by category.

    The order is that of ``summaries``, from the top.
    """
    groups = [list(group) for _, group in groupby(summaries, key=lambda one: one.category)]
    places, headings, place = [], [], 0.0
    for group in groups:
        headings.append(place)
        places += [place - 1 - row for row in range(len(group))]
        place -= len(group) + 1.4
    figure, (panel,) = _panels(theme, rows=1, height=1.2 + 0.26 * -place)
    for key, label, color, marker, shift in (
        ("audio_to_visual", AUDIO_TO_VISUAL, theme.audio, "o", 0.13),
        ("visual_to_audio", VISUAL_TO_AUDIO, theme.visual, "s", -0.13),
    ):
        estimates = [getattr(one, key) for one in summaries]
        panel.errorbar(
            [estimate.mean for estimate in estimates],
            np.array(places) + shift,
            xerr=[estimate.margin or 0 for estimate in estimates],
            fmt=marker,
            markersize=4,
            lw=1.6,
            color=color,
            label=label,
        )
    panel.axvline(chance, color=theme.faint, linestyle=":", label=f"chance, {chance:.3f}")
    panel.set_yticks(
        [*headings, *places],
        [group[0].category for group in groups] + [one.method for one in summaries],
        parse_math=False,
    )
    for heading in panel.get_yticklabels()[: len(groups)]:
        heading.set(fontstyle="italic", color=theme.faint)
    panel.set(xlim=(0, 1), ylim=(place + 0.8, 0.7), xlabel="MAP on test clips")
    panel.grid(False, axis="y")
    handles, _ = panel.get_legend_handles_labels()
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, frameon=False, labelcolor=theme.ink
    )
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG, 1,024 pixels wide; the same figure gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()


def _panels(theme: Theme, *, rows: int, height: float) -> tuple[Figure, tuple[Axes, ...]]:
    """An empty figure with panels above each other, in the theme's colours."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)
    panels = tuple(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for panel in panels:
        panel.set_facecolor(theme.paper)
        panel.grid(True, color=theme.faint, alpha=0.25, linewidth=0.8)
        panel.set_axisbelow(True)
        panel.spines[:].set_visible(False)
        panel.tick_params(colors=theme.ink, labelsize=10.5, length=0)
        for axis in (panel.xaxis, panel.yaxis):
            axis.label.set(color=theme.ink, fontsize=11.5)
    return figure, panels


def _directions(
    evaluation: Evaluation, theme: Theme
) -> tuple[tuple[DirectionResult, str, str, str], ...]:
    """Result, label, colour and dash of each direction, the same in every figure."""
    return (
        (evaluation.audio_to_visual, AUDIO_TO_VISUAL, theme.audio, "-"),
        (evaluation.visual_to_audio, VISUAL_TO_AUDIO, theme.visual, "--"),
    )


def _curve(panel: Axes, history: History, key: str, **style: Any) -> None:
    """Plot one value over epochs, over those only that have it (validation may be rarer)."""
    points = [(line["epoch"], line[key]) for line in history if line.get(key) is not None]
    # A dot where a line of one point would be invisible.
    panel.plot(*zip(*points, strict=True), marker="o" if len(points) == 1 else "", lw=2, **style)


def _epochs(panels: Sequence[Axes], history: History, theme: Theme) -> None:
    """Label the shared epoch axis, and mark where stage 2 begins."""
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    switch = next((line["epoch"] for line in history if line.get("stage") == 2), None)
    if switch is None or history[0].get("stage") == 2:
        return
    for panel in panels:
        panel.axvline(switch - 0.5, color=theme.faint, linestyle="--", lw=1.2)
    panels[0].annotate(
        "stage 2",
        (switch - 0.5, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        color=theme.ink,
        fontsize=10.5,
    )


def _legend(panel: Axes, theme: Theme) -> None:
    if panel.get_legend_handles_labels()[0]:  # an empty legend is a warning
        panel.legend(frameon=False, labelcolor=theme.ink, fontsize=10.5)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21].rstrip(' ,')}…"
