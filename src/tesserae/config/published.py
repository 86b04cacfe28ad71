"""Numbers printed in the papers: config/published/<paper>.csv, one line per printed (or plotted-only) number.

A blank value means that the paper prints no number there; it stays a blank and is never filled in.
"""

import csv
import math
from pathlib import Path
from typing import Any

COLUMNS = ("table", "group", "row", "subject", "column", "direction", "value", "note")
DIRECTIONS = ("lower", "higher", "none")


class PublishedError(ValueError):
    """A published file that cannot be read, or a number that it does not hold exactly once."""


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a published file, in its order.

    Each has the file's eight columns as text, except `value` (float, NaN where the paper prints nothing), and two more:
    `printed` (the number exactly as printed, with its trailing zeros, or "") and `line` (in the file).

    Raises PublishedError, naming file, line and key (table, row, column), for a wrong header, a wrong number of
    fields, an empty key, an unknown direction, a value that is not a finite number, or a number given twice.
    """
    records: list[dict[str, Any]] = []
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
    return records


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
