"""Training curves from the JSON lines that a training leaves beside its weights.

What is given a `stem` writes `stem`.png, .svg and .pdf and returns the paths.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tesserae.reporting import style
from tesserae.reporting.drawing import FigureError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def read_curves(path: str | Path) -> list[dict]:
    """The lines of a curves.jsonl in order of their step; of a step written twice (a resumed run) the last one.

    Raises FigureError, naming file and line, for a line that is not a JSON object with a "step".
    """
    by_step: dict[int, dict] = {}
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            by_step[line["step"]] = line
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise FigureError(f"{path}:{number}: not a JSON object with a step: {text[:80]!r}") from error
    return [by_step[step] for step in sorted(by_step)]


def read_runs(folder: str | Path, runs: Mapping[str, str]) -> dict[str, list[dict]]:
    """The curves of several trainings: {label: artifact, e.g. "tokenizer/detok_sb_joint"} -> {label: lines}.

    A training that left no curves.jsonl has no lines: it was not run.
    """
    files = {label: Path(folder) / artifact / "curves.jsonl" for label, artifact in runs.items()}
    return {label: read_curves(file) if file.is_file() else [] for label, file in files.items()}


def training_curves(
    stem: str | Path,
    *,
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    scale: str,
    terms: Sequence[str] | None = None,
) -> list[Path]:
    """Write what `draw_curves` draws."""
    return style.save(draw_curves(runs=runs, scale=scale, terms=terms), stem)


def draw_curves(
    *, runs: Mapping[str, Sequence[Mapping[str, float]]], scale: str, terms: Sequence[str] | None = None
) -> "Figure":
    """One panel per term, one line per run: label -> lines {"step": ..., term: value, ...} (see `read_curves`).

    Without `terms`, all that any run logs; a run without lines is named as not run. A faint line is the log, a strong
    one its moving mean over a twentieth of the points. Panels of positive losses that change much are
    logarithmic.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    logged = dict.fromkeys(name for lines in runs.values() for line in lines for name in line)
    terms = list(terms or [name for name in logged if name not in ("step", "images", "lr")])
    columns = 2 if len(terms) == 4 else max(1, min(3, len(terms)))
    rows = math.ceil(len(terms) / columns) or 1
    with style.look():
        figure = Figure(figsize=(3.4 * columns + 0.6, 2.5 * rows + 0.9), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        marks = style.marks(runs)
        for axes, term in zip(panels, terms, strict=False):
            _term(
                axes,
                term,
                [
                    (marks[label][0], [(line["step"], line[term]) for line in lines if term in line])
                    for label, lines in runs.items()
                ],
            )
        for axes in panels[len(terms) :]:
            axes.set_visible(False)
        handles = [
            Line2D([], [], color=colour, linewidth=3, label=label if runs[label] else f"{label} (not run)")
            for label, (colour, _) in marks.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=(2, 3, 5)[columns - 1])
        figure.supxlabel(f"Training curves (scale {scale})", fontsize=8, color=style.INK)
    return figure


def _term(axes: "Axes", term: str, runs: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> None:
    """One panel: of each run its colour, which may come again, and (step, value) ...."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    lowest, highest = math.inf, -math.inf
    for colour, points in runs:
        if not points:
            continue
        steps, values = np.array(points, dtype=float).T
        lowest, highest = min(lowest, values.min()), max(highest, values.max())
        window = 1 if term == "lr" else max(1, len(values) // 20)
        axes.plot(
            steps,
            values,
            color=colour,
            alpha=0.25 if window > 1 else 1.0,
            linewidth=1.0,
            marker="o" if len(values) < 3 else None,
            markersize=3,
        )
        if window > 1:
            box = np.ones(window)
            mean = np.convolve(values, box, "same") / np.convolve(np.ones_like(values), box, "same")
            axes.plot(steps, mean, color=colour, linewidth=1.6)
    if lowest > 0 and highest > 3 * lowest and term != "lr":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.set_title(term)
    axes.set_xlabel("step")
