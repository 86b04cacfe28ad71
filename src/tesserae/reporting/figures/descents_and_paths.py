"""The two diagnostics as curves: errors along a descent, and realism between two images: CompTok, Fig. 2, measured.

Shapes: T steps, P pairs, U points.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tesserae.lineage import cells
from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Point, draw_line, left_out, note, say_empty
from tesserae.reporting.figure_inputs import read, reasons_by_label
from tesserae.reporting.searches import how, legend
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DESCENT = "avgig"  # of random starts, in the tokens' own deviations
POINTS = 13  # marks on the line of a descent
NONE: Mapping[str, str] = MappingProxyType({})

Metrics = Sequence[Mapping[str, Any]]  # metrics.json of each seed


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `gain`, of the stage `information_gain`, and its `paths`, of the stage
    `mode_connectivity`.
    """
    rows, group = work.spec["rows"], "tokenizers"
    losses = {label: read(work, group, "paths", row, "paths.npz") for row, label in rows}
    plot(
        stem,
        descents={label: read(work, group, "gain", row, "metrics.json") for row, label in rows},
        paths={label: [arrays["losses"] for arrays in found if "losses" in arrays] for label, found in losses.items()},
        walked={label: read(work, group, "paths", row, "metrics.json") for row, label in rows},
        reasons=(reasons_by_label(work, group, "gain"), reasons_by_label(work, group, "paths")),
        scale=work.spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    descents: Mapping[str, Metrics],
    paths: Mapping[str, Sequence[np.ndarray]],
    walked: Mapping[str, Metrics],
    scale: str,
    reasons: tuple[Mapping[str, str], Mapping[str, str]] = (NONE, NONE),
) -> list[Path]:
    """Left mean squared errors by step, right the critic's loss by the place on the line, a line for each tokenizer.

    descents: label -> metrics.json of the stage `information_gain`, one for each seed; paths: label -> losses (P, U) of
    each seed, and walked: label -> metrics.json of the stage `mode_connectivity`; nothing where it was not run;
    reasons: label -> why, of either. Raises TableError for numbers that were obtained in different ways.
    """
    from matplotlib.figure import Figure

    gains, connectivities = (
        {label: seeds.over_seeds(runs) for label, runs in all_.items() if runs} for all_ in (descents, walked)
    )
    for found in (gains, connectivities):
        same_measure({label: metrics["measure"] for label, metrics in found.items()}, where="the tokenizers")
    marks = style.marks(descents)
    with style.look():
        figure = Figure(figsize=(9.2, 4.0), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        left, right = figure.subplots(1, 2)
        left.set(title="AvgIG: errors along the descent", xlabel="step", ylabel="mean squared error", yscale="log")
        for label, runs in descents.items():
            curves = [run["curves"][DESCENT] for run in runs if DESCENT in run["curves"]]
            if curves and len(curves) == len(runs):
                _line(left, np.array(curves), range(len(curves[0])), marks[label])
        right.set(
            title="MC: realism on the line between two images", xlabel="place on the line, u", ylabel="loss of realism"
        )
        for label, losses in paths.items():
            curves = np.array([each.mean(axis=0) for each in losses])
            if len(curves) and np.isfinite(curves).all():
                _line(right, curves, np.linspace(0, 1, curves.shape[1]).tolist(), marks[label])
        for axes, why in zip((left, right), reasons, strict=True):
            if not axes.lines:
                axes.set_yscale("linear")
                say_empty(axes, why.values() or ["not measured"])
        legend(
            figure, {label: marks[label] for label in descents if label in gains or label in connectivities} or marks
        )
        notes = [
            f"Measured: scale {scale}; descents: {_counted(gains)} images; paths: {how(connectivities.values())}; "
            f"{seeds.spread([*gains.values(), *connectivities.values()])}",
            "Means over images, and over pairs: of each pair the ends are its images as they are decoded. The paper's "
            "figure is a drawing of both",
        ]
        missing = dict(reasons[1]) | dict(reasons[0])
        notes += [f"Not run: {left_out(missing)}"] if missing else []
        note(figure, notes)
        return style.save(figure, stem)


def _counted(found: Mapping[str, Mapping[str, Any]]) -> str:
    return "/".join(map(str, sorted({metrics["measure"]["samples"] for metrics in found.values()}))) or "no"


def _line(axes: "Axes", curves: np.ndarray, xs: Sequence[float], mark: tuple[str, str]) -> None:
    """Means over seeds of curves (seeds, X); not every step has a mark."""
    points: list[Point] = [(x, *cells.over_seeds(values)[:2]) for x, values in zip(xs, curves.T.tolist(), strict=True)]
    before = len(axes.lines)
    draw_line(axes, points, *mark)
    for line in axes.lines[before:]:
        line.set_markevery(max(1, len(points) // POINTS))
