"""How well codes are read, and images rebuilt, at growing sizes of the bottleneck: COMiT, Fig. 5 and App. B.5."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Point, draw_line, left_out, note, say_empty
from tesserae.reporting.figure_inputs import read, reasons
from tesserae.reporting.searches import how, number
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00")
NONE: Mapping[str, Any] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `numbers` of its reconstructions, and of a `probe` of its codes."""
    found = {
        role: {row: read(work, "tokenizers", role, row, "metrics.json") for row, _ in work.spec["rows"]}
        for role in ("probe", "numbers")
    }
    plot(
        stem,
        rows=dict(work.spec["rows"]),
        **{
            role: {row: seeds.over_seeds(metrics) for row, metrics in some.items() if metrics}
            for role, some in found.items()
        },
        reasons=reasons(work, "tokenizers", "numbers") | reasons(work, "tokenizers", "probe"),
        scale=work.spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    rows: Mapping[str, str],
    probe: Mapping[str, Mapping[str, Any]],
    numbers: Mapping[str, Mapping[str, Any]],
    scale: str,
    reasons: Mapping[str, str] = NONE,
) -> list[Path]:
    """Two panels, accuracy of the probe, with chance, and PSNR of reconstructions, over the rows in their order.

    rows: {key: label}; probe, numbers: row key -> metrics.json over its seeds, of those that were run; reasons: of the
    others why not. Raises TableError if numbers were obtained in different ways.
    """
    from matplotlib.figure import Figure

    places = {row: place for place, row in enumerate(rows)}
    with style.look():
        figure = Figure(figsize=(9.2, 3.6), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        panels = (("Accuracy ↑ (percent)", "accuracy", probe), ("PSNR ↑ (dB)", "psnr", numbers))
        for place, (title, value, found) in enumerate(panels):
            same_measure({rows[row]: metrics["measure"] for row, metrics in found.items()}, where=title)
            axes = figure.add_subplot(1, 2, place + 1)
            axes.set_title(f"{title}\n{how(found.values())}")
            _line(axes, {places[row]: metrics for row, metrics in found.items()}, value, COLOURS[place])
            if value == "accuracy" and found:
                chance = next(iter(found.values()))["values"]["chance"]
                axes.axhline(chance, color=style.NEUTRAL, linestyle="--", linewidth=1.2, label=f"chance {chance:.1f}")
                axes.legend(loc="best")
            if found:
                axes.set_xticks(list(places.values()), list(rows.values()))
                axes.set_xlim(-0.4, len(rows) - 0.6)
                axes.margins(y=0.2)
            else:
                say_empty(axes, reasons.values())
        measured = [*probe.values(), *numbers.values()]
        notes = [f"Measured: scale {scale}; {seeds.spread(measured)}"]
        notes += ["The paper plots this figure and prints no number of the smaller sizes: nothing published is drawn"]
        notes += [f"Not run: {left_out({rows[row]: why for row, why in reasons.items()})}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _line(axes: "Axes", found: Mapping[int, Mapping[str, Any]], value: str, colour: str) -> None:
    points: list[Point] = [
        (place, metrics["values"][value], metrics["sd"].get(value)) for place, metrics in sorted(found.items())
    ]
    draw_line(axes, points, colour, "o")
    for at, mean, _ in points:
        beside = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center"}
        axes.annotate(number(mean), (at, mean), fontsize=8, color=colour, **beside)
