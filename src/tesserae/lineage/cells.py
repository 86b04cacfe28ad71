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

    A spec has `rows`, `published_rows`, `columns` (config.types.Column with a name), `seeds`, `seeds_of` (artifact ->
    its seeds, if they are fewer), `unseeded` (stages whose artifacts no seed changes), `missing`, `controls` and
    `control_rows` (workflow/graph/shown.py); all but rows and columns may be absent.
    KeyError for a row or column that the table does not have.
    """
    described, value = _column(spec, row, column)
    if row not in dict(spec["rows"]):
        return Source((), value, "cited", CITED)
    if described.get("rows") is not None and row not in described["rows"]:
        return Source((), value, "blank", NO_NUMBER)
    for entry in spec.get("missing", ()):
        if (entry["row"], plain(entry["column"])) == (row, plain(column)):
            return Source((), value, "omitted", entry["reason"])
    return _measured(spec, _artifact(described, row), value)


def control(spec: Mapping[str, Any], row: str, column: str) -> Source | None:
    """Where the control of a cell's number comes from; None for a cell without one, and for a number that is neither
    better nor worse than another. KeyError as `source`.
    """
    if source(spec, row, column).status != "measured":
        return None
    described, value = _column(spec, row, column)
    if described.get("direction") == "none":  # a fact, which nothing has to beat
        return None
    artifact = spec.get("controls", {}).get(_artifact(described, row))
    return None if artifact is None else _measured(spec, artifact, value)


def controls(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, Source]]:
    """(row key, column name, source of the control) of every cell that has one, row by row."""
    for key, name, _ in sources(spec):
        found = control(spec, key, name)
        if found is not None:
            yield key, name, found


def beats(number: float, control: float, direction: str) -> bool:
    """Whether a number is better than its control; `direction` says which way is."""
    return number < control if direction == "lower" else number > control


def _column(spec: Mapping[str, Any], row: str, column: str) -> tuple[Mapping[str, Any], str]:
    """A column as its table describes it, and the name of the row's number there."""
    described = next((it for it in spec["columns"] if plain(it["name"]) == plain(column)), None)
    if described is None or row not in dict(rows(spec)):
        raise KeyError(f"no cell {row!r}, {plain(column)!r}")
    return described, (described.get("values") or {}).get(row, described["value"])


def _artifact(described: Mapping[str, Any], row: str) -> str:
    """The artifact of a row's number, of the first seed."""
    return (described.get("artifacts") or {}).get(row) or described["artifact"].format(row=row)


def _measured(spec: Mapping[str, Any], artifact: str, value: str) -> Source:
    return Source(of_artifact(spec, artifact), value, "measured")


def of_artifact(spec: Mapping[str, Any], artifact: str) -> tuple[str, ...]:
    """An artifact of the first seed -> that of each seed of which its table has numbers."""
    unseeded = artifact.partition("/")[0] in spec.get("unseeded", ())
    seeds = (1,) if unseeded else spec.get("seeds_of", {}).get(artifact) or spec.get("seeds", (1,))
    return tuple(of_seeds(artifact, seeds))


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
