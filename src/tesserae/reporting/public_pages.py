"""Published results as Markdown: a paper's page, the index of a scale, and what the project's README takes from it."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesserae.config.reported import address, by_difference, difference
from tesserae.reporting.claims_files import number, signed
from tesserae.reporting.escape import escape_markdown
from tesserae.reporting.printed import BEHIND
from tesserae.reporting.tables import ARROWS
from tesserae.reporting.verdicts import MARKS

FRONT = "front"  # the mark of what others take from a page
COLUMNS = 4  # of an excerpt, at most
FACTS = ("settings", "counted")  # kinds of measures


@dataclass(frozen=True)
class Paper:
    """A paper, as its page introduces it."""

    key: str
    name: str
    title: str
    arxiv: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure: its title, and its file relative to the page."""

    title: str
    file: str


# ---- marks ------------------------------------------------------------------------------------------------------


def marked(text: str, name: str) -> str:
    """A text between marks that Markdown does not show."""
    return f"<!-- results of {name}: written by `make publish` -->\n{text.strip()}\n<!-- end of {name} -->"


def _marks(name: str) -> re.Pattern:
    return re.compile(
        rf"(<!-- results of {re.escape(name)}: [^\n]*-->\n)(.*?)(\n<!-- end of {re.escape(name)} -->)", re.DOTALL
    )


def between(text: str, name: str) -> str | None:
    """What stands between the marks of a name, None without them."""
    found = _marks(name).search(text)
    return found[2] if found else None


def replaced(text: str, name: str, new: str) -> str:
    """A text with `new` between the marks of a name."""
    return _marks(name).sub(lambda found: f"{found[1]}{new}{found[3]}", text)


def relocated(text: str, folder: Path) -> str:
    """A page's text for a page that lies `folder` above it: relative links are counted from there."""
    return re.sub(r"(\]\()(?![\w+]+:|#)", lambda found: f"{found[1]}{folder.as_posix()}/", text)


# ---- numbers ----------------------------------------------------------------------------------------------------


def read_cells(text: str) -> list[dict[str, str]]:
    """The lines of a table.csv, from its text."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def counts(tables: Iterable[Sequence[Mapping[str, str]]]) -> dict[str, int]:
    """Tables, their measured numbers, how many of these have a control, and how many of them do not beat it."""
    tables = list(tables)
    measured = [cell for cells in tables for cell in cells if cell["measured"] and not cell["is_control"]]
    return {
        "tables": len(tables),
        "measured": len(measured),
        "controlled": sum(bool(cell["control"]) for cell in measured),
        "behind": sum(cell["behind"] == "yes" for cell in measured),
    }


def excerpt(cells: Sequence[Mapping[str, str]]) -> str:
    """Of a table the rows and columns in which something was measured, with published numbers and controls.

    Of many columns those come first that have controls; what recipes say and networks count is no measurement.
    """
    ours = [cell for cell in cells if not cell["is_control"] and cell["direction"] != "none"]
    ran = [cell for cell in ours if cell["measured"] and cell["kind"] not in FACTS]
    if not ran:
        return "Nothing of the first table was run at this scale."
    controlled = {cell["column"] for cell in ran if cell["control"]}
    columns = sorted(dict.fromkeys(cell["column"] for cell in ran), key=lambda name: name not in controlled)[:COLUMNS]
    rows = list(dict.fromkeys(cell["row"] for cell in ran if cell["column"] in columns))
    at = {(cell["row"], cell["column"]): cell for cell in ours}
    printed = {column for row, column in at if row in rows and at[row, column]["published"]}
    best = {column: _best([at[row, column] for row in rows if (row, column) in at]) for column in columns}
    head, rule = [escape_markdown(ran[0]["table"])], [":---"]
    for column in columns:
        arrow = ARROWS[next(cell for cell in ours if cell["column"] == column)["direction"]]
        name = f"{escape_markdown(column)} {arrow}"
        head += [f"{name}<br>published", f"{name}<br>measured"] if column in printed else [name]
        rule += ["---:"] * (2 if column in printed else 1)
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(rule)} |"]
    for row in rows:
        fields = [escape_markdown(row)]
        for column in columns:
            cell = at.get((row, column))
            fields += [cell["published"] if cell else ""] if column in printed else []
            fields.append(_measured(cell, best[column]) if cell else "")
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines)


def _best(cells: Sequence[Mapping[str, str]]) -> str:
    """The best measured number as printed; "" where there is only one."""
    found = [float(cell["measured"]) for cell in cells if cell["measured"]]
    if len(found) < 2:
        return ""
    return number(min(found) if cells[0]["direction"] == "lower" else max(found))


def _measured(cell: Mapping[str, str], best: str) -> str:
    if not cell["measured"]:
        return "–"
    text = number(float(cell["measured"]))
    text = f"**{text}**" if text == best else text
    text += BEHIND if cell["behind"] == "yes" else ""
    return text + (f"<br>control {number(float(cell['control']))}" if cell["control"] else "")


# ---- pages ------------------------------------------------------------------------------------------------------


def verdicts(claims: Path) -> str:
    """How many claims of a claims.json have which verdict."""
    found = json.loads(claims.read_text(encoding="utf-8"))["summary"]
    return ", ".join(f"{found[word]} {word}" for word in MARKS if found.get(word)) or "none"


def made_words(told: Mapping[str, Any]) -> str:
    """By which code and libraries, from the fields that fingerprints have."""
    commits = ", ".join(
        f"`{commit[:12]}`{commit[40:]}" if commit != "no commit" else commit for commit in told["commits"]
    )
    libraries = told["libraries"]
    named = ", ".join(f"{name} {' or '.join(libraries[name])}" for name in ("torch", "numpy") if name in libraries)
    return f"commit {commits}; Python {' or '.join(told['python'])}{f', {named}' if named else ''}"


def paper_page(
    paper: Paper,
    *,
    scale: str,
    purpose: str,
    made: Mapping[str, Any],
    tables: Sequence[str],
    pictures: Sequence[Picture],
    front: str,
    claims: Path | None,
    reported: Sequence[Mapping[str, Any]] = (),
    so_far: Mapping[str, Any] | None = None,
) -> str:
    """A paper's page.

    tables: Markdown of each; front: the excerpt that the index shows; claims: its claims.json; reported: what others
    told of the paper's numbers, as config/reported.py has it; so_far: of a paper that was run in part, how many tables
    and figures there are in all, and how many jobs are left with their hours.
    """
    source = f" [arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})." if paper.arxiv else ""
    lines = [
        f"# {escape_markdown(paper.name)} at scale {scale}",
        "",
        f"{escape_markdown(paper.title)}.{source}",
        f"Scale {scale}: {purpose}. [All papers at this scale](README.md).",
        "",
        f"Made by {made_words(made)}; what each number depends on is in "
        f"[{paper.key}.fingerprints.json]({paper.key}.fingerprints.json).",
        "",
    ]
    if so_far is not None:
        lines += [_left_in_words(so_far, len(tables), len(pictures)), ""]
    if claims is not None:
        lines += [f"[Claims]({paper.key}.claims.md): {verdicts(claims)}.", ""]
    lines += ["## In short", "", marked(front, FRONT), "", "## Tables", ""]
    lines += ["\n\n".join(text.strip() for text in tables), "", "## Figures", ""]
    for picture in pictures:
        lines += [f"**{escape_markdown(picture.title)}**", "", f"![{_alternative(picture.title)}]({picture.file})", ""]
    if reported:
        lines += ["## Where published numbers and reports disagree", "", *_reported(reported)]
    return "\n".join(lines).rstrip() + "\n"


def _left_in_words(so_far: Mapping[str, Any], tables: int, figures: int) -> str:
    """How much of a paper was run, and what the rest costs."""
    cost = f", about {so_far['hours']:,.0f} {so_far['unit']}" if "hours" in so_far else ""
    return (
        f"**Run in part:** there are numbers of {tables} of {so_far['tables']} tables, and {figures} of "
        f"{so_far['figures']} figures. Not run: {so_far['jobs']:,} jobs{cost}."
    )


def _reported(reported: Sequence[Mapping[str, Any]]) -> list[str]:
    """A pipe table of what others told of a paper's numbers."""
    lines = [
        "Told in public threads by readers and authors; neither published nor measured here, and reviewed by nobody. "
        "Largest differences first; what agrees stands last.",
        "",
        "| What | Reported | Published | Difference | Settings | What the thread found | Thread |",
        "| :--- | ---: | ---: | ---: | :--- | :--- | :--- |",
    ]
    for one in by_difference(reported):
        place = f" ({one['table']}, {one['row']}, {one['column']})" if one["table"] else ""
        other = one["published"] or (f"{one['against']}, says the thread" if one["against"] else "–")
        found = one["found"] + (" (read in part)" if one["read"] == "part" else "")
        fields = [f"{one['system']}: {one['metric']}{place}", one["value"], other, signed(difference(one)) or "–"]
        fields = [escape_markdown(field) for field in (*fields, one["settings"], found)]
        lines.append(
            f"| {' | '.join(fields)} | [{escape_markdown(one['source'])}]({address(one['source'])}), {one['date']}, "
            f"{one['status']} |"
        )
    return lines


def _alternative(title: str) -> str:
    return re.sub(r"[\[\]]", "", " ".join(title.split()))


def index(top: Path, told: Mapping[str, Mapping[str, Any]], *, scale: str, purpose: str) -> str:
    """The index of what was published at a scale, in the folder `top`; told: fingerprints by paper."""
    lines = [
        "| Paper | Claims | Tables | Measured numbers | that beat their control | Figures |",
        "| :--- | :--- | ---: | ---: | ---: | ---: |",
    ]
    for paper, one in told.items():
        summary, claims = one["summary"], top / f"{paper}.claims.json"
        beat = (
            f"{summary['controlled'] - summary['behind']} of {summary['controlled']}" if summary["controlled"] else "–"
        )
        words = f"[{verdicts(claims)}]({claims.name})".replace(".json)", ".md)") if claims.is_file() else "none"
        tables, figures = (
            f"{summary[kind]} of {summary['so_far'][kind]}" if "so_far" in summary else str(summary[kind])
            for kind in ("tables", "figures")
        )
        name = f"[{escape_markdown(summary['name'])}]({paper}.md)"
        fields = [name, words, tables, str(summary["measured"]), beat, figures]
        lines.append(f"| {' | '.join(fields)} |")
    first, *others = told
    overview = "\n".join(lines)
    by_code: dict[str, list[str]] = {}
    for one in told.values():
        by_code.setdefault(made_words(one), []).append(one["summary"]["name"])
    code = "; ".join(f"{words} ({', '.join(names)})" if len(by_code) > 1 else words for words, names in by_code.items())
    front = [
        f"Results at scale `{scale}`, made by {code}:",
        "",
        overview,
        "",
        *_excerpt_of(top, first, told[first]),
    ]
    text = [
        f"# Results at scale {scale}",
        "",
        f"{purpose[0].upper()}{purpose[1:]}. Written by `make publish` from artifacts alone; "
        f"`tesserae --scale {scale} publish --check` says which of them the present code would make "
        "otherwise, and why.",
        "What the words and marks mean: [controls](../../controls.md), [small scales](../../small_scales.md).",
        "",
        marked("\n".join(front), FRONT),
        "",
    ]
    for paper in others:
        text += [*_excerpt_of(top, paper, told[paper]), ""]
    return "\n".join(text).rstrip() + "\n"


def _excerpt_of(top: Path, paper: str, one: Mapping[str, Any]) -> list[str]:
    text = between((top / f"{paper}.md").read_text(encoding="utf-8"), FRONT)
    return [
        f"**{escape_markdown(one['summary']['name'])}**, of its first table what was run ([all]({paper}.md)):",
        "",
        text,
    ]
