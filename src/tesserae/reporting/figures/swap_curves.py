"""What happens along rows of swapped tokens, in numbers: realism, likeness to both images, single tokens (ours).

Shapes: R columns, P pairs, M tokens.
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
from tesserae.reporting.figure_inputs import measured, reasons_by_label
from tesserae.reporting.searches import how, legend
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REALISM = {"loss": "any tokens first", "loss_prefix": "first tokens first"}
SHARE = "share of the tokens that are B's"
LEAST = 1e-8  # of a change, on a logarithmic axis
NONE: Mapping[str, str] = MappingProxyType({})

Runs = Mapping[str, tuple[Mapping[str, np.ndarray], Sequence[Mapping[str, Any]]]]


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `swaps`, of the stage `swaps`."""
    plot(
        stem,
        tokenizers={
            label: (arrays, found) for label, arrays, found in measured(work, "tokenizers", "swaps", "swaps.npz")
        },
        reasons=reasons_by_label(work, "tokenizers", "swaps"),
        scale=work.spec["scale"],
    )


def plot(stem: str | Path, *, tokenizers: Runs, scale: str, reasons: Mapping[str, str] = NONE) -> list[Path]:
    """Four panels: the critic's loss by column in both orders, likeness to both images, and what each token changes.

    tokenizers: label -> arrays of the first seed and metrics.json of each seed, of the stage `swaps`; reasons: label ->
    why it was not run. Raises TableError for numbers that were obtained in different ways.
    """
    from matplotlib.figure import Figure

    joined = {label: seeds.over_seeds(found) for label, (_, found) in tokenizers.items()}
    same_measure({label: metrics["measure"] for label, metrics in joined.items()}, where="the tokenizers")
    marks = style.marks([*tokenizers, *reasons])
    with style.look():
        figure = Figure(figsize=(9.2, 7.0), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        panels = [figure.add_subplot(2, 2, place) for place in range(1, 5)]
        for axes, (name, order) in zip(panels, REALISM.items(), strict=False):
            axes.set(title=f"Loss of realism, {order}", xlabel=SHARE)
            _lines(axes, tokenizers, name, marks)
        panels[2].set(
            title="Likeness to A (falling) and to B (rising), any tokens first", xlabel=SHARE, ylabel="cosine"
        )
        for name, dashes in (("first", "--"), ("second", "-")):
            _lines(panels[2], tokenizers, name, marks, dashes)
        panels[3].set(title="Change by one token: mean squared error", xlabel="place of the token, from first to last")
        for label, (arrays, _) in tokenizers.items():
            _changes(panels[3], arrays["sensitivities"], marks[label][0])
        for axes in panels:
            if not axes.lines:
                say_empty(axes, reasons.values() or ["not measured"])
        if tokenizers:
            legend(figure, {label: marks[label] for label in tokenizers})
        notes = [f"Measured: scale {scale}, {how(joined.values())}; {seeds.spread(joined.values())}"]
        notes += ["Ours: the paper shows pictures and measures nothing of them"]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _lines(axes: "Axes", tokenizers: Runs, name: str, marks: Mapping[str, tuple[str, str]], dashes: str = "-") -> None:
    """Of every tokenizer that has it, the curve of that name over seeds."""
    for label, (_, found) in tokenizers.items():
        curves = [run["curves"][name] for run in found if name in run["curves"]]
        if len(curves) < len(found):
            continue  # not finite: its number says so
        by_column = [cells.over_seeds(values)[:2] for values in zip(*curves, strict=True)]
        shares = np.linspace(0, 1, len(by_column)).tolist()
        points: list[Point] = [(share, *found) for share, found in zip(shares, by_column, strict=True)]
        before = len(axes.lines)
        draw_line(axes, points, *marks[label])
        for line in axes.lines[before:]:
            line.set_linestyle(dashes)


def _changes(axes: "Axes", sensitivities: np.ndarray, colour: str) -> None:
    """Means over pairs (P, M) of what each token changes, which is not known of one that never differs."""
    there = ~np.isnan(sensitivities)
    counted = there.sum(axis=0)
    means = np.where(there, sensitivities, 0).sum(axis=0)[counted > 0] / counted[counted > 0]
    if len(means) == 0 or not np.isfinite(means).all():
        return
    places = (np.flatnonzero(counted > 0) + 0.5) / len(counted)
    axes.plot(places, np.maximum(means, LEAST), color=colour, linewidth=1.1)
    axes.set_yscale("log")
