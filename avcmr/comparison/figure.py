"""The figure of a comparison: MAP of every method in both directions."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure

from avcmr.comparison.statistics import Summary
from avcmr.evaluation.report.theme import Theme, empty_panels
from avcmr.modality import LABELS


def comparison_figure(summaries: Sequence[Summary], chance: float, theme: Theme) -> Figure:
    """MAP of each method in both directions with 95% intervals, grouped by category.

    Methods are in the order of ``summaries``, from the top.
    """
    groups = [list(group) for _, group in groupby(summaries, key=lambda one: one.category)]
    places, headings, place = [], [], 0.0
    for group in groups:
        headings.append(place)
        places += [place - 1 - row for row in range(len(group))]
        place -= len(group) + 1.4
    figure, (panel,) = empty_panels(theme, rows=1, height=1.2 + 0.26 * -place)
    for direction, color, marker, shift in (
        ("audio_to_visual", theme.audio, "o", 0.13),
        ("visual_to_audio", theme.visual, "s", -0.13),
    ):
        estimates = [getattr(one, direction) for one in summaries]
        panel.errorbar(
            [estimate.mean for estimate in estimates],
            np.array(places) + shift,
            xerr=[estimate.margin or 0 for estimate in estimates],
            fmt=marker,
            markersize=4,
            lw=1.6,
            color=color,
            label=LABELS[direction],
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
