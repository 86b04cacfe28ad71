"""FID of samples against how fast they are drawn: TaTok, Fig. 1."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.lineage.work import Work
from tesserae.reporting import published as printed_numbers
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import left_out, note, say_empty
from tesserae.reporting.figure_inputs import read, reasons_by_label
from tesserae.reporting.searches import how
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ["T", "gFID"]  # of the table
Measured = Mapping[str, Any]  # a metrics.json, over its seeds


def draw(work: Work, stem: Path) -> None:
    """Inputs: the `metrics` of every row's samples, and `speed`, the throughput of its generator."""
    rows, found = dict(work.spec["rows"]), {}
    (group,) = work.spec["inputs"]
    why = reasons_by_label(work, group, "metrics") | reasons_by_label(work, group, "speed")
    for key, label in rows.items():
        if label not in why:
            quality = seeds.over_seeds(read(work, group, "metrics", key, "metrics.json"))
            found[label] = quality, read(work, group, "speed", key, "metrics.json")[0]
    table = work.spec["published"]
    plot(
        stem,
        published=printed_pairs(printed_numbers.load(work.sources["published"]), table) if table else {},
        published_from=table,
        measured=found,
        scale=work.spec["scale"],
        reasons=why,
    )


def printed_pairs(printed: "pd.DataFrame", table: str) -> dict[str, tuple[float, float]]:
    """Row -> (images a second, FID), of the rows of which a paper's table prints both, in its order."""
    of_it = printed[(printed["table"] == table) & printed["column"].isin(COLUMNS) & printed["value"].notna()]
    numbers = of_it.pivot(index="row", columns="column", values="value").reindex(columns=COLUMNS).dropna()
    return {row: tuple(numbers.loc[row]) for row in dict.fromkeys(of_it["row"]) if row in numbers.index}


def plot(
    stem: str | Path,
    *,
    published: Mapping[str, tuple[float, float]],
    published_from: str | None,
    measured: Mapping[str, tuple[Measured, Measured]],
    scale: str,
    reasons: Mapping[str, str],
) -> list[Path]:
    """Two panels, as printed (if anything is) and as measured; the paths of the files.

    published: label -> (images a second, FID). measured: label -> metrics.json of its samples over their seeds, and of
    its throughput. reasons: label -> why it is not run. Raises TableError for numbers that were measured in two ways.
    """
    from matplotlib.figure import Figure

    how_good = {label: quality["measure"] for label, (quality, _) in measured.items()}
    own = ("sampler", "selection", "reference", "precision_recall_reference")  # each generator has its own
    alike = {label: {k: v for k, v in one.items() if k not in own} for label, one in how_good.items()}
    same_measure(alike, where="FID")
    same_measure({label: speed["measure"] for label, (_, speed) in measured.items()}, where="images a second")
    marks = style.marks([*published, *measured])
    with style.look():
        figure = Figure(figsize=(10.8, 4.2), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        panels = figure.subplots(1, 2 if published else 1, squeeze=False)[0]
        if published:
            _points(panels[0], published, marks)
            panels[0].set_title(f"Published: {published_from}\nimages a second on an A100")
        points = {
            label: (speed["values"]["samples_per_second"], quality["values"]["fid"])
            for label, (quality, speed) in measured.items()
        }
        device = next((f"images a second on {speed['measure']['device']}" for _, speed in measured.values()), "")
        _points(panels[-1], points, marks)
        if not points:
            say_empty(panels[-1], reasons.values())
        panels[-1].set_title(f"Measured: {how(quality for quality, _ in measured.values())}\n{device}")
        panels[0].set_ylabel("FID of samples ↓")
        _legend(figure, marks)
        notes = [f"Measured: scale {scale}; {seeds.spread([quality for quality, _ in measured.values()])}"]
        notes += ["Published and measured numbers are not comparable in absolute value"] if published else []
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _points(axes: "Axes", points: Mapping[str, tuple[float, float]], marks: Mapping[str, tuple[str, str]]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for label, (speed, fid) in points.items():
        colour, marker = marks[label]
        axes.plot([speed], [fid], color=colour, marker=marker, markersize=8, linestyle="none")
    if points:
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    axes.margins(0.12)
    axes.set_xlabel("images a second →")


def _legend(figure: "Figure", marks: Mapping[str, tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=7, linestyle="none", label=label)
        for label, (colour, marker) in marks.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=7.5)
