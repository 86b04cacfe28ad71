"""rFID and PSNR without more and more patches, at the start, at the end and anywhere: TaTok, Fig. 4."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tesserae.lineage import cells
from tesserae.lineage.work import Work
from tesserae.reporting import published as printed_numbers
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import FigureError, Point, draw_line, left_out, note, say_empty
from tesserae.reporting.figure_inputs import read, reasons_by_label
from tesserae.reporting.searches import how, number
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHERE = {"end": ("#0072b2", "o"), "start": ("#d55e00", "s"), "random": ("#5e3c99", "^")}
NUMBERS = {"rfid": "rFID ↓", "psnr": "PSNR ↑ (dB)"}
WIDE = 20  # times the lowest rFID: beyond, what differs at the lower end would lie on one line
NONE: Mapping[str, Any] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `numbers` of the stage `truncation`."""
    spec, printed = work.spec, None
    if spec["published"]:
        frame = printed_numbers.load(work.sources["published"])
        there = frame[(frame["table"] == spec["published"]) & (frame["column"] == "rFID")]
        printed = dict(zip(there["row"], there["value"].tolist(), strict=True))
    plot(
        stem,
        tokenizers={label: read(work, "tokenizers", "numbers", row, "metrics.json") for row, label in spec["rows"]},
        published=printed or {},
        published_from=spec["published"] or "",
        reasons=reasons_by_label(work, "tokenizers", "numbers"),
        scale=spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Sequence[Mapping[str, Any]]],
    scale: str,
    published: Mapping[str, float] = NONE,
    published_from: str = "",
    reasons: Mapping[str, str] = NONE,
) -> list[Path]:
    """A row of panels for rFID and one for PSNR, a column for each tokenizer; printed numbers stand below in words.

    tokenizers: label -> metrics.json of the stage `truncation`, once for each seed, none where it was not run; reasons:
    label -> why. published: row -> rFID as printed in `published_from`. Raises FigureError for curves at other numbers
    of patches, TableError for numbers that were obtained in different ways.
    """
    from matplotlib.figure import Figure

    runs = {label: found for label, found in tokenizers.items() if found}
    every = [run for found in runs.values() for run in found]
    same_measure({label: found[0]["measure"] for label, found in runs.items()}, where="the tokenizers")
    if any(run["curves"][name] != every[0]["curves"][name] for run in every for name in ("removed", "patches")):
        raise FigureError("tokenizers or seeds lost different numbers of patches")
    with style.look():
        figure = Figure(figsize=(2.2 + 3.5 * max(len(tokenizers), 1), 6.6), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.1)
        grid = figure.add_gridspec(len(NUMBERS), len(tokenizers))
        for line, (name, title) in enumerate(NUMBERS.items()):
            for column, label in enumerate(tokenizers):
                axes = figure.add_subplot(grid[line, column])
                axes.set_title(f"{label}: {title}")
                if label in runs:
                    _curves(axes, [run["curves"] for run in runs[label]], name)
                else:
                    say_empty(axes, [reasons.get(label, "not run")])
                if line == len(NUMBERS) - 1:
                    axes.set_xlabel("patches taken away")
        first = next((axes for axes in figure.axes if axes.get_legend_handles_labels()[0]), None)
        if first is not None:
            figure.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=len(WHERE))
        counted = [{"seeds": len(found)} for found in runs.values()]
        notes = [f"Measured: scale {scale}, {how(every)}; {seeds.spread(counted)}"]
        if every:
            curves = every[0]["curves"]
            ours = f"{curves['patches'][-1] + 1} patches here, {curves['removed'][-1] + 1} in the paper"
            notes += [f"Of {ours}; at most all but one are taken away"]
        if published:
            said = ", ".join(f"{row} {number(value)}" for row, value in published.items())
            notes += [f"Published rFID ({published_from}), not comparable in absolute value: {said}"]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _curves(axes: "Axes", curves: Sequence[Mapping[str, Any]], name: str) -> None:
    """A line for each place where patches are taken away; curves: of each seed."""
    for where, (colour, marker) in WHERE.items():
        by_level = zip(*(curve[name][where] for curve in curves), strict=True)
        points: list[Point] = [
            (many, *cells.over_seeds(values)[:2]) for many, values in zip(curves[0]["patches"], by_level, strict=True)
        ]
        draw_line(axes, points, colour, marker, f"from the {where}" if where != "random" else "at random")
    shown = [value for curve in curves for values in curve[name].values() for value in values]
    if name == "rfid" and max(shown) > WIDE * min(shown) > 0:
        axes.set_yscale("log")
    axes.margins(y=0.1)
