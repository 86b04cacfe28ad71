"""Which artifacts stand behind a cell of a table, and what its number is over their seeds.

The one place that reads the mapping out of a table's spec: tables are drawn, traced and audited with it.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tesserae.config.seeds import of_seeds
from tesserae.lineage.measures.base import CHOSEN

Status = Literal["measured", "omitted", "cited", "blank"]
OWN = (*CHOSEN, "seed")  # fields of a measure in which seeds may differ: each searches for itself
CITED = "the row is cited: it has printed numbers, and nothing of it is run"
NO_NUMBER = "the row has no such number"


class Source(NamedTuple):
    """Where a cell's number comes from; or, without artifacts, why there is none."""

    artifacts: tuple[str, ...]  # of all seeds: the inputs of the table's job that it reads
    value: str  # name of the number in their metrics.json, e.g. "fid"
    status: Status
    reason: str = ""  # why nothing was measured; "" if something was


class Summary(NamedTuple):
    """A number over seeds."""

    mean: float
    sd: float | None  # sample standard deviation (n - 1); None for one seed
    n: int


def plain(text: str) -> str:
    """Text without the line breaks and double spaces that a name in YAML may have."""
    return " ".join(text.split())


def rows(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, label) of all rows: our own, then the cited ones, whose label is their key."""
    own = [(key, label) for key, label in spec["rows"]]
    return own + [(label, label) for label in spec.get("published_rows", ())]


def source(spec: Mapping[str, Any], row: str, column: str) -> Source:
    """Where the number of a cell comes from, by its table's spec, the row's key and the column's name.

    A spec has `rows`, `published_rows`, `columns` (config.types.Column with a name), `seeds`, `unseeded` (stages whose
    artifacts no seed changes) and `missing`; all but rows and columns may be absent. KeyError for a row or column that
    the table does not have.
    """
    column = plain(column)
    described = next((described for described in spec["columns"] if plain(described["name"]) == column), None)
    if described is None or row not in dict(rows(spec)):
        raise KeyError(f"no cell {row!r}, {column!r}")
    value = (described.get("values") or {}).get(row, described["value"])
    if row not in dict(spec["rows"]):
        return Source((), value, "cited", CITED)
    if described.get("rows") is not None and row not in described["rows"]:
        return Source((), value, "blank", NO_NUMBER)
    for entry in spec.get("missing", ()):
        if (entry["row"], plain(entry["column"])) == (row, column):
            return Source((), value, "omitted", entry["reason"])
    artifact = (described.get("artifacts") or {}).get(row) or described["artifact"].format(row=row)
    seeds = (1,) if artifact.partition("/")[0] in spec.get("unseeded", ()) else spec.get("seeds", (1,))
    return Source(tuple(of_seeds(artifact, seeds)), value, "measured")


def sources(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, Source]]:
    """(row key, column name, source) of every cell, row by row."""
    for key, _ in rows(spec):
        for column in spec["columns"]:
            yield key, plain(column["name"]), source(spec, key, column["name"])


def over_seeds(numbers: Sequence[float]) -> Summary:
    """Mean and sample standard deviation of one number of all seeds, (n,) with n > 0; not finite if one is not."""
    if not all(map(math.isfinite, numbers)):
        return Summary(math.nan, None, len(numbers))
    sd = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Summary(statistics.fmean(numbers), sd, len(numbers))
