"""FID and IS against guidance: l-DeTok, Figs. 4, B.1 and B.2."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.lineage import cells
from tesserae.lineage.work import Work
from tesserae.reporting import published as printed_numbers
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Point, draw_line, left_out, note, say_empty
from tesserae.reporting.figure_inputs import read
from tesserae.reporting.searches import (
    NONE,
    Place,
    Reasons,
    Searches,
    bars,
    best_found,
    comparable,
    fid,
    how,
    legend,
    read_searches,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(work: Work, stem: Path) -> None:
    """Inputs: the `search` of every row and generator, and its `metrics` if bars show them beside published numbers."""
    spec, shared = work.spec, read_searches(work)
    if not spec["published"]:
        plot(stem, **shared, plotted=spec["source"] is not None)
        return
    printed = printed_numbers.load(work.sources["published"])
    metrics = {
        place: read(work, place[1], "metrics", place[0], "metrics.json")
        for place in shared["searches"]
        if "metrics" in spec["inputs"][place[1]]
    }
    plot(
        stem,
        **shared,
        measured={place: seeds.over_seeds(found) if found else None for place, found in metrics.items()} or None,
        published={
            (row, group): printed_numbers.lookup(printed, spec["published"], shared["rows"][row], f"{group} w/ CFG FID")
            for row, group in shared["searches"]
        },
        published_from=spec["published"],
    )


def plot(
    stem: str | Path,
    *,
    rows: Mapping[str, str],
    generators: Sequence[str],
    searches: Searches,
    scale: str,
    reasons: Reasons = NONE,
    measured: Mapping[Place, Mapping[str, Any] | None] | None = None,
    published: Mapping[Place, float | None] | None = None,
    published_from: str = "",
    plotted: bool = True,
) -> list[Path]:
    """FID and IS against guidance for each tokenizer, one column per generator; the paths of the files.

    rows: {key: label} of the tokenizers. reasons: why places are not run. plotted: whether the paper has this
    figure. With `published` (FID at the best guidance as printed in `published_from`, None for a blank) two panels
    of bars come first, on axes of their own: published, and `measured`: metrics.json with guidance, over its seeds,
    None for not run; without `measured`, the searches' own values.
    Raises TableError if numbers on one axis were obtained in two ways (between generators the sampler may differ),
    FigureError for a search without the point that it selected.
    """
    from matplotlib.figure import Figure

    best = best_found(searches, rows, generators)
    with style.look():
        barred = published is not None
        figure = Figure(figsize=(9.2, 9.6 if barred else 6.2), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.08, hspace=0.04, wspace=0.04)
        half = len(generators)
        grid = figure.add_gridspec(2 + barred, 2 * half, height_ratios=(1.15, 1, 1)[1 - barred :])
        if published is not None:
            numbers = best if measured is None else measured
            comparable(numbers, rows, generators, "the measured bars")
            left, right = figure.add_subplot(grid[0, :half]), figure.add_subplot(grid[0, half:])
            printed = {place: None if value is None else (value, None) for place, value in published.items()}
            bars(left, rows, generators, printed, "not printed")
            left.set_title(f"Published FID, best guidance\n{published_from}")
            measured_fid = {place: fid(metrics) for place, metrics in numbers.items()}
            bars(right, rows, generators, measured_fid, "not run", reasons)
            right.set_title(f"Measured FID, best guidance\n{how(numbers.values())}")
        for column, generator in enumerate(generators):
            found = {key: searches[key, generator] for key in rows}
            missing = {rows[key]: why for (key, group), why in reasons.items() if group == generator}
            for line, (statistic, arrow) in enumerate((("fid", "↓"), ("is", "↑")), start=int(barred)):
                axes = figure.add_subplot(grid[line, 2 * column : 2 * column + 2])
                _curves(axes, rows, found, statistic)
                if not any(found.values()):
                    say_empty(axes, missing.values())
                title = f"{generator}: {statistic.upper()} {arrow}"
                if missing and any(found.values()) and statistic == "fid":
                    title += "\n" + textwrap.fill(f"not run: {left_out(missing)}", 92 // half, break_on_hyphens=False)
                axes.set_title(title)
                axes.set_ylabel("" if column else statistic.upper())
                axes.set_xlabel("guidance scale" if statistic == "is" else "")
        legend(figure, style.marks(rows.values()))
        notes = [f"Curves: scale {scale}, {how(best.values())} at each guidance scale; {seeds.spread(best.values())}"]
        notes += ["Rings: the guidance that a seed selected"]
        notes += ["The paper plots these curves and prints no number of them"] if plotted else []
        notes += ["Published and measured numbers are not comparable in absolute value"] if barred else []
        note(figure, notes)
        return style.save(figure, stem)


def _curves(
    axes: "Axes", rows: Mapping[str, str], searches: Mapping[str, Sequence[Mapping[str, Any]]], statistic: str
) -> None:
    """One line per tokenizer; a ring where a seed selected its guidance."""
    marks = style.marks(rows.values())
    for key, label in rows.items():
        points = curve(searches[key], statistic)
        colour, marker = marks[label]
        draw_line(axes, points, colour, marker)
        selected = {search["selected"]["cfg"]["guidance"] for search in searches[key]}
        chosen = [(x, y) for x, y, _ in points if x in selected]
        if chosen:
            ring = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 1.4}
            axes.plot(*zip(*chosen, strict=True), linestyle="none", marker="o", **ring)


def curve(searches: Sequence[Mapping[str, Any]], statistic: str) -> list[Point]:
    """(guidance, mean, sd) of "fid" or "is" at each guidance that all seeds tried, at the temperature it goes with."""
    found = [
        {
            point["guidance"]: point[statistic]
            for point in search["points"]
            if point["temperature"] == search["selected"]["cfg"]["temperature"]
        }
        for search in searches
    ]
    tried = set.intersection(*map(set, found)) if found else set()
    return [(guidance, *cells.over_seeds([values[guidance] for values in found])[:2]) for guidance in sorted(tried)]
