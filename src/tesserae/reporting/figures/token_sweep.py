"""rFID against a setting of the tokenizer, a line for each series, published beside measured: TaTok, Fig. 3."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tesserae.lineage.work import Work
from tesserae.reporting import published as printed_numbers
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Point, draw_line, left_out, note, say_empty
from tesserae.reporting.figure_inputs import read, reasons
from tesserae.reporting.searches import how, number
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = (("#0072b2", "o"), ("#d55e00", "s"), ("#5e3c99", "^"))
NONE: Mapping[str, Any] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `numbers` of the stage `reconstruction`."""
    spec, rows = work.spec, dict(work.spec["rows"])
    found = {row: read(work, "tokenizers", "numbers", row, "metrics.json") for row in rows}
    printed = {}
    if spec["published"]:
        frame = printed_numbers.load(work.sources["published"])
        there = frame[frame["table"] == spec["published"]]
        printed = {
            row: printed_numbers.lookup(frame, spec["published"], label, "rFID")
            for row, label in rows.items()
            if label in set(there["row"])
        }
    plot(
        stem,
        rows=rows,
        numbers={row: seeds.over_seeds(metrics) for row, metrics in found.items() if metrics},
        x=spec["x"],
        series=spec["series"],
        published=printed,
        reasons=reasons(work, "tokenizers", "numbers"),
        scale=spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    rows: Mapping[str, str],
    numbers: Mapping[str, Mapping[str, Any]],
    x: Mapping[str, Any],
    series: Mapping[str, Sequence[str]] | None,
    scale: str,
    published: Mapping[str, float | None] = NONE,
    reasons: Mapping[str, str] = NONE,
) -> list[Path]:
    """Two panels, published and measured, since their values cannot be compared; of one panel if nothing is printed.

    rows: {key: label}. numbers: row key -> metrics.json over its seeds, of those that were run; reasons: of the others
    why not. x: {"label": what the axis shows, "values": {row key: number}}. series: {name: row keys}, a line each; a
    row may be in several. Raises TableError if numbers were obtained in different ways.
    """
    from matplotlib.figure import Figure

    same_measure({rows[row]: metrics["measure"] for row, metrics in numbers.items()}, where="the measured numbers")
    lines = series or {"": [row for row in rows if row in x["values"]]}
    measured = {row: (found["values"]["rfid"], found["sd"].get("rfid")) for row, found in numbers.items()}
    printed = {row: (value, None) for row, value in published.items() if value is not None}
    panels = [("Published rFID ↓", printed)] if printed else []
    panels += [(f"Measured rFID ↓\n{how(numbers.values())}", measured)]
    with style.look():
        figure = Figure(figsize=(9.2 if len(panels) > 1 else 5.4, 3.9), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        for place, (title, values) in enumerate(panels, 1):
            axes = figure.add_subplot(1, len(panels), place)
            _lines(axes, lines, values, x)
            if not values:
                say_empty(axes, reasons.values())
            axes.set_title(title)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        notes = [f"Measured: scale {scale}; {seeds.spread(numbers.values())}"]
        if printed:
            notes += ["Published: the numbers that the paper's text names; values of the two panels are not comparable"]
        notes += [f"Not run: {left_out({rows[row]: why for row, why in reasons.items()})}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _lines(
    axes: "Axes",
    lines: Mapping[str, Sequence[str]],
    values: Mapping[str, tuple[float, float | None]],
    x: Mapping[str, Any],
) -> None:
    numbers: dict[float, dict[float, str]] = {}  # x -> value -> colour
    for place, (name, keys) in enumerate(lines.items()):
        colour, marker = SERIES[place % len(SERIES)]
        points: list[Point] = sorted((x["values"][key], *values[key]) for key in keys if key in values)
        draw_line(axes, points, colour, marker, name)
        for at, mean, _ in points:
            numbers.setdefault(at, {}).setdefault(mean, colour)
    for at, found in numbers.items():
        for mean, colour in found.items():  # the lowest of several stands below its point
            below = len(found) > 1 and mean == min(found)
            beside = {"xytext": (0, -12 if below else 7), "textcoords": "offset points", "ha": "center"}
            axes.annotate(number(mean), (at, mean), fontsize=7, color=colour, **beside)
    shown = sorted({x["values"][key] for keys in lines.values() for key in keys})
    room = 0.08 * (shown[-1] - shown[0]) or 0.5
    axes.set_xlabel(x["label"])
    axes.set_xticks(shown)
    axes.set_xlim(shown[0] - room, shown[-1] + room)
    axes.margins(y=0.18)
