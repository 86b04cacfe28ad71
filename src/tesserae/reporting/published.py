"""Numbers printed in the papers: config/published/<paper>.csv, one line per printed (or plotted-only) number.

A blank value means that the paper prints no number there; it stays a blank and is never filled in.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("table", "group", "row", "subject", "column", "direction", "value", "note")
DIRECTIONS = ("lower", "higher", "none")


class PublishedError(ValueError):
    """A published file that cannot be read, or a number that it does not hold exactly once."""


def load(path: str | Path) -> pd.DataFrame:
    """Read one published file.

    Returns one row per number with the file's eight columns as text, except `value` (float64, NaN where the paper
    prints nothing), and two more: `printed` (str, the number exactly as printed, with its trailing zeros, or "") and
    `line` (int, line in the file). `frame.attrs["path"]` is the file.

    Raises PublishedError, naming file, line and key (table, row, column), for a wrong header, a wrong number of
    fields, an empty key, an unknown direction, a value that is not a finite number, or a number given twice.
    """
    import pandas as pd

    path = Path(path)
    records: list[dict] = []
    seen: dict[tuple[str, ...], int] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        if header != COLUMNS:
            raise PublishedError(f"{path}:1: the columns must be {','.join(COLUMNS)}, found {','.join(header)}")
        for fields in reader:
            record = _record(fields, f"{path}:{reader.line_num}")
            key = tuple(record[name] for name in ("table", "group", "row", "subject", "column"))
            if key in seen:
                raise PublishedError(
                    f"{path}:{reader.line_num}: {_key(record)} is given twice, first on line {seen[key]}"
                )
            seen[key] = reader.line_num
            records.append(record | {"line": reader.line_num})
    frame = pd.DataFrame(records, columns=[*COLUMNS, "printed", "line"])
    frame = frame.astype({"value": "float64", "line": "int64"})
    frame.attrs["path"] = str(path)
    return frame


def lookup(frame: pd.DataFrame, table: str, row: str, column: str) -> float | None:
    """The number printed in `table` at (`row`, `column`), or None where the paper prints a blank.

    Raises PublishedError if no line, or more than one, has this key; the message names what is there.
    """
    value = find(frame, table, row, column)["value"]
    return None if math.isnan(value) else float(value)


def find(frame: pd.DataFrame, table: str, row: str, column: str) -> pd.Series:
    """The one line of `load`'s frame with this key, with its direction, printed text and note. Errors as `lookup`."""
    where = frame.attrs.get("path", "the published numbers")
    found = frame
    for name, wanted in (("table", table), ("row", row), ("column", column)):
        narrowed = found[found[name] == wanted]
        if narrowed.empty:
            there = ", ".join(repr(item) for item in dict.fromkeys(found[name])) or "nothing"
            inside = {"table": "", "row": f" in {table!r}", "column": f" in {table!r}, row {row!r}"}[name]
            raise PublishedError(f"{where}: no {name} {wanted!r}{inside}; there is {there}")
        found = narrowed
    if len(found) > 1:
        lines = ", ".join(
            f"line {line} (group {group!r}, subject {subject!r})"
            for line, group, subject in zip(found["line"], found["group"], found["subject"], strict=True)
        )
        raise PublishedError(f"{where}: {table!r}, row {row!r}, column {column!r} is ambiguous: {lines}")
    return found.iloc[0]


def cell(frame: pd.DataFrame, table: str, row: str, column: str) -> pd.Series | None:
    """As `find`, but None if the table has this row and this column and no line for where they meet."""
    inside = frame[frame["table"] == table]
    meets = (inside["row"] == row) & (inside["column"] == column)
    if not meets.any() and row in set(inside["row"]) and column in set(inside["column"]):
        return None
    return find(frame, table, row, column)


def rows(frame: pd.DataFrame, table: str) -> dict[str, str]:
    """The rows of a table as printed, from top to bottom: label -> the group under which it stands."""
    inside = frame[frame["table"] == table].drop_duplicates("row")
    return dict(zip(inside["row"], inside["group"], strict=True))


def _record(fields: list[str], where: str) -> dict:
    if len(fields) != len(COLUMNS):
        raise PublishedError(f"{where}: {len(fields)} fields instead of {len(COLUMNS)}, in {','.join(fields)!r}")
    record: dict = dict(zip(COLUMNS, (" ".join(field.split()) for field in fields), strict=True))
    for name in ("table", "row", "column"):
        if not record[name]:
            raise PublishedError(f"{where}: {name} is empty, in {_key(record)}")
    if record["direction"] not in DIRECTIONS:
        raise PublishedError(
            f"{where}: direction {record['direction']!r} of {_key(record)} is not one of {', '.join(DIRECTIONS)}"
        )
    record["printed"] = record["value"]
    try:
        record["value"] = float(record["printed"]) if record["printed"] else math.nan
    except ValueError:
        raise PublishedError(f"{where}: value {record['printed']!r} of {_key(record)} is not a number") from None
    if record["printed"] and not math.isfinite(record["value"]):
        raise PublishedError(f"{where}: value {record['printed']!r} of {_key(record)} is not a finite number")
    return record


def _key(record: dict) -> str:
    return f"({record['table']!r}, {record['row']!r}, {record['column']!r})"
