"""Tables: published numbers beside measured ones, never mixed, with how each measured number was obtained.

A table is built from its description in the configuration, the metrics of its cells and the paper's published
numbers; the writers `to_csv`, `to_markdown`, `to_latex` and `to_html` turn it into text (same table, same bytes).
"""

from __future__ import annotations

import csv
import io
import json
import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.reporting import published as published_numbers
from tesserae.reporting.links import LINEAGE, anchor
from tesserae.reporting.style import page, template

if TYPE_CHECKING:  # half a second that who only shows a table need not wait for
    import pandas as pd

ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
BLANK = "–"
DECIMALS = {"precision": 3, "recall": 3}  # all other metrics: two decimals, as the papers print FID and IS
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
)
INCOMPARABLE = (
    "Numbers of different scales or feature extractors are not comparable in absolute value: compare the "
    "order of the rows within one column."
)


class TableError(ValueError):
    """A table that would mislead: numbers of two measures in one column, or a description that fits no data."""


@dataclass(frozen=True)
class Column:
    """One metric of one system. `name` is the published file's column, e.g. "MAR-B w/ CFG FID"."""

    name: str
    direction: str  # lower, higher, none: which way is better
    value: str  # key in the metrics' values, e.g. "fid"
    artifact: str  # where the metrics come from, "{row}" stands for the row's key

    @property
    def heading(self) -> tuple[str, str, str]:
        """(system, condition, metric), e.g. ("MAR-B", "w/ CFG", "FID"); parts that are absent are ""."""
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
    measured: float | None
    deviation: float | None  # over the metric's splits or subsets, where it has them
    measure: Mapping[str, Any] | None  # how the measured number was obtained
    measure_id: str
    selection: Mapping[str, Any] | None  # which guidance or temperature was chosen, and on what
    artifact: str

    decimals: int  # of the measured number in print

    @property
    def shown(self) -> str:
        """The measured number as the table prints it, "" for a blank."""
        return "" if self.measured is None else f"{self.measured:.{self.decimals}f}"

    @property
    def shown_deviation(self) -> str:
        return "" if self.deviation is None else f"{self.deviation:.{self.decimals}f}"


@dataclass(frozen=True)
class Table:
    """Rows by columns of cells. `rows` are (key, label); `cells` has one entry for each (row key, column name)."""

    source: str
    title: str
    scale: str
    rows: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, str], Cell]
    recipe: str = ""  # under which the workflow makes it; "" if it is none of its tables

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

    description: {"source": "Table 1", "title": ..., "rows": {key: label} or pairs, "columns": [{"name", "direction",
    "value", "artifact"}, ...]}; labels and names are those of the published file. cells: the content of metrics.json
    for each (row key, column name), None where nothing was run. published: from `published.load`. recipe: the name of
    the table's artifact, with which each measured number leads to the lineage page in HTML.

    Raises PublishedError for a row or column that the published file does not have, and TableError for: a cell that
    is not given, metrics without the wanted value, a value that is not finite, a direction that contradicts the
    published file, a selection that contradicts the measure, and two measures in one column (see `same_measure`).
    """
    source = description["source"]
    rows = tuple((str(key), " ".join(str(label).split())) for key, label in dict(description["rows"]).items())
    columns = tuple(
        Column(" ".join(item["name"].split()), item["direction"], item["value"], item["artifact"])
        for item in description["columns"]
    )
    for column in columns:
        if column.direction not in ARROWS:
            raise TableError(
                f"{source}, column {column.name!r}: direction {column.direction!r} is not one of {', '.join(ARROWS)}"
            )
    joined = {}
    for key, label in rows:
        for column in columns:
            where = f"{source}, row {label!r}, column {column.name!r}"
            if (key, column.name) not in cells:
                raise TableError(f"{where}: no cell is given (None would be a blank)")
            line = published_numbers.find(published, source, label, column.name)
            joined[key, column.name] = _cell(column, key, cells[key, column.name], line, where)
    title = " ".join(str(description["title"]).split()).rstrip(".")
    table = Table(source, title, scale, rows, columns, joined, recipe)
    for column in columns:
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
        if measure["extractor"] != expected["extractor"]:
            raise TableError(
                f"{where} mixes feature extractors: {expected['extractor']} ({first}) and "
                f"{measure['extractor']} ({label})"
            )
        differing = [
            f"{name} {_plain(expected.get(name))} ({first}) and {_plain(measure.get(name))} ({label})"
            for name in sorted({*expected, *measure} - set(CHOSEN))
            if expected.get(name) != measure.get(name)
        ]
        if differing:
            raise TableError(f"{where} mixes measures: {'; '.join(differing)}")


def _cell(column: Column, key: str, metrics: Mapping[str, Any] | None, line: pd.Series, where: str) -> Cell:
    if line["direction"] != column.direction:
        raise TableError(f"{where}: direction {column.direction!r}, but {line['direction']!r} in the published file")
    base = {
        "published": None if math.isnan(line["value"]) else float(line["value"]),
        "printed": line["printed"],
        "note": line["note"],
        "artifact": column.artifact.replace("{row}", key),
        "decimals": DECIMALS.get(column.value, 2),
    }
    if metrics is None:
        return Cell(**base, measured=None, deviation=None, measure=None, measure_id="", selection=None)
    if column.value not in metrics["values"]:
        raise TableError(f"{where}: the metrics have no {column.value!r}, only {', '.join(sorted(metrics['values']))}")
    measured = float(metrics["values"][column.value])
    if not math.isfinite(measured):
        raise TableError(f"{where}: the measured value is {measured}")
    measure, selection = metrics["measure"], metrics.get("selection")
    if "extractor" not in measure:
        raise TableError(f"{where}: the measure names no extractor")
    for name in CHOSEN:
        if selection and name in selection and name in measure and selection[name] != measure[name]:
            raise TableError(f"{where}: {name} {selection[name]} was selected, but {measure[name]} was measured")
    deviation = (metrics.get("deviation") or {}).get(column.value)
    return Cell(
        **base,
        measured=measured,
        deviation=None if deviation is None else float(deviation),
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


def notes(table: Table) -> list[str]:
    """The lines under the table, plain text: scale, extractor, samples, selections, measure ids, what was not run."""
    lines = [f"Published: printed in the paper ({table.source}). Measured: scale {table.scale}{_measured_with(table)}."]
    if any(cell.measured is not None for cell in table.cells.values()):
        lines.append(INCOMPARABLE)
    if any(best(table)):
        lines.append("Bold: the best of its column, among the published and among the measured numbers separately.")
    if any(cell.deviation is not None for cell in table.cells.values()):
        lines.append("±: standard deviation over the splits of the one set of samples, not over training seeds.")
    for setting, cells in table.settings:
        lines += _selected(setting, cells)
    lines += _identities(table)
    missing = _missing(table)
    if missing:
        lines.append(f"Not run at this scale ({BLANK}): {missing}.")
    return lines


def _measured_with(table: Table) -> str:
    """The fields of the measure that the reader must know; column by column where columns differ."""
    described: dict[str, list[str]] = {}
    for setting, cells in table.settings:
        for _, cell in cells:
            if cell.measure is not None:
                measure = cell.measure
                text = f"extractor {measure['extractor']}"
                text += f" (layer {measure['layer']})" if "layer" in measure else ""
                text += f", {measure['samples']} samples per number" if "samples" in measure else ""
                for name in ("reference", "quantisation", "seed"):
                    text += f", {name} {_plain(measure[name])}" if name in measure else ""
                described.setdefault(text, []).append(setting)
                break
    if not described:
        return "; nothing was measured"
    if len(described) == 1:
        return f"; {next(iter(described))}"
    return "".join(f"; {', '.join(settings)}: {text}" for text, settings in described.items())


def _selected(setting: str, cells: list[tuple[str, Cell]]) -> list[str]:
    """What was sampled with, by row, and how that was chosen: one line for each way of choosing."""
    ways: dict[str, dict[str, list[str]]] = {}
    for label, cell in cells:
        if cell.measure is None or "guidance" not in cell.measure:
            continue
        chosen = f"guidance {_plain(cell.measure['guidance'])}"
        if cell.measure.get("temperature") not in (None, 1.0):
            chosen += f", temperature {_plain(cell.measure['temperature'])}"
        chosen += ", at the edge of the candidates" if _at_edge(cell) else ""
        ways.setdefault(_way(cell.selection), {}).setdefault(chosen, []).append(label)
    lines = []
    for way, rows in ways.items():
        chosen_by_row = "; ".join(f"{chosen} ({', '.join(labels)})" for chosen, labels in rows.items())
        lines.append(f"{setting}: {chosen_by_row}; {way}.")
    return lines


def _at_edge(cell: Cell) -> bool:
    """Whether the smallest or largest candidate was selected, so that a wider search might find a better one."""
    candidates = (cell.selection or {}).get("candidates") or ()
    temperature = cell.measure.get("temperature")  # swept without guidance only; 1 with guidance
    value = cell.measure["guidance"] if temperature in (None, 1.0) else temperature
    return len(candidates) > 1 and value in (min(candidates), max(candidates))


def _way(selection: Mapping[str, Any] | None) -> str:
    if not selection:
        return "fixed, nothing was selected"
    statistic = selection["statistic"]
    extreme = "highest" if statistic in ("is", "precision", "recall", "psnr") else "lowest"
    text = f"selected by the {extreme} {statistic.upper()} on {selection['samples']} samples"
    candidates = selection.get("candidates")
    return f"{text} among {', '.join(_plain(candidate) for candidate in candidates)}" if candidates else text


def _identities(table: Table) -> list[str]:
    lines = []
    for setting, cells in table.settings:
        owners: dict[str, list[str]] = {}
        for label, cell in cells:
            if cell.measure_id:
                owners.setdefault(cell.measure_id, []).append(label)
        if len(owners) == 1:
            lines.append(f"{setting} {next(iter(owners))}")
        elif owners:
            lines.append(
                f"{setting} " + ", ".join(f"{identity} ({', '.join(labels)})" for identity, labels in owners.items())
            )
    return [f"Measures: {'; '.join(lines)}."] if lines else []


def _missing(table: Table) -> str:
    """Rows without any measured number, then single cells without one."""
    parts = []
    for key, label in table.rows:
        blanks = [column for column in table.columns if table.cells[key, column.name].measured is None]
        if len(blanks) == len(table.columns):
            parts.append(label)
        elif blanks:
            parts.append(f"{label} ({', '.join(_named(blanks, table.columns))})")
    return "; ".join(parts)


def _named(some: Sequence[Column], columns: Sequence[Column]) -> list[str]:
    """The names of some columns; a system or setting of which all columns are among them is named once, as a whole."""
    names = []
    for column in some:
        for path in (column.heading[:1], column.heading[:2]):
            if path[-1] and all(other in some for other in columns if other.heading[: len(path)] == path):
                names.append(" ".join(filter(None, path)))
                break
        else:
            names.append(column.name)
    return list(dict.fromkeys(names))


def _plain(value: Any) -> str:
    """A setting as a reader writes it: 3.0 as 3, a nested one as JSON."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


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
                    measure.get("guidance"),
                    cell.artifact,
                    measure.get("temperature"),
                    measure.get("samples"),
                    "" if cell.deviation is None else repr(cell.deviation),
                ]
            )
    return file.getvalue()


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read what `to_csv` wrote: CSV_COLUMNS; numbers as float64 (NaN is a blank), all other columns as text."""
    numbers = ("published", "measured", "guidance", "temperature", "samples", "deviation")
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns) != CSV_COLUMNS:
        raise TableError(f"{path}: the columns must be {','.join(CSV_COLUMNS)}, found {','.join(frame.columns)}")
    for name in numbers:
        frame[name] = [float(text) if text else math.nan for text in frame[name]]
    return frame


def summary(frame: pd.DataFrame) -> str:
    """One Markdown paragraph on `read_csv`'s frame: scale, extractor, how much was measured, and what was not run."""
    ran = frame[frame["measured"].notna()]
    extractors = ", ".join(f"`{name}`" for name in dict.fromkeys(ran["extractor"])) or "none"
    samples = ", ".join(f"{count:g}" for count in dict.fromkeys(ran["samples"].dropna())) or "0"
    text = (
        f"Scale **{', '.join(dict.fromkeys(frame['scale']))}**, feature extractor {extractors}, {samples} samples "
        f"per number: {len(ran)} of {len(frame)} cells are measured."
    )
    missing = frame[frame["measured"].isna()]
    for row, cells in missing.groupby("row", sort=False):
        whole = len(cells) == int((frame["row"] == row).sum())
        text += f"\n- Not run: {escape_markdown(str(row))}"
        text += "" if whole else f" ({', '.join(escape_markdown(name) for name in cells['column'])})"
    return text


def to_markdown(table: Table) -> str:
    """A pipe table: for each metric a published and a measured column; best in bold; the notes as a list below."""
    best_published, best_measured = best(table)
    header, rule = ["Setup"], [":---"]
    for column in table.columns:
        name = f"{escape_markdown(column.name)} {ARROWS[column.direction]}".strip()
        header += [f"{name}<br>published", f"{name}<br>measured"]
        rule += ["---:", "---:"]
    lines = [
        f"**{escape_markdown(table.source)}. {escape_markdown(table.title)}**",
        "",
        f"| {' | '.join(header)} |",
        f"| {' | '.join(rule)} |",
    ]
    for key, label in table.rows:
        fields = [escape_markdown(label)]
        for column in table.columns:
            cell, place = table.cells[key, column.name], (key, column.name)
            deviation = f" ± {cell.shown_deviation}" if cell.shown_deviation else ""
            fields.append(_wrap(cell.printed or BLANK, "**", place in best_published))
            fields.append(_wrap(cell.shown or BLANK, "**", place in best_measured) + deviation)
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join([*lines, "", *(f"- {escape_markdown(note)}" for note in notes(table)), ""])


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
    best_published, best_measured = best(table)
    spec = "l" + "".join("@{\\hspace{1.2em}}r@{\\hspace{.5em}}r" for _ in table.columns)
    lines = [
        "% \\usepackage{booktabs,graphicx,textcomp}",
        "\\begin{table}[t]",
        "\\centering",
        f"\\caption{{{escape_latex(table.source)}. {escape_latex(table.title)}. Published numbers beside those "
        f"measured at scale {escape_latex(table.scale)}.}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{{spec}}}",
        "\\toprule",
    ]
    for depth, level in enumerate(_levels(table)):
        fields, rules, start = ["Setup" if depth == 0 else ""], [], 2
        for text, count in level:
            fields.append(f"\\multicolumn{{{2 * count}}}{{c}}{{{escape_latex(text)}}}")
            if text:
                rules.append(f"\\cmidrule(lr){{{start}-{start + 2 * count - 1}}}")
            start += 2 * count
        lines += [" & ".join(fields) + " \\\\", " ".join(rules)]
    lines += ["".join(" & publ. & meas." for _ in table.columns).strip() + " \\\\", "\\midrule"]
    for key, label in table.rows:
        fields = [escape_latex(label)]
        for column in table.columns:
            cell, place = table.cells[key, column.name], (key, column.name)
            deviation = f"{{\\scriptsize$\\pm${cell.shown_deviation}}}" if cell.shown_deviation else ""
            fields.append(_bold(escape_latex(cell.printed or BLANK), place in best_published))
            fields.append(_bold(escape_latex(cell.shown or BLANK), place in best_measured) + deviation)
        lines.append(" & ".join(fields) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}", "\\par\\smallskip", "\\begin{minipage}{\\linewidth}\\footnotesize"]
    lines += ["\\par\n".join(escape_latex(note) for note in notes(table)), "\\end{minipage}", "\\end{table}", ""]
    return "\n".join(lines)


def _bold(text: str, on: bool) -> str:
    return f"\\textbf{{{text}}}" if on else text


HTML = """
<figure class="tesserae-table">
<div class="scroll">
<table class="cells">
<caption><b>{{ table.source }}.</b> {{ table.title }}.</caption>
<thead>
{%- for level in levels %}
<tr>
{%- if loop.first %}<th class="stub" scope="col" rowspan="{{ levels | length + 1 }}">Setup</th>{% endif %}
{%- for text, count in level -%}
<th class="{{ 'span ' if text }}first" colspan="{{ 2 * count }}" scope="colgroup">{{ text }}</th>
{%- endfor -%}
</tr>
{%- endfor %}
<tr class="kind">
{%- for column in table.columns -%}
<th class="first" scope="col">published</th><th scope="col">measured</th>
{%- endfor -%}
</tr>
</thead>
<tbody>
{%- for key, label in table.rows %}
<tr><th scope="row">{{ label }}</th>
{%- for column in table.columns %}
{%- set cell = table.cells[key, column.name] -%}
<td class="published first{{ ' best' if (key, column.name) in best_published }}"
{%- if cell.note %} title="{{ cell.note }}"{% endif %}>{{ cell.printed or blank }}</td>
{#- -#}
<td class="measured{{ ' best' if (key, column.name) in best_measured }}"
{%- set link = table.lineage(label, column) if cell.measured is not none else "" -%}
{%- if cell.measured is not none %} title="{{ cell.artifact }}, measure {{ cell.measure_id }}"{% endif -%}
>{% if link %}<a href="{{ link }}">{{ cell.shown }}</a>{% else %}{{ cell.shown or blank }}{% endif %}
{%- if cell.shown_deviation %} <small>±&hairsp;{{ cell.shown_deviation }}</small>{% endif -%}
</td>
{%- endfor %}</tr>
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
    best_published, best_measured = best(table)
    return template(HTML).render(
        table=table,
        levels=_levels(table),
        notes=notes(table),
        best_published=best_published,
        best_measured=best_measured,
        blank=BLANK,
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
