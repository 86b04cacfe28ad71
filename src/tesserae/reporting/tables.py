"""Tables: published numbers beside measured ones, never mixed, with how each measured number was obtained.

A table is built from its description in the configuration, the metrics of its cells and the paper's published
numbers; table_files.py turns it into text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tesserae.lineage import cells as mapping
from tesserae.lineage.measures.base import CHOSEN, Measure
from tesserae.lineage.measures.registry import KINDS, MeasureError, kind_of
from tesserae.lineage.measures.texts import setting
from tesserae.reporting import published as published_numbers
from tesserae.reporting.links import anchor, lineage_page
from tesserae.reporting.printed import BLANK, CITED

if TYPE_CHECKING:  # half a second that who only shows a table need not wait for
    import pandas as pd

CONTROLS = "Controls (ours)"  # heading over the rows at the foot
# Fields in which a control and its number differ: what was measured, and how each sample came about. And how many there
# are, where validation images are fewer than samples.
DIFFERENT = (*CHOSEN, "sampler", "selection", "latents", "prompt", "weights", "labels", "seed", "samples")
ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
DENSE = 12  # columns of numbers: tables with more are set narrower
WIDE = 9  # columns of both kinds: tables with more give published and measured numbers a line each
SHARES = ("precision", "recall", "f1", "f1_shuffled", "f1_constant", "prior", "class_prior", "silhouette", "knn_purity")
SHARES += ("map", "chance", "nmse", "explained_variance", "explained_variance_centred", "dead")
WHOLE = ("hidden_size", "blocks", "heads", "tokens")
DECIMALS = dict.fromkeys(SHARES, 3) | dict.fromkeys(WHOLE, 0)  # all others: two, as papers print


class TableError(ValueError):
    """A table that would mislead: numbers of two measures in one column, or a description that fits no data."""


@dataclass(frozen=True)
class Column:
    """One metric of one system. `name` is the published file's column, e.g. "MAR-B w/ CFG FID", or one of ours."""

    name: str
    direction: str  # lower, higher, none: which way is better
    artifact: str  # where the metrics come from, "{row}" stands for the row's key
    digits: int | None = None  # of measured numbers after the point; None: as papers print such numbers
    own: bool = False  # the table is printed without it
    varies: tuple[str, ...] = ()  # fields of measures in which its rows may differ

    @property
    def heading(self) -> tuple[str, str, str]:
        """(system, condition, metric), e.g. ("MAR-B", "w/ CFG", "FID"); parts that are absent are "".

        A column without direction is a fact and no metric of a system: "Hidden Size" is one heading.
        """
        if self.direction == "none":
            return "", "", self.name
        match = re.fullmatch(r"(?:(.*?)\s+)??(?:(w/o? CFG)\s+)?(\S+)", self.name)
        return (match[1] or "", match[2] or "", match[3]) if match else ("", "", self.name)

    @property
    def setting(self) -> str:
        """The heading without the metric: what was run, e.g. "MAR-B w/ CFG"."""
        return " ".join(part for part in self.heading[:2] if part)


@dataclass(frozen=True)
class Cell:
    """A published and a measured number of the same thing; None is a blank."""

    published: float | None
    printed: str  # the published number as printed ("16.70"), "" for a blank
    note: str  # the published file's note
    artifact: str = ""  # "" where there is none: a row that the paper cites, or no such number at all
    value: str = ""  # name of the measured number in the artifact
    decimals: int | None = 2  # of the measured number in print; None: those it has
    measured: float | None = None  # mean over the seeds
    deviation: float | None = None  # over the metric's splits or subsets, where it has them and there is one seed
    sd: float | None = None  # sample standard deviation over the seeds, where there are several
    seeds: int = 0
    measure: Mapping[str, Any] | None = None  # how the measured number was obtained
    measure_id: str = ""
    selection: Mapping[str, Any] | None = None  # which guidance or temperature was chosen, and on what
    control: float | None = None  # the same number of what it has to beat; mean over the seeds
    control_artifact: str = ""
    control_words: str = ""  # what that is
    behind: bool = False  # whether the measured number does not beat its control
    reason: str = ""  # why nothing was measured, if that is known
    failed: bool = False  # it was tried, and there is no number: the reason says why
    blank: str = BLANK  # what stands in place of a measured number: of what the scale leaves out, the reason

    @property
    def left_out(self) -> bool:
        """Whether it could be measured, and the scale does without it."""
        return self.measured is None and bool(self.reason)

    @property
    def kind(self) -> type[Measure] | None:
        """Of its measure, None where nothing was measured."""
        return None if self.measure is None else kind_of(self.measure)

    @property
    def shown(self) -> str:
        """The measured number as the table prints it, "" for a blank."""
        return self._printed(self.measured)

    @property
    def control_shown(self) -> str:
        """Its control as the table prints it, "" for none."""
        return self._printed(self.control)

    def _printed(self, number: float | None) -> str:
        if number is None:
            return ""
        text = f"{number:g}" if self.decimals is None else f"{number:.{self.decimals}f}"
        return text.removeprefix("-") if float(text) == 0 else text  # no "-0.00" of rounding

    @property
    def spread(self) -> str:
        """What follows ± in print: over the seeds, or over the splits of one; "" for nothing."""
        value = self.deviation if self.sd is None else self.sd
        return "" if value is None or self.decimals is None else f"{value:.{self.decimals}f}"


@dataclass(frozen=True)
class Table:
    """Rows by columns of cells. `rows` are (key, label) in the paper's order, those of ours (`own_rows`) where the
    configuration puts them, and controls (`control_rows`) at the foot; `groups` is the heading over each row by key, ""
    where all have the same; `cells` has one entry for each (row key, column name).
    """

    source: str
    title: str
    scale: str
    rows: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, str], Cell]
    groups: Mapping[str, str]
    note: str = ""  # said below it
    contradictions: tuple[str, ...] = ()  # of what it prints, each with its number
    recipe: str = ""  # under which the workflow makes it; "" if it is none of its tables
    own_rows: frozenset[str] = frozenset()  # keys of rows that the paper does not print in this table
    paper: str = ""  # whose lineage page leads to its numbers; "" if none does
    control_rows: frozenset[str] = frozenset()  # keys of those that say what the others' numbers are worth
    reported: tuple[Mapping[str, Any], ...] = ()  # what others told of its cells, as config/reported.py has it

    @property
    def caption(self) -> str:
        """The title as a sentence."""
        return self.title if self.title.endswith(("?", "!")) else f"{self.title}."

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of numbers that are shown: of a table that no paper prints, the measured ones."""
        return ("published", "measured") if any(cell.printed for cell in self.cells.values()) else ("measured",)

    @property
    def dense(self) -> bool:
        """Whether room is scarce."""
        return len(self.kinds) * len(self.columns) > DENSE

    @property
    def wide(self) -> bool:
        """Whether published and measured numbers have a line each, one below the other."""
        return len(self.kinds) == 2 and len(self.columns) > WIDE

    @property
    def starts(self) -> list[bool]:
        """Which columns a line on their left sets apart: in a wide table the first of each system only."""
        previous = [self.columns[-1], *self.columns]
        return [
            not self.wide or column.heading[:2] != before.heading[:2] for before, column in zip(previous, self.columns)
        ]

    def lineage(self, label: str, column: Column) -> str:
        """Where a cell's number came from: a link that is right beside the table's own file, "" for no link."""
        if not (self.recipe and self.paper):
            return ""
        return f"../../{lineage_page(self.paper)}#{anchor(f'table/{self.recipe}', label, column.name)}"

    def lineage_of(self, artifact: str) -> str:
        """Where an artifact came from, likewise."""
        return f"../../{lineage_page(self.paper)}#{anchor(artifact)}" if self.recipe and self.paper else ""

    def compared(self, column: Column) -> dict[str, Cell]:
        """Cells of a column by row key, without the controls at the foot."""
        return {key: self.cells[key, column.name] for key, _ in self.rows if key not in self.control_rows}

    def uninformative(self, column: Column) -> bool:
        """Whether numbers of a column have controls, and none beats its own."""
        behind = [cell.behind for cell in self.compared(column).values() if cell.control is not None]
        return bool(behind) and all(behind)

    @property
    def settings(self) -> list[tuple[str, list[tuple[str, Cell]]]]:
        """Columns that read the same metrics, once: (what was run, [(row label, cell), ...])."""
        first: dict[str, Column] = {}
        for column in self.columns:
            first.setdefault(column.artifact, column)
        return [
            (
                column.setting or column.name,
                [(label, self.cells[key, column.name]) for key, label in self.rows if key not in self.control_rows],
            )
            for column in first.values()
        ]


def build_table(
    description: Mapping[str, Any],
    cells: Mapping[tuple[str, str], Mapping[str, Any] | None],
    published: pd.DataFrame,
    *,
    scale: str,
    recipe: str = "",
    controls: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
) -> Table:
    """Join a table's description with its measured and published numbers.

    description: a table's spec, {"source": "Table 1", "title": ..., "rows": {key: label} or pairs, "columns": [...]};
    `lineage.cells` says what else it may have and which cell that makes what. Labels and names are those of the
    published file, and so is the order of the rows, but for what the description declares as ours: rows (`own_rows`),
    columns (`own`), or the whole table (`own`), which need no line there. cells: the content of metrics.json, or what
    `seeds.over_seeds` makes of several, for each (row key, column name) that is to be measured, None where nothing was
    run. published: from `published.load`. recipe: the name of the table's artifact, with which each measured number
    leads to the lineage page of the description's `paper` in HTML. controls: as cells, of what stands beside each
    number that has a control.

    Raises PublishedError for a row or column that the published file does not have, and TableError for: a cell that
    is not given, or given though nothing of it is run, metrics without the wanted value, a value that is not finite, a
    direction that contradicts the published file, a selection that contradicts the measure, and two measures in one
    column (see `same_measure`).
    """
    source = description["source"]
    spec = {**description, "rows": list(dict(description["rows"]).items())}
    columns = {
        mapping.plain(item["name"]): Column(
            mapping.plain(item["name"]),
            item["direction"],
            item["artifact"],
            item.get("digits"),
            item.get("own", False),
            tuple(item.get("varies", ())),
        )
        for item in description["columns"]
    }
    own, foot = frozenset(description.get("own_rows", ())), frozenset(description.get("control_rows", ()))
    for column in columns.values():
        if column.direction not in ARROWS:
            raise TableError(
                f"{source}, column {column.name!r}: direction {column.direction!r} is not one of {', '.join(ARROWS)}"
            )
    labels = {str(key): mapping.plain(str(label)) for key, label in mapping.rows(spec)}
    joined = {}
    for key, name, origin in mapping.sources(spec):
        where, place = f"{source}, row {labels[key]!r}, column {name!r}", (key, name)
        ours = description.get("own") or key in own | foot or columns[name].own
        line = None if ours else published_numbers.cell(published, source, labels[key], name)
        if place not in cells and origin.status == "measured":
            raise TableError(f"{where}: no cell is given (None would be a blank)")
        if origin.status != "measured" and cells.get(place) is not None:
            raise TableError(f"{where}: there are numbers, though {origin.reason}")
        joined[place] = _cell(columns[name], key, origin, cells.get(place), line, where)
    for key, name, beside in mapping.controls(spec):
        place, where = (key, name), f"{source}, row {labels[key]!r}, column {name!r}"
        joined[place] = _controlled(joined[place], columns[name], beside, (controls or {}).get(place), where)
    compared = {key: label for key, label in labels.items() if key not in foot}
    if description.get("own"):
        groups = dict.fromkeys(compared, "")
    else:
        groups = _in_print(compared, own, published_numbers.rows(published, source))
    if len(set(groups.values())) < 2:
        groups = dict.fromkeys(groups, "")
    groups |= {key: CONTROLS for key in labels if key in foot}
    rows = tuple((key, labels[key]) for key in groups)
    title = " ".join(str(description["title"]).split()).rstrip(".")
    note = mapping.plain(description.get("note") or "")
    table = Table(
        source,
        title,
        scale,
        rows,
        tuple(columns.values()),
        joined,
        groups,
        note,
        tuple(map(mapping.plain, description.get("contradictions", ()))),
        recipe,
        own,
        control_rows=foot,
        paper=description.get("paper", ""),
        reported=tuple(description.get("reported", ())),
    )
    for column in table.columns:
        where = f"{source}, column {column.name!r}"
        measures = {labels[key]: cell.measure for key, cell in table.compared(column).items()}
        same_measure(measures, where=where, but=column.varies)
        measured = [measure for measure in measures.values() if measure is not None]
        for key, label in rows if measured else ():
            if key in foot:
                control = joined[key, column.name].measure
                like_its_control(measured[0], control, where=f"{where}, row {label!r}", but=column.varies)
    return table


def _in_print(labels: Mapping[str, str], own: frozenset[str], printed: Mapping[str, str]) -> dict[str, str]:
    """Row keys from top to bottom -> the group under which they stand; printed: label -> group, in the paper's order.

    A row of ours stands below the row before it in `labels`, in its group; above all others if there is none.
    """
    order = list(printed)
    ordered = sorted(labels.keys() - own, key=lambda key: order.index(labels[key]))
    groups = {key: printed[labels[key]] for key in ordered}
    above = None
    for key in labels:
        if key in own:
            place = 0 if above is None else ordered.index(above) + 1
            groups[key] = groups[ordered[place - 1 if place else 0]] if ordered else ""
            ordered.insert(place, key)
        above = key
    return {key: groups[key] for key in ordered}


def same_measure(measures: Mapping[str, Mapping[str, Any] | None], *, where: str, but: Iterable[str] = ()) -> None:
    """Raise TableError, naming labels and fields, unless all measures (None: nothing measured) could share a column.

    They may differ in what a search chooses per cell (guidance, temperature), in the fields `but`, and in nothing else.
    """
    present = {label: measure for label, measure in measures.items() if measure is not None}
    if not present:
        return
    (first, expected), *others = present.items()
    for label, measure in others:
        instruments = {kind.instrument: kind.instruments for kind in KINDS.values() if kind.instrument}
        for name, what in {"kind": "kinds of measures", **instruments}.items():
            if measure.get(name) != expected.get(name):
                raise TableError(
                    f"{where} mixes {what}: {expected.get(name)} ({first}) and {measure.get(name)} ({label})"
                )
        differing = [
            f"{name} {setting(one)} ({first}) and {setting(other)} ({label})"
            for name, one, other in _differing(expected, measure, (*CHOSEN, *but))
        ]
        if differing:
            raise TableError(f"{where} mixes measures: {'; '.join(differing)}")


def like_its_control(
    measure: Mapping[str, Any], control: Mapping[str, Any] | None, *, where: str, but: Iterable[str] = ()
) -> None:
    """Raise TableError unless a number and its control (None: not measured) were measured alike.

    They differ in what is measured (see DIFFERENT), in the fields `but`, and in
    nothing else: the same extractor, reference, rounding, ...
    """
    if control is None:
        return
    differing = [
        f"{name} {setting(one)} and {setting(other)}"
        for name, one, other in _differing(measure, control, (*DIFFERENT, *but))
    ]
    if differing:
        raise TableError(f"{where}: the control was measured otherwise: {'; '.join(differing)}")


def _differing(
    one: Mapping[str, Any], other: Mapping[str, Any], apart: Iterable[str]
) -> Iterator[tuple[str, Any, Any]]:
    """Fields of two measures that differ, with the values of both; `apart` are those that may."""
    for name in sorted({*one, *other} - set(apart)):
        if one.get(name) != other.get(name):
            yield name, one.get(name), other.get(name)


def _controlled(
    cell: Cell, column: Column, origin: mapping.Source, metrics: Mapping[str, Any] | None, where: str
) -> Cell:
    """A cell with its control; TableError if there is none, or none of its kind."""
    if cell.measured is None:
        return cell
    if metrics is None or not math.isfinite(metrics["values"].get(origin.value, math.nan)):
        raise TableError(f"{where}: its control, {origin.artifacts[0]}, has no {origin.value!r}")
    like_its_control(cell.measure, metrics["measure"], where=where)
    if not control_words(metrics["measure"]):
        raise TableError(f"{where}: {origin.artifacts[0]} is no control")
    control, measure = float(metrics["values"][origin.value]), metrics["measure"]
    return replace(
        cell,
        control=control,
        control_artifact=origin.artifacts[0],
        control_words=control_words(measure),
        behind=not mapping.beats(cell.measured, control, column.direction),
    )


def control_words(measure: Mapping[str, Any]) -> str:
    """What a control is, as its measure says; "" for a measure of no control."""
    return measure.get("latents") or (measure.get("sampler") or {}).get("control", "")


def _cell(
    column: Column,
    key: str,
    origin: mapping.Source,
    metrics: Mapping[str, Any] | None,
    line: pd.Series | None,
    where: str,
) -> Cell:
    base: dict[str, Any] = {"published": None, "printed": "", "note": ""}
    if line is not None:
        if line["direction"] != column.direction:
            raise TableError(
                f"{where}: direction {column.direction!r}, but {line['direction']!r} in the published file"
            )
        value = None if math.isnan(line["value"]) else float(line["value"])
        base = {"published": value, "printed": line["printed"], "note": line["note"]}
    if origin.status in ("cited", "blank"):
        return Cell(**base, blank=CITED if origin.status == "cited" else "")
    artifact = origin.artifacts[0] if origin.artifacts else column.artifact.replace("{row}", key)
    base |= {"artifact": artifact}
    if metrics is None:
        return Cell(**base, reason=origin.reason, blank=origin.reason or BLANK)
    if origin.value not in metrics["values"] and (why := (metrics.get("without") or {}).get(origin.value)):
        return Cell(**base, value=origin.value, reason=why, failed=True, blank=why)
    if origin.value not in metrics["values"]:
        raise TableError(f"{where}: the metrics have no {origin.value!r}, only {', '.join(sorted(metrics['values']))}")
    measured = float(metrics["values"][origin.value])
    if not math.isfinite(measured):
        raise TableError(f"{where}: the measured value is {measured}")
    measure, selection = metrics["measure"], metrics.get("selection")
    try:
        exact = kind_of(measure).exact
    except MeasureError as error:
        raise TableError(f"{where}: {error}; make {artifact} again") from None
    for name in CHOSEN:
        if selection and name in selection and name in measure and selection[name] != measure[name]:
            raise TableError(f"{where}: {name} {selection[name]} was selected, but {measure[name]} was measured")
    return Cell(
        **base,
        value=origin.value,
        measured=measured,
        decimals=column.digits if column.digits is not None else None if exact else DECIMALS.get(origin.value, 2),
        deviation=(metrics.get("deviation") or {}).get(origin.value),
        sd=(metrics.get("sd") or {}).get(origin.value),
        seeds=metrics.get("seeds", 1),
        measure=measure,
        measure_id=metrics["measure_id"],
        selection=selection,
    )
