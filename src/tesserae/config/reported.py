"""Numbers that others report: config/reported/<paper>.csv, one line per number that somebody told in a public thread.

They are neither printed nor measured here, and are shown beside both, never among them. A line with a key (table, row,
column, as in the paper's published file) is about that printed number; one without is about a system of the paper, of
which it prints no such number. Nothing is quoted: numbers, settings and what a thread found, in words of our own.
"""

import csv
import datetime
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tesserae.config.errors import ConfigError, together

COLUMNS = (
    *("table", "row", "column", "system", "metric", "value", "against", "settings"),
    *("source", "date", "by", "status", "resolved", "found", "read"),
)
KEY = COLUMNS[:3]
CHOICES = {
    "by": ("authors", "others"),  # of the repository whose thread it is
    "status": ("open", "closed"),
    "resolved": ("yes", "no", "unknown"),  # whether the thread says why numbers differ, or that they agree
    "read": ("whole", "part"),  # how much of the thread could be read when the line was written
}
SOURCE = re.compile(r"([\w.-]+/[\w.-]+)#(\d+)")  # owner/repository#thread


@dataclass(frozen=True)
class Report:
    """A reported number. `value` and `against` are as told, at most four decimals; `line` is in the file."""

    table: str  # "" with row and column: no printed number of the paper
    row: str
    column: str
    system: str  # what was measured
    metric: str
    value: str
    against: str  # the number that the thread holds against it, "" if it names none
    settings: str
    source: str
    date: str  # of the post with the number, ISO
    by: str
    status: str
    resolved: str
    found: str  # what the thread found
    read: str
    published: str  # the printed number, as printed; "" where the paper prints none
    line: int

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.row, self.column

    def plain(self) -> dict[str, Any]:
        """For a spec: all but the line, which another line's coming or going moves."""
        return {name: value for name, value in asdict(self).items() if name != "line"}


def difference(report: Mapping[str, Any]) -> float | None:
    """By how much the reported number is above the printed one, or else above the one that the thread names."""
    other = report["published"] or report["against"]
    return float(report["value"]) - float(other) if other else None


def by_difference(reported: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Reported numbers, first those that are farthest from the printed one for its size; last what has no other."""

    def far(one: Mapping[str, Any]) -> float:
        other = one["published"] or one["against"]
        return -abs(difference(one)) / max(abs(float(other)), 1e-9) if other else 1.0

    return sorted(reported, key=far)


def address(source: str) -> str:
    """Where a source's thread is: GitHub leads from issues to pull requests by itself."""
    repository, number = SOURCE.fullmatch(source).groups()
    return f"https://github.com/{repository}/issues/{number}"


def read_reports(root: Path, file: Path, lines: Iterable[Mapping[str, Any]]) -> list[Report]:
    """The lines of a reported file, in its order; `lines` are those of the paper's published file.

    Raises ConfigError that names file, line, column and remedy of everything that is wrong: header, number of fields,
    an empty or wrong field, half a key, a key that names no printed number, a number given twice.
    """
    try:
        text = (root / file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(file, "", "no such file", "create it, or leave out `reported`") from None
    reader = csv.reader(text.splitlines())
    header = tuple(next(reader, ()))
    if header != COLUMNS:
        raise ConfigError(file, "line 1", f"columns {','.join(header)}", f"the columns are {','.join(COLUMNS)}")
    printed: dict[tuple[str, ...], list[str]] = {}
    for one in lines:
        printed.setdefault(tuple(one[name] for name in KEY), []).append(one["printed"])
    found: list[Report] = []
    problems: list[ConfigError] = []
    seen: dict[tuple[str, ...], int] = {}
    for fields in reader:
        line = reader.line_num
        if len(fields) != len(COLUMNS):
            what = f"{len(fields)} fields instead of {len(COLUMNS)}"
            problems.append(ConfigError(file, f"line {line}", what, "put texts with commas in double quotes"))
            continue
        record = dict(zip(COLUMNS, (" ".join(field.split()) for field in fields), strict=True))
        wrong = [ConfigError(file, f"line {line}, {name}", *why) for name, *why in _wrong(record, printed)]
        identity = tuple(record[name] for name in (*KEY, "system", "metric", "value", "settings", "source"))
        if identity in seen and not wrong:
            what = f"given twice, first on line {seen[identity]}"
            wrong.append(ConfigError(file, f"line {line}, value", what, "keep one of the two"))
        seen.setdefault(identity, line)
        problems += wrong
        if not wrong:
            published = printed[key][0] if any(key := tuple(record[name] for name in KEY)) else ""
            found.append(Report(**record, published=published, line=line))
    if problems:
        raise together(problems)
    return found


def _wrong(record: dict[str, str], printed: Mapping[tuple[str, ...], list[str]]) -> Iterator[tuple[str, str, str]]:
    """Column, problem and remedy of what is wrong with a line."""
    yield from _wrong_key(record, printed)
    for name in ("system", "metric", "settings", "found"):
        if not record[name]:
            yield name, "is empty", "say it, or that the thread does not tell"
    for name in ("value", "against"):
        if record[name] or name == "value":
            try:
                number = float(record[name])
            except ValueError:
                number = math.nan
            if not math.isfinite(number):
                yield name, f"{record[name]!r} is not a finite number", "write the number that the thread tells"
    if not SOURCE.fullmatch(record["source"]):
        yield "source", f"{record['source']!r} names no thread", "write owner/repository#number"
    try:
        datetime.date.fromisoformat(record["date"])
    except ValueError:
        yield "date", f"{record['date']!r} is no date", "write it as 2025-12-16"
    for name, choices in CHOICES.items():
        if record[name] not in choices:
            yield name, f"{record[name]!r} is unknown", f"one of {', '.join(choices)}"


def _wrong_key(record: dict[str, str], printed: Mapping[tuple[str, ...], list[str]]) -> Iterator[tuple[str, str, str]]:
    key = tuple(record[name] for name in KEY)
    if not any(key):
        return
    if not all(key):
        name = next(name for name in KEY if not record[name])
        yield name, "is empty, though the others are not", "give table, row and column, or none of them"
        return
    for depth, name in enumerate(KEY):
        there = dict.fromkeys(cell[depth] for cell in printed if cell[:depth] == key[:depth])
        if key[depth] not in there:
            yield (
                name,
                f"the paper prints no {name} {key[depth]!r}",
                f"one of {', '.join(sorted(there))}, or none at all",
            )
            return
    if len(printed[key]) > 1:
        yield (
            "row",
            f"the paper prints {len(printed[key])} such numbers",
            "leave the key out, and name the group in `system`",
        )
