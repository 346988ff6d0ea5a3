"""The figures of a report, each a pure function from results and a theme to a matplotlib figure.

Built on ``Figure`` without pyplot: no global state, no display and nothing to close. Colours are
Okabe & Ito's, which remain distinct with any colour vision; lines differ in dash as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from avcmr.evaluation.report.theme import LIGHT, WIDTH, Theme, empty_panels
from avcmr.evaluation.results import Results, class_names_of
from avcmr.metrics.collapse import COLLAPSED_BELOW
from avcmr.metrics.metrics import RECALL_LEVELS, DirectionResult, Evaluation
from avcmr.modality import DIRECTIONS, LABELS, Direction
from avcmr.training.history import History, switch_of

ANNOTATED_CLASSES = 15
"""With more classes, numbers no longer fit into the cells of a confusion matrix."""

MAX_RUNS = len(LIGHT.runs)
"""One colour per run; more could not be distinguished."""


def training_figure(runs: Sequence[Results], theme: Theme) -> Figure:
    """Loss and validation MAP over epochs, one above the other."""
    figure, (loss, quality) = empty_panels(theme, rows=2, height=5.6)
    for run, color in _coloured(runs, theme):
        _curve(loss, run.history, "loss", color=color)
    loss.set_ylabel("loss")
    for line in _lines(runs, theme):
        _curve(
            quality,
            line.run.history,
            f"val_map_{line.direction}",
            color=line.color,
            linestyle=line.dash,
            label=line.label,
        )
    quality.set_ylabel("validation MAP")
    _legend(figure, quality, theme)
    _epochs((loss, quality), runs, theme)
    return figure


def collapse_figure(runs: Sequence[Results], theme: Theme) -> Figure:
    """Gauges of collapse over epochs, one per panel, with the threshold of the distance spread."""
    figure, axes = empty_panels(theme, rows=4, height=8.4)
    gauges = ("distance_spread", "mean_distance", "effective_rank", "active_triplets")
    for panel, key in zip(axes, gauges, strict=True):
        for run, color in _coloured(runs, theme):
            name = _name(run) if len(runs) > 1 else "_"
            _curve(panel, run.history, key, color=color, label=name)
        panel.set_ylabel(key.replace("_", " "))
        panel.set_ylim(bottom=0)
    axes[0].axhline(COLLAPSED_BELOW, color=theme.faint, linestyle=":", label="collapse threshold")
    axes[3].set_ylim(0, 1.02)
    axes[3].yaxis.set_major_formatter(PercentFormatter(1))
    _legend(figure, axes[0], theme)
    _epochs(axes, runs, theme)
    return figure


def precision_recall_figure(runs: Sequence[Results], theme: Theme) -> Figure:
    """Interpolated precision over recall in both directions, with that of random rankings."""
    figure, (panel,) = empty_panels(theme, rows=1, height=4.8)
    for line in _lines(runs, theme):
        precision = line.result.precision_curve
        label = f"{line.label}, MAP {line.result.map:.3f}"
        panel.plot(RECALL_LEVELS, precision, line.dash, color=line.color, label=label, lw=2)
    for chance in dict.fromkeys(run.evaluation.audio_to_visual.prevalence for run in runs):
        label = f"random ranking, {chance:.3f}"
        panel.axhline(chance, color=theme.faint, linestyle=":", label=label)
    panel.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    _legend(figure, panel, theme)
    return figure


def class_figure(runs: Sequence[Results], theme: Theme) -> Figure:
    """MAP of each class in both directions, best class on top, with each class's chance level."""
    maps = _by_class(runs, lambda result: result.per_class_map)  # (2, runs, classes)
    chances = _by_class(runs, lambda result: result.per_class_chance)[0]  # (runs, classes)
    order = np.argsort(np.nan_to_num(maps, nan=-1).mean(axis=(0, 1)))  # drawn from the bottom up
    names = [_short(class_names_of(runs)[index]) for index in order]
    height = 1.4 + (0.24 + 0.12 * len(runs)) * len(order)
    figure, (panel,) = empty_panels(theme, rows=1, height=height)
    for number in range(len(runs)):
        _class_lane(panel, runs, number, maps[:, number, order], chances[number, order], theme)
    places = range(len(order))
    for place in places[::2]:  # a band for every other class guides the eye
        panel.axhspan(place - 0.5, place + 0.5, color=theme.faint, alpha=0.08, lw=0, zorder=0)
    panel.set_yticks(places, names, parse_math=False)
    panel.set(xlim=(0, 1.02), ylim=(-0.6, len(order) - 0.4), xlabel="MAP of the class's queries")
    panel.grid(False, axis="y")
    _legend(figure, panel, theme)
    return figure


def _class_lane(
    panel: Axes,
    runs: Sequence[Results],
    number: int,
    maps: NDArray[np.float64],
    chance: NDArray[np.float64],
    theme: Theme,
) -> None:
    """One run's MAP (2, classes) and chance (classes,), on a line of its own in each class."""
    step = 0.7 / len(runs)
    lane = np.arange(len(chance)) + step * ((len(runs) - 1) / 2 - number)
    _, color = _coloured(runs, theme)[number]
    panel.hlines(lane, *maps, color=color, alpha=0.5, lw=1.6)
    for line, values in zip(_lines(runs, theme)[2 * number : 2 * number + 2], maps, strict=True):
        panel.plot(
            values,
            lane,
            linestyle="",
            marker=line.marker,
            markersize=6.5 - 0.4 * len(runs),
            color=line.color,
            label=line.label,
        )
    label = "chance" if number == len(runs) - 1 else "_"
    panel.vlines(chance, lane - 0.4 * step, lane + 0.4 * step, color=theme.faint, lw=2, label=label)


def confusion_figure(evaluation: Evaluation, direction: Direction, theme: Theme) -> Figure:
    """Classes retrieved (columns) by the queries of each class (rows), in one direction."""
    result: DirectionResult = getattr(evaluation, direction)
    query, gallery = direction.split("_to_")
    shares, names = np.array(result.confusion), [_short(name) for name in evaluation.class_names]
    annotated = len(names) <= ANNOTATED_CLASSES
    figure, (panel,) = empty_panels(theme, rows=1, height=WIDTH)
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


@dataclass(frozen=True, slots=True)
class _Line:
    """One direction of one run, with its style in every figure."""

    run: Results
    direction: str
    label: str
    color: str
    dash: str
    marker: str

    @property
    def result(self) -> DirectionResult:
        result: DirectionResult = getattr(self.run.evaluation, self.direction)
        return result


def _lines(runs: Sequence[Results], theme: Theme) -> list[_Line]:
    """Both directions of each run: they differ in dash and marker, and in colour if alone."""
    return [
        _Line(
            run,
            direction,
            label=LABELS[direction] if len(runs) == 1 else f"{_name(run)}, {short}",
            color=own if len(runs) == 1 else color,
            dash=dash,
            marker=marker,
        )
        for run, color in _coloured(runs, theme)
        for direction, short, own, dash, marker in (
            ("audio_to_visual", "a → v", theme.audio, "-", "o"),
            ("visual_to_audio", "v → a", theme.visual, "--", "s"),
        )
    ]


def _coloured(runs: Sequence[Results], theme: Theme) -> list[tuple[Results, str]]:
    """Each run with its colour; a single run is in ink, as its directions have the colours."""
    return list(zip(runs, theme.runs if len(runs) > 1 else [theme.ink], strict=False))


def _by_class(
    runs: Sequence[Results], measure: Callable[[DirectionResult], Sequence[float]]
) -> NDArray[np.float64]:
    """A metric of each class in both directions, (2, runs, classes); NaN if a run lacks one."""
    names = class_names_of(runs)

    def values(run: Results, direction: Direction) -> list[float]:
        measured = measure(getattr(run.evaluation, direction))
        of_class = dict(zip(run.evaluation.class_names, measured, strict=True))
        return [of_class.get(name, np.nan) for name in names]

    return np.array([[values(run, direction) for run in runs] for direction in DIRECTIONS])


def _curve(panel: Axes, history: History, key: str, **style: Any) -> None:
    """Plot one value over the epochs that have it (validation may be less frequent)."""
    points = [(line["epoch"], line[key]) for line in history if line.get(key) is not None]
    if points:
        # A single point is drawn as a dot: its line would be invisible.
        panel.plot(
            *zip(*points, strict=True), marker="o" if len(points) == 1 else "", lw=2, **style
        )


def _epochs(panels: Sequence[Axes], runs: Sequence[Results], theme: Theme) -> None:
    """Label the shared epoch axis, and mark where stage 2 of each run begins."""
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    longest = max((line["epoch"] for run in runs for line in run.history), default=1)
    labelled: list[int] = []
    for run, color in _coloured(runs, theme):
        switch = switch_of(run.history)
        if switch is None:
            continue
        line = color if len(runs) > 1 else theme.faint
        for panel in panels:
            panel.axvline(switch - 0.5, color=line, linestyle="--", lw=1.2)
        if any(abs(switch - other) < 0.12 * longest for other in labelled):
            continue  # the labels would overlap
        labelled.append(switch)
        panels[0].annotate(
            "stage 2",
            (switch - 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            color=color,
            fontsize=10.5,
        )


def _legend(figure: Figure, panel: Axes, theme: Theme) -> None:
    """The legend of one panel, above all panels."""
    handles, labels = panel.get_legend_handles_labels()
    if not handles:  # an empty legend is a warning
        return
    columns = max(1, int(WIDTH // (0.5 + 0.08 * max(map(len, labels)))))  # inches per label
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * (rows - 1))  # panels keep their height
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        labelcolor=theme.ink,
        fontsize=10.5,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _name(run: Results) -> str:
    """The run's name for a legend; matplotlib hides labels that begin with an underscore."""
    return f" {_short(run.name)}" if run.name.startswith("_") else _short(run.name)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21].rstrip(' ,')}…"
