"""A table as text for a reader: Markdown, LaTeX, HTML (same table, same bytes)."""

import itertools
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from tesserae.reporting.escape import escape_latex, escape_markdown
from tesserae.reporting.notes import caveats, notes
from tesserae.reporting.printed import BEHIND, BLANK, marked_own
from tesserae.reporting.style import page, template
from tesserae.reporting.table_csv import to_csv
from tesserae.reporting.tables import ARROWS, Column, Table, TableError


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


def best(table: Table) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(row key, column name) of the best published and of the best measured numbers, column by column.

    Ties (numbers printed alike) are all best; blanks never are; a number alone in its column is compared with nothing
    and is not marked; nor is anything in a column without direction. Controls do not take part.
    """
    marked: tuple[set, set] = (set(), set())
    for column in table.columns:
        if column.direction == "none":
            continue
        choose = min if column.direction == "lower" else max
        for kind, marks in enumerate(marked):
            texts = {key: (cell.printed, cell.shown)[kind] for key, cell in table.compared(column).items()}
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


def _titled(column: Column, name: str) -> str:
    """A column's name with its direction."""
    return f"{marked_own(name, column.own)} {ARROWS[column.direction]}".strip()


def _levels(table: Table) -> list[list[tuple[str, int]]]:
    """Heading rows above published/measured: (text, number of metric columns it spans); empty rows are left out."""
    headings = [(*column.heading[:2], _titled(column, column.heading[2]), column.name) for column in table.columns]
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
    left_out: bool = False  # the text is the reason why there is no number
    control: str = ""  # what stands below it: the number that it has to beat
    control_hint: str = ""
    control_link: str = ""
    behind: bool = False


@dataclass(frozen=True)
class Line:
    """One printed line: a row, or in a wide table its published or its measured half. A row of ours says so."""

    label: str
    kind: str  # of all its numbers; "" where both kinds stand side by side
    fields: tuple[Field, ...]
    height: int = 1  # lines of its row, of which this is the first; 0: it is a further one


def lines(table: Table) -> list[tuple[str, list[Line]]]:
    """What the writers print, from top to bottom: (heading of a group or "", its lines)."""
    kinds, found = table.kinds, []
    marked = dict(zip(("published", "measured"), best(table), strict=True))

    def field(key: str, label: str, column: Column, kind: str, first: bool) -> Field:
        cell, good = table.cells[key, column.name], (key, column.name) in marked[kind]
        if kind == "published":
            blank = BLANK if cell.blank and key not in table.control_rows else ""
            return Field(kind, cell.printed or blank, "", good, cell.note, "", first)
        if cell.measured is None:
            return Field(kind, cell.blank, "", False, cell.reason, "", first, cell.left_out)
        hint, link = f"{cell.artifact}, measure {cell.measure_id}", table.lineage(label, column)
        text = cell.shown + (BEHIND if cell.behind else "")
        if cell.control is None:
            return Field(kind, text, cell.spread, good, hint, link, first)
        words = f"control: {cell.control_words} ({cell.control_artifact})"
        beside = {"control_hint": words, "control_link": table.lineage_of(cell.control_artifact)}
        shown = {"control": cell.control_shown, "behind": cell.behind, **beside}
        return Field(kind, text, cell.spread, good, hint, link, first, **shown)

    for key, label in table.rows:
        shown = marked_own(label, key in table.own_rows)
        if not found or found[-1][0] != table.groups[key]:
            found.append((table.groups[key], []))
        if table.wide:
            halves = ("measured",) if key in table.control_rows else kinds  # no paper prints controls
            for kind in halves:
                half = (field(key, label, *place) for place in zip(table.columns, itertools.repeat(kind), table.starts))
                height = len(halves) if kind == halves[0] else 0
                found[-1][1].append(Line(shown, kind, tuple(half), height))
        else:
            both = (field(key, label, column, kind, kind == kinds[0]) for column in table.columns for kind in kinds)
            found[-1][1].append(Line(shown, "", tuple(both)))
    return found


def _span(table: Table) -> int:
    """How many columns of numbers a metric has."""
    return 1 if table.wide else len(table.kinds)


def to_markdown(table: Table) -> str:
    """A pipe table: for each metric a published and a measured column, or in a wide table two lines per row, or the
    measured column alone where no paper prints the table; best in bold; the notes as a list below. A number's control
    stands below it.
    """
    stub = ["Setup", ""] if table.wide else ["Setup"]
    kinds = [""] if _span(table) == 1 else [f"<br>{kind}" for kind in table.kinds]
    names = [_titled(column, escape_markdown(column.name)) for column in table.columns]
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
                escape_markdown(line.label) if line.height else "",
                *([line.kind] if line.kind else []),
            ]
            for field in line.fields:
                number = _wrap(field.text, "**", field.best) + (f" ± {field.spread}" if field.spread else "")
                fields.append(number + (f"<br>control {field.control}" if field.control else ""))
            text.append(f"| {' | '.join(fields)} |")
    return "\n".join([*text, "", *(f"- {escape_markdown(note)}" for note in notes(table, bold=any(best(table)))), ""])


def _wrap(text: str, mark: str, on: bool) -> str:
    return f"{mark}{text}{mark}" if on else text


def to_latex(table: Table) -> str:
    """A floating table with booktabs rules, shrunk to the line's width; needs booktabs, graphicx and textcomp."""
    span, stubs = _span(table), 2 if table.wide else 1
    contents = "Published numbers beside those measured" if len(table.kinds) == 2 else "Measured"
    pair = "@{\\hspace{1.2em}}r" + "@{\\hspace{.5em}}r" * (span - 1)
    width = stubs + span * len(table.columns)
    text = [
        "% \\usepackage{booktabs,graphicx,textcomp}",
        "\\begin{table}[t]",
        "\\centering",
        f"\\caption{{{escape_latex(table.source)}. {escape_latex(table.caption)} {contents} at scale "
        f"{escape_latex(table.scale)}.}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{{'l' * stubs}{pair * len(table.columns)}}}",
        "\\toprule",
    ]
    for depth, level in enumerate(_levels(table)):
        fields, rules, start = ["Setup" if depth == 0 else "", *([""] * (stubs - 1))], [], stubs + 1
        for head, count in level:
            fields.append(f"\\multicolumn{{{span * count}}}{{c}}{{{escape_latex(head)}}}")
            if head and span * count > 1:
                rules.append(f"\\cmidrule(lr){{{start}-{start + span * count - 1}}}")
            start += span * count
        text += [" & ".join(fields) + " \\\\", " ".join(rules)]
    if span == 2:
        text.append("".join(" & publ. & meas." for _ in table.columns).strip() + " \\\\")
    for number, (group, found) in enumerate(lines(table)):
        text.append("\\midrule" if group or not number else "")
        if group:
            text.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{escape_latex(group)}}}}} \\\\")
        for line in found:
            fields = [escape_latex(line.label) if line.height else "", *([line.kind] if line.kind else [])]
            for field in line.fields:
                spread = f"{{\\scriptsize$\\pm${field.spread}}}" if field.spread else ""
                fields.append(_above(_bold(escape_latex(field.text), field.best) + spread, field.control))
            text.append(" & ".join(fields) + " \\\\")
    text += ["\\bottomrule", "\\end{tabular}}", "\\par\\smallskip", "\\begin{minipage}{\\linewidth}\\footnotesize"]
    text += [
        "\\par\n".join(escape_latex(note) for note in notes(table, bold=any(best(table)))),
        "\\end{minipage}",
        "\\end{table}",
        "",
    ]
    return "\n".join(text)


def _above(number: str, control: str) -> str:
    """A number with its control, if it has one, below it."""
    return f"\\shortstack[r]{{{number}\\\\{{\\scriptsize control {control}}}}}" if control else number


def _bold(text: str, on: bool) -> str:
    return f"\\textbf{{{text}}}" if on else text


HTML = """
<figure class="tesserae-table">
<div class="scroll" tabindex="0" role="region" aria-label="{{ table.source }}">
<table class="cells{{ ' dense' if table.dense }}">
<caption><b>{{ table.source }}.</b> {{ table.caption }}</caption>
<thead>
{%- for level in levels %}
<tr>
{%- if loop.first %}<th class="stub" scope="col" rowspan="{{ levels | length + (span == 2) }}">Setup</th>
{%- if table.wide %}<th class="stub" rowspan="{{ levels | length }}"></th>{% endif %}{% endif %}
{%- set names = loop.last -%}
{%- for text, count in level -%}
<th class="{{ 'span' if text }}{{ ' first' if not names or table.starts[loop.index0] }}" colspan="{{ span * count }}"
 scope="colgroup">{{ text }}</th>
{%- endfor -%}
</tr>
{%- endfor %}
{%- if span == 2 %}
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
{%- if line.height %}
<th scope="row"{% if line.kind %} rowspan="{{ line.height }}"{% endif %}>{{ line.label }}</th>
{%- endif %}
{%- if line.kind %}<td class="kind">{{ line.kind }}</td>{% endif %}
{%- for field in line.fields -%}
<td class="{{ field.kind }}{{ ' first' if field.first }}{{ ' best' if field.best }}
{{- ' behind' if field.behind }}{{ ' left-out' if field.left_out }}"
{%- if field.hint %} title="{{ field.hint }}"{% endif -%}
>{% if field.link %}<a href="{{ field.link }}">{{ field.text }}</a>{% else %}{{ field.text }}{% endif %}
{%- if field.spread %} <small>±&hairsp;{{ field.spread }}</small>{% endif -%}
{%- if field.control %} <small class="control" title="{{ field.control_hint }}">
{%- if field.control_link %}<a href="{{ field.control_link }}">control {{ field.control }}</a>
{%- else %}control {{ field.control }}{% endif %}</small>{% endif -%}
</td>
{%- endfor %}</tr>
{%- endfor %}
{%- endfor %}
</tbody>
</table>
</div>
<figcaption>
{%- for line in caveats %}
<p>{{ line }}</p>
{%- endfor %}
<details><summary>{{ notes[0] }}</summary>
{%- for note in notes[1:] %}
<p>{{ note }}</p>
{%- endfor %}
</details>
</figcaption>
</figure>
""".strip()


def html_fragment(table: Table) -> str:
    """The table as one <figure>, to be placed in a page that has style.TABLE_CSS."""
    span, stubs = _span(table), 2 if table.wide else 1
    return template(HTML).render(
        table=table,
        levels=_levels(table),
        kinds=("publ.", "meas.") if table.dense else ("published", "measured"),
        groups=lines(table),
        caveats=caveats(table),
        notes=[line for line in notes(table, bold=any(best(table))) if line not in caveats(table)],
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
