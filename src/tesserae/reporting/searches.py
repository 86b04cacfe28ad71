"""What figures of searches share: FID and IS of generators over guidance, from the searches of all seeds.

Searches are contents of search.json by (row key, generator), one for each seed, none where nothing was run.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tesserae.lineage.measures.base import CHOSEN
from tesserae.lineage.measures.registry import kind_of
from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figure_inputs import read, reasons
from tesserae.reporting.tables import same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = tuple[str, str]  # row key, generator
Searches = Mapping[Place, Sequence[Mapping[str, Any]]]
Reasons = Mapping[Place, str]  # why a place is not run; it names all that are not
NONE: Reasons = MappingProxyType({})

MANY = 10  # bars in one panel: the numbers above more of them stand upright


def read_searches(work: Work) -> dict[str, Any]:
    """What such a figure is given: `rows`, `generators`, `searches`, `scale`, and `reasons`: why places are not run."""
    rows, groups = dict(work.spec["rows"]), list(work.spec["inputs"])
    found = {(row, group): read(work, group, "search", row, "search.json") for row in rows for group in groups}
    why = {(row, group): reason for group in groups for row, reason in reasons(work, group, "search").items()}
    return {"rows": rows, "generators": groups, "searches": found, "scale": work.spec["scale"], "reasons": why}


def best_found(
    searches: Searches, rows: Mapping[str, str], generators: Sequence[str]
) -> dict[Place, dict[str, Any] | None]:
    """The searches' own values at the guidance that each seed selected, as one metrics.json a place; None for not run.

    Raises TableError if they were obtained in two ways (see `comparable`), FigureError for a search without the point
    that it selected.
    """
    found = {
        (key, generator): [_at_selected(search, f"{rows[key]}, {generator}") for search in of_seeds]
        for (key, generator), of_seeds in searches.items()
    }
    best = {place: seeds.over_seeds(selected) if selected else None for place, selected in found.items()}
    comparable(best, rows, generators, "the searches")
    return best


def _at_selected(search: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A search's own values at the guidance it selected, in the form of metrics.json."""
    chosen = search["selected"]["cfg"]
    for point in search["points"]:
        if all(point[name] == chosen[name] for name in CHOSEN):
            values = {name: point[name] for name in ("fid", "is")}
            return {"values": values, "measure": search["measure"], "measure_id": search["measure_id"]}
    raise FigureError(f"the search of {where} has no point at its selected {chosen}")


def comparable(
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


def fid(metrics: Mapping[str, Any] | None) -> tuple[float, float | None] | None:
    """FID and its deviation over seeds; None for not run."""
    return metrics and (metrics["values"]["fid"], metrics.get("sd", {}).get("fid"))


def number(value: float) -> str:
    """As it stands at a bar or a point."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"  # wider numbers would overlap


def bars(
    axes: "Axes",
    rows: Mapping[str, str],
    generators: Sequence[str],
    values: Mapping[Place, tuple[float, float | None] | None],
    blank: str,
    reasons: Reasons = NONE,
) -> None:
    """Groups of bars, one group per generator, one bar per tokenizer, the number above each.

    Where there is none stands why it was not run, or `blank`.
    """
    marks = style.marks(rows.values())
    width = 0.84 / len(rows)
    upright = 90 if len(rows) * len(generators) > MANY else 0
    highest = max((mean + (sd or 0) for mean, sd in filter(None, values.values())), default=1.0)
    for group, generator in enumerate(generators):
        for index, (key, label) in enumerate(rows.items()):
            x = group + (index - (len(rows) - 1) / 2) * width
            centred = {"ha": "center", "va": "bottom", "fontsize": 7}
            if values[key, generator] is None:
                why = reasons.get((key, generator), blank)
                axes.text(x, 0.02 * highest, why, rotation=90, color=style.NEUTRAL, **centred)
                continue
            mean, sd = values[key, generator]
            axes.bar(x, mean, width * 0.92, color=marks[label][0])
            if sd is not None:
                axes.errorbar(x, mean, yerr=sd, color=style.INK, linewidth=1.0, capsize=2)
            top = mean + (sd or 0) + 0.015 * highest
            axes.text(x, top, number(mean), rotation=upright, color=style.INK, **centred)
    axes.set_xticks(range(len(generators)), generators)
    axes.tick_params(axis="x", length=0, labelsize=9)
    axes.set_xlim(-0.55, len(generators) - 0.45)
    axes.set_ylim(0, (1.25 if upright else 1.12) * highest)
    axes.set_ylabel("FID ↓")
    if not any(values.values()):
        axes.set_yticks([])


def how(measured: Iterable[Mapping[str, Any] | None]) -> str:
    """ "extractor embedded, 1000 samples" of the metrics given (None: not run)."""
    texts = dict.fromkeys(
        f"{kind_of(measure).named(measure)}, {measure['samples']} samples"
        for measure in (metrics["measure"] for metrics in measured if metrics is not None)
    )
    return " / ".join(texts) or "nothing was run"


def legend(figure: "Figure", marks: Mapping[str, tuple[str, str]]) -> None:
    """Above the figure: label -> colour and marker."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=3, markersize=6, markeredgecolor="white", label=label)
        for label, (colour, marker) in marks.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5))
