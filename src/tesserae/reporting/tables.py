"""Tables: published numbers beside measured ones, never mixed, with how each measured number was obtained.

A table is built from its description in the configuration, the metrics of its cells and the paper's published
numbers; the writers `to_csv`, `to_markdown`, `to_latex` and `to_html` turn it into text (same table, same bytes).
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.lineage import cells as mapping
from tesserae.reporting import published as published_numbers
from tesserae.reporting.links import LINEAGE, anchor
from tesserae.reporting.notes import BLANK, CITED, each, notes, plain
from tesserae.reporting.style import page, template

if TYPE_CHECKING:  # half a second that who only shows a table need not wait for
    import pandas as pd

ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
DENSE = 6  # columns: tables with more are set narrower
WIDE = 9  # columns: tables with more give published and measured numbers a line each
SHARES = ("precision", "recall", "f1", "f1_shuffled", "f1_constant", "prior", "class_prior", "silhouette", "knn_purity")
SHARES += ("map", "chance", "nmse", "explained_variance", "explained_variance_centred", "dead")
WHOLE = ("hidden_size", "blocks", "heads", "tokens")
DECIMALS = dict.fromkeys(SHARES, 3) | dict.fromkeys(WHOLE, 0)  # all others: two, as papers print
STATED = "settings/"  # artifacts whose numbers are stated and not measured: shown with the digits they have
CHOSEN = ("guidance", "temperature")  # fields of a measure that a search chooses per cell
CSV_COLUMNS = (
    "table",
    "row",
    "column",
    "direction",
    "published",
    "measured",
    "extractor",
    "scale",
    "measure_id",
    "guidance",
    "artifact",
    "temperature",
    "samples",
    "deviation",
    "sd",
    "n",
)


class TableError(ValueError):
    """A table that would mislead: numbers of two measures in one column, or a description that fits no data."""


@dataclass(frozen=True)
class Column:
    """One metric of one system. `name` is the published file's column, e.g. "MAR-B w/ CFG FID"."""

    name: str
    direction: str  # lower, higher, none: which way is better
    artifact: str  # where the metrics come from, "{row}" stands for the row's key

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
    decimals: int | None = 2  # of the measured number in print; None: those it has
    measured: float | None = None  # mean over the seeds
    deviation: float | None = None  # over the metric's splits or subsets, where it has them and there is one seed
    sd: float | None = None  # sample standard deviation over the seeds, where there are several
    seeds: int = 0
    measure: Mapping[str, Any] | None = None  # how the measured number was obtained
    measure_id: str = ""
    selection: Mapping[str, Any] | None = None  # which guidance or temperature was chosen, and on what
    reason: str = ""  # why nothing was measured, if that is known
    blank: str = BLANK  # what stands in place of a measured number

    @property
    def shown(self) -> str:
        """The measured number as the table prints it, "" for a blank."""
        if self.measured is None:
            return ""
        return f"{self.measured:g}" if self.decimals is None else f"{self.measured:.{self.decimals}f}"

    @property
    def spread(self) -> str:
        """What follows ± in print: over the seeds, or over the splits of one; "" for nothing."""
        value = self.deviation if self.sd is None else self.sd
        return "" if value is None or self.decimals is None else f"{value:.{self.decimals}f}"


@dataclass(frozen=True)
class Table:
    """Rows by columns of cells. `rows` are (key, label) in the paper's order, `groups` the heading over each row by
    key, "" where all have the same; `cells` has one entry for each (row key, column name).
    """

    source: str
    title: str
    scale: str
    rows: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, str], Cell]
    groups: Mapping[str, str]
    note: str = ""  # said below it
    recipe: str = ""  # under which the workflow makes it; "" if it is none of its tables

    @property
    def caption(self) -> str:
        """The title as a sentence."""
        return self.title if self.title.endswith(("?", "!")) else f"{self.title}."

    @property
    def dense(self) -> bool:
        """Whether room is scarce."""
        return len(self.columns) > DENSE

    @property
    def wide(self) -> bool:
        """Whether published and measured numbers have a line each, one below the other."""
        return len(self.columns) > WIDE

    @property
    def starts(self) -> list[bool]:
        """Which columns a line on their left sets apart: in a wide table the first of each system only."""
        previous = [self.columns[-1], *self.columns]
        return [
            not self.wide or column.heading[:2] != before.heading[:2] for before, column in zip(previous, self.columns)
        ]

    def lineage(self, label: str, column: Column) -> str:
        """Where a cell's number came from: a link that is right beside the table's own file, "" for no link."""
        return f"../../{LINEAGE}#{anchor(f'table/{self.recipe}', label, column.name)}" if self.recipe else ""

    def column_cells(self, column: Column) -> list[Cell]:
        return [self.cells[key, column.name] for key, _ in self.rows]

    @property
    def settings(self) -> list[tuple[str, list[tuple[str, Cell]]]]:
        """Columns that read the same metrics, once: (what was run, [(row label, cell), ...])."""
        first: dict[str, Column] = {}
        for column in self.columns:
            first.setdefault(column.artifact, column)
        return [
            (column.setting or column.name, [(label, self.cells[key, column.name]) for key, label in self.rows])
            for column in first.values()
        ]


# ----------------------------------------------------------------------------------------------------------- building
def build_table(
    description: Mapping[str, Any],
    cells: Mapping[tuple[str, str], Mapping[str, Any] | None],
    published: pd.DataFrame,
    *,
    scale: str,
    recipe: str = "",
) -> Table:
    """Join a table's description with its measured and published numbers.

    description: a table's spec, {"source": "Table 1", "title": ..., "rows": {key: label} or pairs, "columns": [...]};
    `lineage.cells` says what else it may have and which cell that makes what. Labels and names are those of the
    published file, and so is the order of the rows. cells: the content of metrics.json, or what `seeds.over_seeds`
    makes of several, for each (row key, column name) that is to be measured, None where nothing was run. published:
    from `published.load`. recipe: the name of the table's artifact, with which each measured number leads to the
    lineage page in HTML.

    Raises PublishedError for a row or column that the published file does not have, and TableError for: a cell that
    is not given, or given though nothing of it is run, metrics without the wanted value, a value that is not finite, a
    direction that contradicts the published file, a selection that contradicts the measure, and two measures in one
    column (see `same_measure`).
    """
    source = description["source"]
    told = {**description, "rows": list(dict(description["rows"]).items())}
    columns = {
        mapping.plain(item["name"]): Column(mapping.plain(item["name"]), item["direction"], item["artifact"])
        for item in description["columns"]
    }
    for column in columns.values():
        if column.direction not in ARROWS:
            raise TableError(
                f"{source}, column {column.name!r}: direction {column.direction!r} is not one of {', '.join(ARROWS)}"
            )
    labels = {str(key): mapping.plain(str(label)) for key, label in mapping.rows(told)}
    joined = {}
    for key, name, origin in mapping.sources(told):
        where, place = f"{source}, row {labels[key]!r}, column {name!r}", (key, name)
        line = published_numbers.cell(published, source, labels[key], name)
        if place not in cells and origin.status == "measured":
            raise TableError(f"{where}: no cell is given (None would be a blank)")
        if origin.status != "measured" and cells.get(place) is not None:
            raise TableError(f"{where}: there are numbers, though {origin.reason}")
        joined[place] = _cell(columns[name], key, origin, cells.get(place), line, where)
    printed = published_numbers.rows(published, source)
    order = list(printed)
    rows = tuple(sorted(labels.items(), key=lambda row: order.index(row[1])))
    groups = {key: printed[label] for key, label in rows}
    if len(set(groups.values())) < 2:
        groups = dict.fromkeys(groups, "")
    title = " ".join(str(description["title"]).split()).rstrip(".")
    note = mapping.plain(description.get("note") or "")
    table = Table(source, title, scale, rows, tuple(columns.values()), joined, groups, note, recipe)
    for column in table.columns:
        same_measure(
            {label: joined[key, column.name].measure for key, label in rows}, where=f"{source}, column {column.name!r}"
        )
    return table


def same_measure(measures: Mapping[str, Mapping[str, Any] | None], *, where: str) -> None:
    """Raise TableError, naming labels and fields, unless all measures (None: nothing measured) could share a column.

    They may differ in what a search chooses per cell (guidance, temperature) and in nothing else.
    """
    present = {label: measure for label, measure in measures.items() if measure is not None}
    if not present:
        return
    (first, expected), *others = present.items()
    for label, measure in others:
        if measure.get("extractor") != expected.get("extractor"):
            raise TableError(
                f"{where} mixes feature extractors: {expected.get('extractor')} ({first}) and "
                f"{measure.get('extractor')} ({label})"
            )
        differing = [
            f"{name} {plain(expected.get(name))} ({first}) and {plain(measure.get(name))} ({label})"
            for name in sorted({*expected, *measure} - set(CHOSEN))
            if expected.get(name) != measure.get(name)
        ]
        if differing:
            raise TableError(f"{where} mixes measures: {'; '.join(differing)}")


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
    decimals = None if artifact.startswith(STATED) else DECIMALS.get(origin.value, 2)
    base |= {"artifact": artifact, "decimals": decimals}
    if metrics is None:
        return Cell(**base, reason=origin.reason)
    if origin.value not in metrics["values"]:
        raise TableError(f"{where}: the metrics have no {origin.value!r}, only {', '.join(sorted(metrics['values']))}")
    measured = float(metrics["values"][origin.value])
    if not math.isfinite(measured):
        raise TableError(f"{where}: the measured value is {measured}")
    measure, selection = metrics["measure"], metrics.get("selection")
    if not measure.keys() & {"extractor", "counted"}:
        raise TableError(f"{where}: the measure names no extractor")
    for name in CHOSEN:
        if selection and name in selection and name in measure and selection[name] != measure[name]:
            raise TableError(f"{where}: {name} {selection[name]} was selected, but {measure[name]} was measured")
    return Cell(
        **base,
        measured=measured,
        deviation=(metrics.get("deviation") or {}).get(origin.value),
        sd=(metrics.get("sd") or {}).get(origin.value),
        seeds=metrics.get("seeds", 1),
        measure=measure,
        measure_id=metrics["measure_id"],
        selection=selection,
    )


# ------------------------------------------------------------------------------------------------ what all writers say
def best(table: Table) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(row key, column name) of the best published and of the best measured numbers, column by column.

    Ties (numbers printed alike) are all best; blanks never are; a number alone in its column is compared with nothing
    and is not marked; nor is anything in a column without direction.
    """
    marked: tuple[set, set] = (set(), set())
    for column in table.columns:
        if column.direction == "none":
            continue
        choose = min if column.direction == "lower" else max
        for kind, marks in enumerate(marked):
            texts = {
                key: (cell.printed, cell.shown)[kind]
                for (key, _), cell in zip(table.rows, table.column_cells(column), strict=True)
            }
            numbers = {key: float(text) for key, text in texts.items() if text}
            if len(numbers) > 1:
                winner = choose(numbers.values())
                marks.update((key, column.name) for key, number in numbers.items() if number == winner)
    return marked


def _spans(parts: list[tuple[str, ...]]) -> list[tuple[str, int]]:
    """Runs of equal heading paths -> (last part, number of columns)."""
    runs: list[list] = []
    for part in parts:
        if runs and runs[-1][0] == part:
            runs[-1][1] += 1
        else:
            runs.append([part, 1])
    return [(part[-1], count) for part, count in runs]


def _levels(table: Table) -> list[list[tuple[str, int]]]:
    """Heading rows above published/measured: (text, number of metric columns it spans); empty rows are left out."""
    headings = [
        (*column.heading[:2], f"{column.heading[2]} {ARROWS[column.direction]}".strip(), column.name)
        for column in table.columns
    ]
    paths = [[heading[: depth + 1] for heading in headings] for depth in range(2)]
    levels = [_spans(path) for path in paths if any(part[-1] for part in path)]
    return [*levels, [(heading[2], 1) for heading in headings]]


@dataclass(frozen=True)
class Field:
    """One printed number, or what stands in its place."""

    kind: str  # published, measured
    text: str
    spread: str
    best: bool
    hint: str
    link: str
    first: bool  # of its group of columns


@dataclass(frozen=True)
class Line:
    """One printed line: a row, or in a wide table its published or its measured half."""

    label: str
    kind: str  # of all its numbers; "" where both kinds stand side by side
    fields: tuple[Field, ...]


def lines(table: Table) -> list[tuple[str, list[Line]]]:
    """What the writers print, from top to bottom: (heading of a group or "", its lines)."""
    kinds, found = ("published", "measured"), []
    marked = dict(zip(kinds, best(table), strict=True))

    def field(key: str, label: str, column: Column, kind: str, first: bool) -> Field:
        cell, good = table.cells[key, column.name], (key, column.name) in marked[kind]
        if kind == "published":
            return Field(kind, cell.printed or (BLANK if cell.blank else ""), "", good, cell.note, "", first)
        if cell.measured is None:
            return Field(kind, cell.blank, "", False, cell.reason, "", first)
        hint, link = f"{cell.artifact}, measure {cell.measure_id}", table.lineage(label, column)
        return Field(kind, cell.shown, cell.spread, good, hint, link, first)

    for key, label in table.rows:
        if not found or found[-1][0] != table.groups[key]:
            found.append((table.groups[key], []))
        if table.wide:
            for kind in kinds:
                half = (field(key, label, *place) for place in zip(table.columns, itertools.repeat(kind), table.starts))
                found[-1][1].append(Line(label, kind, tuple(half)))
        else:
            both = (field(key, label, column, kind, kind == "published") for column in table.columns for kind in kinds)
            found[-1][1].append(Line(label, "", tuple(both)))
    return found


# ------------------------------------------------------------------------------------------------------------- writers
def write(table: Table, folder: str | Path) -> list[Path]:
    """Write table.csv, table.md, table.tex and table.html into `folder`; returns the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, text in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex), ("html", to_html)):
        path = folder / f"table.{suffix}"
        path.write_text(text(table), encoding="utf-8", newline="\n")
        paths.append(path)
    return paths


def to_csv(table: Table) -> str:
    """Tidy: one line per cell, CSV_COLUMNS; blanks are empty, measured numbers have full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for key, label in table.rows:
        for column in table.columns:
            cell = table.cells[key, column.name]
            measure = cell.measure or {}
            writer.writerow(
                [
                    table.source,
                    label,
                    column.name,
                    column.direction,
                    cell.printed,
                    "" if cell.measured is None else repr(cell.measured),
                    measure.get("extractor", ""),
                    table.scale,
                    cell.measure_id,
                    _by_seed(measure.get("guidance")),
                    cell.artifact,
                    _by_seed(measure.get("temperature")),
                    measure.get("samples"),
                    "" if cell.deviation is None else repr(cell.deviation),
                    "" if cell.sd is None else repr(cell.sd),
                    cell.seeds or "",
                ]
            )
    return file.getvalue()


def _by_seed(value: Any) -> str:
    """A field that a search chooses: one value, or one per seed."""
    return ";".join("" if item is None else repr(item) for item in each(value))


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read what `to_csv` wrote: CSV_COLUMNS; numbers as float64 (NaN is a blank), all other columns as text.

    Guidance and temperature are text: where seeds chose different ones, all of them with ";" between.
    """
    numbers = ("published", "measured", "samples", "deviation", "sd", "n")
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns) != CSV_COLUMNS:
        raise TableError(f"{path}: the columns must be {','.join(CSV_COLUMNS)}, found {','.join(frame.columns)}")
    for name in numbers:
        frame[name] = [float(text) if text else math.nan for text in frame[name]]
    return frame


def summary(frame: pd.DataFrame) -> str:
    """One Markdown paragraph on `read_csv`'s frame: scale, extractor, how much was measured, and what was not run."""
    ours = frame[frame["artifact"] != ""]
    ran = ours[ours["measured"].notna()]
    extractors = ", ".join(f"`{name}`" for name in dict.fromkeys(ran["extractor"]) if name) or "none"
    samples = ", ".join(f"{count:g}" for count in dict.fromkeys(ran["samples"].dropna())) or "0"
    seeds = " or ".join(f"{count:g}" for count in sorted(set(ran.loc[ran["extractor"] != "", "n"].dropna())))
    text = (
        f"Scale **{', '.join(dict.fromkeys(frame['scale']))}**, feature extractor {extractors}, {samples} samples "
        f"per number{f', seeds: {seeds}' if seeds else ''}: {len(ran)} of {len(ours)} cells are measured."
    )
    missing = ours[ours["measured"].isna()]
    for row, cells in missing.groupby("row", sort=False):
        whole = len(cells) == int((ours["row"] == row).sum())
        text += f"\n- Not run: {escape_markdown(str(row))}"
        text += "" if whole else f" ({', '.join(escape_markdown(name) for name in cells['column'])})"
    return text


def to_markdown(table: Table) -> str:
    """A pipe table: for each metric a published and a measured column, or in a wide table two lines per row; best in
    bold; the notes as a list below.
    """
    stub = ["Setup", ""] if table.wide else ["Setup"]
    kinds = [""] if table.wide else ["<br>published", "<br>measured"]
    names = [f"{escape_markdown(column.name)} {ARROWS[column.direction]}".strip() for column in table.columns]
    header = [*stub, *(f"{name}{kind}" for name in names for kind in kinds)]
    rule = [*(":---" for _ in stub), *("---:" for _ in header[len(stub) :])]
    text = [
        f"**{escape_markdown(table.source)}. {escape_markdown(table.title)}**",
        "",
        f"| {' | '.join(header)} |",
        f"| {' | '.join(rule)} |",
    ]
    for group, found in lines(table):
        if group:
            text.append(f"| {' | '.join([f'*{escape_markdown(group)}*', *([''] * (len(header) - 1))])} |")
        for line in found:
            fields = [
                escape_markdown(line.label) if line.kind != "measured" else "",
                *([line.kind] if line.kind else []),
            ]
            for field in line.fields:
                fields.append(_wrap(field.text, "**", field.best) + (f" ± {field.spread}" if field.spread else ""))
            text.append(f"| {' | '.join(fields)} |")
    return "\n".join([*text, "", *(f"- {escape_markdown(note)}" for note in notes(table, bold=any(best(table)))), ""])


def _wrap(text: str, mark: str, on: bool) -> str:
    return f"{mark}{text}{mark}" if on else text


def escape_markdown(text: str) -> str:
    """Text that Markdown (also inside a pipe table) shows as it is."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~$^])", r"\\\1", text)
    return re.sub(r"^([-+#]|\d+[.)])(?=\s)", r"\\\1", text)


LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",  # at the start of a row they would be arguments of the preceding \\
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "†": r"\dag{}",
    "·": r"\textperiodcentered{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\to$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "γ": r"$\gamma$",
    "τ": r"$\tau$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
}


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is. Other Unicode characters are kept: rare ones need a Unicode engine."""
    text = "".join(LATEX_CHARACTERS.get(character, character) for character in " ".join(text.split()))
    return re.sub(r"-(?=-)", "-{}", text)  # no dash from two hyphens


def to_latex(table: Table) -> str:
    """A floating table with booktabs rules, shrunk to the line's width; needs booktabs, graphicx and textcomp."""
    span, stubs = (1, 2) if table.wide else (2, 1)
    pair = "@{\\hspace{1.2em}}r" + "@{\\hspace{.5em}}r" * (span - 1)
    width = stubs + span * len(table.columns)
    text = [
        "% \\usepackage{booktabs,graphicx,textcomp}",
        "\\begin{table}[t]",
        "\\centering",
        f"\\caption{{{escape_latex(table.source)}. {escape_latex(table.caption)} Published numbers beside those "
        f"measured at scale {escape_latex(table.scale)}.}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{{'l' * stubs}{pair * len(table.columns)}}}",
        "\\toprule",
    ]
    for depth, level in enumerate(_levels(table)):
        fields, rules, start = ["Setup" if depth == 0 else "", *([""] * (stubs - 1))], [], stubs + 1
        for head, count in level:
            fields.append(f"\\multicolumn{{{span * count}}}{{c}}{{{escape_latex(head)}}}")
            if head:
                rules.append(f"\\cmidrule(lr){{{start}-{start + span * count - 1}}}")
            start += span * count
        text += [" & ".join(fields) + " \\\\", " ".join(rules)]
    if not table.wide:
        text.append("".join(" & publ. & meas." for _ in table.columns).strip() + " \\\\")
    for number, (group, found) in enumerate(lines(table)):
        text.append("\\midrule" if group or not number else "")
        if group:
            text.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{escape_latex(group)}}}}} \\\\")
        for line in found:
            fields = [escape_latex(line.label) if line.kind != "measured" else "", *([line.kind] if line.kind else [])]
            for field in line.fields:
                spread = f"{{\\scriptsize$\\pm${field.spread}}}" if field.spread else ""
                fields.append(_bold(escape_latex(field.text), field.best) + spread)
            text.append(" & ".join(fields) + " \\\\")
    text += ["\\bottomrule", "\\end{tabular}}", "\\par\\smallskip", "\\begin{minipage}{\\linewidth}\\footnotesize"]
    text += [
        "\\par\n".join(escape_latex(note) for note in notes(table, bold=any(best(table)))),
        "\\end{minipage}",
        "\\end{table}",
        "",
    ]
    return "\n".join(text)


def _bold(text: str, on: bool) -> str:
    return f"\\textbf{{{text}}}" if on else text


HTML = """
<figure class="tesserae-table">
<div class="scroll">
<table class="cells{{ ' dense' if table.dense }}">
<caption><b>{{ table.source }}.</b> {{ table.caption }}</caption>
<thead>
{%- for level in levels %}
<tr>
{%- if loop.first %}<th class="stub" scope="col" rowspan="{{ levels | length + (not table.wide) }}">Setup</th>
{%- if table.wide %}<th class="stub" rowspan="{{ levels | length }}"></th>{% endif %}{% endif %}
{%- set names = loop.last -%}
{%- for text, count in level -%}
<th class="{{ 'span' if text }}{{ ' first' if not names or table.starts[loop.index0] }}" colspan="{{ span * count }}"
 scope="colgroup">{{ text }}</th>
{%- endfor -%}
</tr>
{%- endfor %}
{%- if not table.wide %}
<tr class="kind">
{%- for column in table.columns -%}
<th class="first" scope="col">{{ kinds[0] }}</th><th scope="col">{{ kinds[1] }}</th>
{%- endfor -%}
</tr>
{%- endif %}
</thead>
<tbody>
{%- for group, found in groups %}
{%- if group %}
<tr class="group"><th colspan="{{ width }}" scope="rowgroup"><span>{{ group }}</span></th></tr>
{%- endif %}
{%- for line in found %}
<tr{% if line.kind %} class="{{ line.kind }}"{% endif %}>
{%- if line.kind != "measured" %}
<th scope="row"{% if line.kind %} rowspan="2"{% endif %}>{{ line.label }}</th>
{%- endif %}
{%- if line.kind %}<td class="kind">{{ line.kind }}</td>{% endif %}
{%- for field in line.fields -%}
<td class="{{ field.kind }}{{ ' first' if field.first }}{{ ' best' if field.best }}"
{%- if field.hint %} title="{{ field.hint }}"{% endif -%}
>{% if field.link %}<a href="{{ field.link }}">{{ field.text }}</a>{% else %}{{ field.text }}{% endif %}
{%- if field.spread %} <small>±&hairsp;{{ field.spread }}</small>{% endif -%}
</td>
{%- endfor %}</tr>
{%- endfor %}
{%- endfor %}
</tbody>
</table>
</div>
<figcaption>
{%- for note in notes %}
<p>{{ note }}</p>
{%- endfor %}
</figcaption>
</figure>
""".strip()


def html_fragment(table: Table) -> str:
    """The table as one <figure>, to be placed in a page that has style.TABLE_CSS."""
    span, stubs = (1, 2) if table.wide else (2, 1)
    return template(HTML).render(
        table=table,
        levels=_levels(table),
        kinds=("publ.", "meas.") if table.dense else ("published", "measured"),
        groups=lines(table),
        notes=notes(table, bold=any(best(table))),
        span=span,
        width=stubs + span * len(table.columns),
    )


def to_html(table: Table) -> str:
    """A page of its own, with its style, that needs nothing else; `fragment_of` takes the table out of it."""
    return page(f"{table.source}: {table.title} ({table.scale})", html_fragment(table))


def fragment_of(html: str, *, where: str, folder: str = "") -> str:
    """The <figure> of a page written by `to_html`; raises TableError, naming `where`, if there is none.

    folder: where that page lies, seen from the page that the figure is put into; its links are counted from there. ""
    leaves them as they are, which is right in a page that lies as deep as the table.
    """
    match = re.search(r'<figure class="tesserae-table">.*</figure>', html, flags=re.DOTALL)
    if match is None:
        raise TableError(f"{where} holds no table")
    if not folder:
        return match[0]
    return re.sub(r'(?<= href=")[^"#]+', lambda link: posixpath.normpath(posixpath.join(folder, link[0])), match[0])
