"""FID at the best guidance against a setting of the tokenizer: l-DeTok, Figs. 2 and 3."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import draw_line, left_out, note
from tesserae.reporting.searches import (
    NONE,
    Reasons,
    Searches,
    bars,
    best_found,
    fid,
    how,
    legend,
    number,
    read_searches,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = (("#0072b2", "o"), ("#d55e00", "s"), ("#5e3c99", "^"))


def draw(work: Work, stem: Path) -> None:
    """Inputs: the `search` of every row and generator."""
    plot(stem, **read_searches(work), x=work.spec["x"], series=work.spec["series"])


def plot(
    stem: str | Path,
    *,
    rows: Mapping[str, str],
    generators: Sequence[str],
    searches: Searches,
    scale: str,
    reasons: Reasons = NONE,
    x: Mapping[str, Any] | None = None,
    series: Mapping[str, Sequence[str]] | None = None,
) -> list[Path]:
    """FID at the best guidance against a setting of the tokenizer, one panel per generator; the paths of the files.

    reasons: why places are not run. Without `x`, a bar per row. x: {"label": what the axis shows, "values": {row
    key: number}} makes points joined by a line; series: {name: row keys} makes several lines. Rows that have no
    number or, of several lines, are in none, are dashed levels. Numbers are the searches' own.
    Raises TableError if numbers on one axis were obtained in two ways (between generators the sampler may differ),
    FigureError for a search without the point that it selected.
    """
    from matplotlib.figure import Figure

    best = best_found(searches, rows, generators)
    values = {place: fid(metrics) for place, metrics in best.items()}
    with style.look():
        figure = Figure(figsize=(9.2, 3.9), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        for panel, generator in enumerate(generators, 1):
            axes = figure.add_subplot(1, len(generators), panel)
            found = {key: values[key, generator] for key in rows}
            if x is None:
                shown = {(key, generator): value for key, value in found.items()}
                bars(axes, rows, [generator], shown, "not run", reasons)
                axes.set_xticks([])
            else:
                missing = {key: why for (key, group), why in reasons.items() if group == generator}
                _settings(axes, rows, found, x, series or {"": [key for key in rows if key in x["values"]]}, missing)
            axes.set_title(f"{generator}: FID ↓ at its best guidance")
            axes.set_ylabel("" if panel > 1 else "FID")
        if x is None:
            legend(figure, style.marks(rows.values()))
        elif figure.axes[0].get_legend_handles_labels()[1]:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        notes = [f"Measured: scale {scale}, {how(best.values())}, as in the search; {seeds.spread(best.values())}"]
        notes += ["The paper plots this figure and prints no number: nothing published is drawn"]
        notes += [f"Not run: {left_out(_named(reasons, rows, generators))}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _named(reasons: Reasons, rows: Mapping[str, str], generators: Sequence[str]) -> dict[str, str]:
    """Why places are not run, by their names; a row that no generator is run with is named once."""
    found = {}
    for key, label in rows.items():
        whys = [reasons.get((key, generator)) for generator in generators]
        if whys[0] and len(set(whys)) == 1:
            found[label] = whys[0]
        else:
            found |= {f"{one} with {label}": why for one, why in zip(generators, whys, strict=True) if why}
    return found


def _settings(
    axes: "Axes",
    rows: Mapping[str, str],
    values: Mapping[str, tuple[float, float | None] | None],
    x: Mapping[str, Any],
    series: Mapping[str, Sequence[str]],
    missing: Mapping[str, str],
) -> None:
    """Lines over the numbers of their rows; rows without a number, or in no line, as levels.

    missing: row key -> why it is not run, which stands upright where its point would be.
    """
    plotted = {key for keys in series.values() for key in keys if key in x["values"]}
    for key, label in rows.items():
        if key not in plotted and values[key] is not None:
            axes.axhline(values[key][0], color=style.NEUTRAL, linestyle="--", linewidth=1.2, label=label)
    for line, (name, keys) in enumerate(series.items()):
        points = sorted((x["values"][key], *values[key]) for key in keys if key in plotted and values[key] is not None)
        colour, marker = SERIES[line % len(SERIES)]
        draw_line(axes, points, colour, marker, label=name)
        for at, mean, _ in points:
            place = {"xytext": (0, -11 if line % 2 else 6), "textcoords": "offset points", "ha": "center"}
            axes.annotate(number(mean), (at, mean), fontsize=7, color=colour, **place)
    left_empty: dict[float, list[str]] = {}
    for name, keys in series.items():
        for key in keys:
            if key in plotted and key in missing:
                left_empty.setdefault(x["values"][key], []).append(": ".join(filter(None, [name, missing[key]])))
    for at, texts in left_empty.items():
        upright = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 7, "color": style.NEUTRAL}
        axes.text(at, 0.03, "\n".join(texts), transform=axes.get_xaxis_transform(), **upright)
    ticks = sorted({x["values"][key] for key in plotted})
    room = 0.08 * (ticks[-1] - ticks[0]) or 0.5
    axes.margins(y=0.16)
    axes.set_xlabel(x["label"])
    axes.set_xticks(ticks)
    axes.set_xlim(ticks[0] - room, ticks[-1] + room)
    if not any(values.values()):
        axes.set_yticks([])
