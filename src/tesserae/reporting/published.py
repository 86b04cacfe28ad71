"""Numbers printed in the papers, as a frame to look them up in; config/published.py reads the files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tesserae.config.published import COLUMNS, PublishedError, read

if TYPE_CHECKING:
    import pandas as pd


def load(path: str | Path) -> pd.DataFrame:
    """The lines of one published file, as `config.published.read` has them; its errors. `frame.attrs["path"]` is it."""
    import pandas as pd

    frame = pd.DataFrame(read(Path(path)), columns=[*COLUMNS, "printed", "line"])
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
    found = np.arange(len(frame))
    for name, wanted in (("table", table), ("row", row), ("column", column)):
        names = _names(frame, name)[found]
        narrowed = found[names == wanted]
        if not len(narrowed):
            there = ", ".join(repr(item) for item in dict.fromkeys(names)) or "nothing"
            inside = {"table": "", "row": f" in {table!r}", "column": f" in {table!r}, row {row!r}"}[name]
            raise PublishedError(f"{where}: no {name} {wanted!r}{inside}; there is {there}")
        found = narrowed
    if len(found) > 1:
        several = frame.iloc[found]
        lines = ", ".join(
            f"line {line} (group {group!r}, subject {subject!r})"
            for line, group, subject in zip(several["line"], several["group"], several["subject"], strict=True)
        )
        raise PublishedError(f"{where}: {table!r}, row {row!r}, column {column!r} is ambiguous: {lines}")
    return frame.iloc[found[0]]


def cell(frame: pd.DataFrame, table: str, row: str, column: str) -> pd.Series | None:
    """As `find`, but None if the table has this row and this column and no line for where they meet."""
    inside = _names(frame, "table") == table
    of_row, of_column = inside & (_names(frame, "row") == row), inside & (_names(frame, "column") == column)
    if of_row.any() and of_column.any() and not (of_row & of_column).any():
        return None
    return find(frame, table, row, column)


def _names(frame: pd.DataFrame, column: str) -> np.ndarray:
    """A column of texts as an array of objects, which is compared ten times as fast as a column of a frame."""
    return frame[column].to_numpy(dtype=object)


def rows(frame: pd.DataFrame, table: str) -> dict[str, str]:
    """The rows of a table as printed, from top to bottom: label -> the group under which it stands."""
    inside = frame[frame["table"] == table].drop_duplicates("row")
    return dict(zip(inside["row"], inside["group"], strict=True))
