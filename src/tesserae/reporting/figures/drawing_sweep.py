"""rFID and PSNR against the steps of a decoder and against its guidance, a line for each tokenizer: COMiT, Fig. 5."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tesserae.lineage import cells
from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import FigureError, Point, draw_line, left_out, note, say_empty
from tesserae.reporting.figure_inputs import read, reasons_by_label
from tesserae.reporting.searches import how, legend, number
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUMBERS = {"rfid": "rFID ↓", "psnr": "PSNR ↑ (dB)"}
SWEPT = {"steps": "evaluations of the velocity", "guidance": "guidance (1: none)"}
NONE: Mapping[str, str] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `numbers` of the stage `drawing_sweep`."""
    plot(
        stem,
        tokenizers={
            label: read(work, "tokenizers", "numbers", row, "metrics.json") for row, label in work.spec["rows"]
        },
        reasons=reasons_by_label(work, "tokenizers", "numbers"),
        scale=work.spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Sequence[Mapping[str, Any]]],
    scale: str,
    reasons: Mapping[str, str] = NONE,
) -> list[Path]:
    """Two columns of panels, steps and guidance; in each a line for each tokenizer, a ring where its recipe draws.

    tokenizers: label -> metrics.json of the stage `drawing_sweep`, once for each seed, none where it was not run;
    reasons: label -> why. Raises FigureError for seeds that were swept at other points, TableError for numbers that
    were obtained in different ways.
    """
    from matplotlib.figure import Figure

    runs = {label: found for label, found in tokenizers.items() if found}
    joined = {label: seeds.over_seeds(found) for label, found in runs.items()}
    same_measure({label: metrics["measure"] for label, metrics in joined.items()}, where="the tokenizers")
    marks = style.marks(tokenizers)
    with style.look():
        figure = Figure(figsize=(9.2, 6.6), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        for line, (name, title) in enumerate(NUMBERS.items()):
            for column, (swept, text) in enumerate(SWEPT.items()):
                axes = figure.add_subplot(2, 2, 2 * line + column + 1)
                axes.set_title(f"{title} against {swept}")
                axes.set_xlabel(text)
                owns = {label: metrics["values"][name] for label, metrics in joined.items()}
                for label, found in runs.items():
                    below = len(owns) > 1 and owns[label] == min(owns.values())  # numbers of two lines would overlap
                    _curve(axes, label, found, swept, name, marks[label], below=below)
                if not runs:
                    say_empty(axes, reasons.values())
                else:
                    axes.set_xscale("log" if swept == "steps" else "linear")
                    ticks = sorted({at for found in runs.values() for at in found[0]["curves"][swept]["at"]})
                    axes.set_xticks(ticks, [f"{at:g}" for at in ticks])
                    axes.minorticks_off()
                axes.margins(y=0.2)
        if runs:
            legend(figure, {label: marks[label] for label in runs})
        notes = [f"Measured: scale {scale}, {how(joined.values())}; {seeds.spread(joined.values())}"]
        notes += ["Rings: as the recipe draws; of the two settings the other one is the recipe's"]
        notes += ["The paper plots these curves and prints no number of them"]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _curve(
    axes: "Axes",
    label: str,
    found: Sequence[Mapping[str, Any]],
    swept: str,
    name: str,
    mark: tuple[str, str],
    *,
    below: bool,
) -> None:
    """The line of one tokenizer; found: of each seed; below: where the number at its ring stands."""
    curves = [run["curves"][swept] for run in found]
    if any(curve["at"] != curves[0]["at"] for curve in curves):
        raise FigureError(f"seeds of {label} were swept at different {swept}")
    by_level = zip(*(curve[name] for curve in curves), strict=True)
    points: list[Point] = [
        (at, *cells.over_seeds(values)[:2]) for at, values in zip(curves[0]["at"], by_level, strict=True)
    ]
    draw_line(axes, points, *mark)
    own = found[0]["own"][list(SWEPT).index(swept)]
    for at, mean, _ in points:
        if at == own:
            ring = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": mark[0], "markeredgewidth": 1.4}
            axes.plot([at], [mean], linestyle="none", marker="o", **ring)
            beside = {"xytext": (0, -16 if below else 9), "textcoords": "offset points", "ha": "center"}
            axes.annotate(number(mean), (at, mean), fontsize=7, color=mark[0], **beside)
