"""A table as tidy lines, one per cell: what other tools read."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.lineage.measures.registry import KINDS
from tesserae.reporting.escape import escape_markdown
from tesserae.reporting.notes import each
from tesserae.reporting.tables import Table, TableError

if TYPE_CHECKING:  # half a second that who only shows a table need not wait for
    import pandas as pd

CSV_COLUMNS = (
    "table",
    "row",
    "column",
    "direction",
    "published",
    "measured",
    "kind",
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
    "control",
    "control_artifact",
    "behind",
    "is_control",
)


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
                    measure.get("kind", ""),
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
                    "" if cell.control is None else repr(cell.control),
                    cell.control_artifact,
                    "" if cell.control is None else "yes" if cell.behind else "no",
                    "yes" if key in table.control_rows else "",
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
    numbers = ("published", "measured", "samples", "deviation", "sd", "n", "control")
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns) != CSV_COLUMNS:
        raise TableError(f"{path}: the columns must be {','.join(CSV_COLUMNS)}, found {','.join(frame.columns)}")
    for name in numbers:
        frame[name] = [float(text) if text else math.nan for text in frame[name]]
    return frame


def summary(frame: pd.DataFrame) -> str:
    """One Markdown paragraph on `read_csv`'s frame: scale, what measured, how much of it, and what was not run."""
    ours = frame[(frame["artifact"] != "") & (frame["is_control"] == "")]
    ran = ours[ours["measured"].notna()]
    instruments = [kind for kind in dict.fromkeys(ran["kind"]) if KINDS[kind].instrument]
    extractors = ", ".join(f"`{name}`" for name in dict.fromkeys(ran["extractor"]) if name)
    means = f"feature extractor {extractors}" if extractors else f"measured: {', '.join(instruments) or 'nothing'}"
    samples = ", ".join(f"{count:g}" for count in dict.fromkeys(ran["samples"].dropna())) or "0"
    seeds = " or ".join(f"{count:g}" for count in sorted(set(ran.loc[ran["kind"].isin(instruments), "n"].dropna())))
    text = (
        f"Scale **{', '.join(dict.fromkeys(frame['scale']))}**, {means}, {samples} samples "
        f"per number{f', seeds: {seeds}' if seeds else ''}: {len(ran)} of {len(ours)} cells are measured."
    )
    missing = ours[ours["measured"].isna()]
    for row, cells in missing.groupby("row", sort=False):
        whole = len(cells) == int((ours["row"] == row).sum())
        text += f"\n- Not run: {escape_markdown(str(row))}"
        text += "" if whole else f" ({', '.join(escape_markdown(name) for name in cells['column'])})"
    return text
