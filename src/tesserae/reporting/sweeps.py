"""FID and IS of generators against a setting of their tokenizer, or against guidance, from the searches of all seeds.

Every function writes `stem`.png, .svg and .pdf and returns the paths. Searches are contents of search.json by (row key,
generator), one for each seed, none where nothing was run; `reasons` say why.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.lineage import cells
from tesserae.lineage.measures.base import CHOSEN
from tesserae.lineage.measures.registry import kind_of
from tesserae.reporting import seeds, style
from tesserae.reporting.figures import FigureError, note
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = tuple[str, str]  # row key, generator
Searches = Mapping[Place, Sequence[Mapping[str, Any]]]
Point = tuple[float, float, float | None]  # x, mean over seeds, their sample standard deviation

MANY = 10  # bars in one panel: the numbers above more of them stand upright
SERIES = (("#0072b2", "o"), ("#d55e00", "s"), ("#5e3c99", "^"))


# ---- numbers ----------------------------------------------------------------------------------------------------


def best_found(searches: Sequence[Mapping[str, Any]], where: str) -> dict[str, Any] | None:
    """A recipe's own values at the guidance that each of its seeds selected, as one metrics.json; None if not run.

    Raises FigureError, naming `where`, for a search without the point that it selected.
    """
    return seeds.over_seeds([_at_selected(search, where) for search in searches]) if searches else None


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


def _at_selected(search: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A search's own values at the guidance it selected, in the form of metrics.json."""
    chosen = search["selected"]["cfg"]
    for point in search["points"]:
        if all(point[name] == chosen[name] for name in CHOSEN):
            values = {name: point[name] for name in ("fid", "is")}
            return {"values": values, "measure": search["measure"], "measure_id": search["measure_id"]}
    raise FigureError(f"the search of {where} has no point at its selected {chosen}")


def _comparable(
    found: Mapping[Place, Mapping[str, Any] | None], rows: Mapping[str, str], generators: Sequence[str], what: str
) -> None:
    """TableError unless numbers of one generator were obtained in one way, and those of others but for the sampler."""
    for generator in generators:
        measures = {label: (found[key, generator] or {}).get("measure") for key, label in rows.items()}
        same_measure(measures, where=f"{what} of {generator}")
    own = ("sampler", "selection")
    shared = {
        f"{generator} with {rows[key]}": {name: value for name, value in metrics["measure"].items() if name not in own}
        for (key, generator), metrics in found.items()
        if metrics
    }
    same_measure(shared, where=what)


# ---- against guidance -------------------------------------------------------------------------------------------


def guidance_curves(
    stem: str | Path,
    *,
    rows: Mapping[str, str],
    generators: Sequence[str],
    searches: Searches,
    scale: str,
    reasons: Sequence[str] = (),
    measured: Mapping[Place, Mapping[str, Any] | None] | None = None,
    published: Mapping[Place, float | None] | None = None,
    published_from: str = "",
    plotted: bool = True,
) -> list[Path]:
    """l-DeTok, Figs. 4, B.1 and B.2: FID and IS against guidance for each tokenizer, one column per generator.

    rows: {key: label} of the tokenizers. plotted: whether the paper has this figure. With `published` (FID at the best
    guidance as printed in `published_from`, None for a blank) two panels of bars come first, on axes of their own:
    published, and `measured`: metrics.json with guidance, over its seeds, None for not run; without `measured`, the
    searches' own values.
    Raises TableError if numbers on one axis were obtained in two ways (between generators the sampler may differ),
    FigureError for a search without the point that it selected.
    """
    from matplotlib.figure import Figure

    best = {place: best_found(found, f"{rows[place[0]]}, {place[1]}") for place, found in searches.items()}
    _comparable(best, rows, generators, "the searches")
    with style.look():
        bars = published is not None
        figure = Figure(figsize=(9.2, 9.6 if bars else 6.2), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.08, hspace=0.04, wspace=0.04)
        half = len(generators)
        grid = figure.add_gridspec(2 + bars, 2 * half, height_ratios=(1.15, 1, 1)[1 - bars :])
        if published is not None:
            numbers = best if measured is None else measured
            _comparable(numbers, rows, generators, "the measured bars")
            left, right = figure.add_subplot(grid[0, :half]), figure.add_subplot(grid[0, half:])
            printed = {place: None if value is None else (value, None) for place, value in published.items()}
            _bars(left, rows, generators, printed, "not printed")
            left.set_title(f"Published FID, best guidance\n{published_from}")
            _bars(right, rows, generators, {place: _fid(metrics) for place, metrics in numbers.items()}, "not run")
            right.set_title(f"Measured FID, best guidance\n{_how(numbers.values())}")
        for column, generator in enumerate(generators):
            found = {key: searches[key, generator] for key in rows}
            missing = [label for key, label in rows.items() if not found[key]]
            for line, (statistic, arrow) in enumerate((("fid", "↓"), ("is", "↑")), start=int(bars)):
                axes = figure.add_subplot(grid[line, 2 * column : 2 * column + 2])
                _curves(axes, rows, found, statistic)
                title = f"{generator}: {statistic.upper()} {arrow}"
                if missing:
                    title += "\n" + textwrap.fill(f"not run: {', '.join(missing)}", 92 // half)
                axes.set_title(title)
                axes.set_ylabel("" if column else statistic.upper())
                axes.set_xlabel("guidance scale" if statistic == "is" else "")
        _legend(figure, style.marks(rows.values()))
        notes = [f"Curves: scale {scale}, {_how(best.values())} at each guidance scale; {seeds.spread(best.values())}"]
        notes += ["Rings: the guidance that a seed selected"]
        notes += ["The paper plots these curves and prints no number of them"] if plotted else []
        notes += ["Published and measured numbers are not comparable in absolute value"] if bars else []
        notes += [f"Not run: {'; '.join(reasons)}"] if reasons else []
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
    if not any(searches.values()):
        axes.set_xticks([])
        axes.set_yticks([])


# ---- against a setting of the tokenizer -------------------------------------------------------------------------


def sweep(
    stem: str | Path,
    *,
    rows: Mapping[str, str],
    generators: Sequence[str],
    searches: Searches,
    scale: str,
    reasons: Sequence[str] = (),
    x: Mapping[str, Any] | None = None,
    series: Mapping[str, Sequence[str]] | None = None,
) -> list[Path]:
    """l-DeTok, Figs. 2 and 3: FID at the best guidance against a setting of the tokenizer, one panel per generator.

    Without `x`, a bar per row. x: {"label": what the axis shows, "values": {row key: number}} makes points joined by a
    line; series: {name: row keys} makes several lines. Rows that have no number or, of several lines, are in none, are
    dashed levels. Numbers are the searches' own. Errors as `guidance_curves`.
    """
    from matplotlib.figure import Figure

    best = {place: best_found(found, f"{rows[place[0]]}, {place[1]}") for place, found in searches.items()}
    _comparable(best, rows, generators, "the searches")
    values = {place: _fid(metrics) for place, metrics in best.items()}
    with style.look():
        figure = Figure(figsize=(9.2, 3.9), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12)
        for number, generator in enumerate(generators, 1):
            axes = figure.add_subplot(1, len(generators), number)
            found = {key: values[key, generator] for key in rows}
            if x is None:
                _bars(axes, rows, [generator], {(key, generator): value for key, value in found.items()}, "not run")
                axes.set_xticks([])
            else:
                _settings(axes, rows, found, x, series or {"": [key for key in rows if key in x["values"]]})
            axes.set_title(f"{generator}: FID ↓ at its best guidance")
            axes.set_ylabel("" if number > 1 else "FID")
        if x is None:
            _legend(figure, style.marks(rows.values()))
        elif figure.axes[0].get_legend_handles_labels()[1]:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        notes = [f"Measured: scale {scale}, {_how(best.values())}, as in the search; {seeds.spread(best.values())}"]
        notes += ["The paper plots this figure and prints no number: nothing published is drawn"]
        missing = [f"{generator} with {rows[key]}" for (key, generator), metrics in best.items() if metrics is None]
        notes += [": ".join(["Not run", ", ".join(missing), *filter(None, ["; ".join(reasons)])])] if missing else []
        note(figure, notes)
        return style.save(figure, stem)


def _settings(
    axes: "Axes",
    rows: Mapping[str, str],
    values: Mapping[str, tuple[float, float | None] | None],
    x: Mapping[str, Any],
    series: Mapping[str, Sequence[str]],
) -> None:
    """Lines over the numbers of their rows; rows without a number, or in no line, as levels."""
    drawn = {key for keys in series.values() for key in keys if key in x["values"]}
    for key, label in rows.items():
        if key not in drawn and values[key] is not None:
            axes.axhline(values[key][0], color=style.NEUTRAL, linestyle="--", linewidth=1.2, label=label)
    for number, (name, keys) in enumerate(series.items()):
        points = sorted((x["values"][key], *values[key]) for key in keys if key in drawn and values[key] is not None)
        colour, marker = SERIES[number % len(SERIES)]
        draw_line(axes, points, colour, marker, label=name)
        for at, mean, _ in points:
            place = {"xytext": (0, -11 if number % 2 else 6), "textcoords": "offset points", "ha": "center"}
            axes.annotate(_number(mean), (at, mean), fontsize=7, color=colour, **place)
    axes.margins(x=0.08, y=0.16)
    axes.set_xlabel(x["label"])
    axes.set_xticks(sorted({x["values"][key] for key in drawn}))


# ---- parts ------------------------------------------------------------------------------------------------------


def _fid(metrics: Mapping[str, Any] | None) -> tuple[float, float | None] | None:
    return metrics and (metrics["values"]["fid"], metrics.get("sd", {}).get("fid"))


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"  # wider numbers would overlap


def draw_line(axes: "Axes", points: Sequence[Point], colour: str, marker: str, label: str = "") -> None:
    """Means joined by a line, in a band of one standard deviation to each side where there are several seeds."""
    if not points:
        return
    xs, means, deviations = zip(*points, strict=True)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.6}
    axes.plot(xs, means, color=colour, marker=marker, label=label or None, **edge)
    if None not in deviations:
        low, high = ([mean + sign * sd for _, mean, sd in points] for sign in (-1, 1))
        axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)


def _bars(
    axes: "Axes",
    rows: Mapping[str, str],
    generators: Sequence[str],
    values: Mapping[Place, tuple[float, float | None] | None],
    blank: str,
) -> None:
    """Groups of bars, one group per generator, one bar per tokenizer, the number above each."""
    marks = style.marks(rows.values())
    width = 0.84 / len(rows)
    upright = 90 if len(rows) * len(generators) > MANY else 0
    highest = max((mean + (sd or 0) for mean, sd in filter(None, values.values())), default=1.0)
    for group, generator in enumerate(generators):
        for index, (key, label) in enumerate(rows.items()):
            x = group + (index - (len(rows) - 1) / 2) * width
            centred = {"ha": "center", "va": "bottom", "fontsize": 7}
            if values[key, generator] is None:
                axes.text(x, 0.02 * highest, blank, rotation=90, color=style.NEUTRAL, **centred)
                continue
            mean, sd = values[key, generator]
            axes.bar(x, mean, width * 0.92, color=marks[label][0])
            if sd is not None:
                axes.errorbar(x, mean, yerr=sd, color=style.INK, linewidth=1.0, capsize=2)
            top = mean + (sd or 0) + 0.015 * highest
            axes.text(x, top, _number(mean), rotation=upright, color=style.INK, **centred)
    axes.set_xticks(range(len(generators)), generators)
    axes.tick_params(axis="x", length=0, labelsize=9)
    axes.set_xlim(-0.55, len(generators) - 0.45)
    axes.set_ylim(0, (1.25 if upright else 1.12) * highest)
    axes.set_ylabel("FID ↓")
    if not any(values.values()):
        axes.set_yticks([])


def _how(measured: Iterable[Mapping[str, Any] | None]) -> str:
    """ "extractor embedded, 1000 samples" of the metrics given (None: not run)."""
    texts = dict.fromkeys(
        f"{kind_of(measure).named(measure)}, {measure['samples']} samples"
        for measure in (metrics["measure"] for metrics in measured if metrics is not None)
    )
    return " / ".join(texts) or "nothing was run"


def _legend(figure: "Figure", marks: Mapping[str, tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=3, markersize=6, markeredgecolor="white", label=label)
        for label, (colour, marker) in marks.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5))
