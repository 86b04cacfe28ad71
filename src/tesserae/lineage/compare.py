"""Whether two numbers were measured alike, and in which fields of their measures they differ."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tesserae.lineage.changes import leaves
from tesserae.lineage.measures.base import CHOSEN
from tesserae.lineage.targets import REMEDY, Target, TraceError, resolve

FILES = ("metrics.json", "search.json")  # where numbers stand with their measure
ABSENT = "not in it"


@dataclass(frozen=True)
class Side:
    """A number, or the numbers of an artifact, and how they were measured."""

    query: str
    scale: str
    name: str  # of the artifact or the cell
    measured: float | None  # of a cell
    measure: dict[str, Any]
    measure_id: str


@dataclass(frozen=True)
class Field:
    """A field of the measures, nested ones dotted; ABSENT where a side does not have it."""

    name: str
    a: Any
    b: Any
    chosen: bool  # a search chose it for each number: it may differ between numbers of one measure

    @property
    def differs(self) -> bool:
        return self.a != self.b


@dataclass(frozen=True)
class Comparison:
    """Two measures side by side."""

    a: Side
    b: Side
    fields: tuple[Field, ...]

    @property
    def differing(self) -> list[str]:
        """Names of the fields that must not differ between numbers of one column, and do."""
        return [field.name for field in self.fields if field.differs and not field.chosen]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        fields = [asdict(field) | {"differs": field.differs} for field in self.fields]
        same, differing = not self.differing, self.differing
        return {"same": same, "differing": differing, "a": asdict(self.a), "b": asdict(self.b), "fields": fields}


def compare(root: Path, scale: str, a: str, b: str) -> Comparison:
    """Compare how two targets were measured: cells of tables, or artifacts with numbers.

    `scale` is that of targets that name none: `desk:detok_table_1[...]` is of scale desk, and a file of its own.
    Raises TraceError for what is no such target, or was not measured; the message says what to ask for instead.
    """
    sides = [_side(root, scale, query) for query in (a, b)]
    mine, theirs = (dict(leaves(side.measure)) for side in sides)
    fields = (
        Field(name, mine.get(name, ABSENT), theirs.get(name, ABSENT), name in CHOSEN) for name in {**mine, **theirs}
    )
    return Comparison(*sides, tuple(fields))


def _side(root: Path, scale: str, query: str) -> Side:
    prefix = re.fullmatch(r"\s*(\w+):(.*)", query, flags=re.DOTALL)
    if prefix and (root / "results" / prefix[1]).is_dir():
        target = resolve(root, prefix[1], prefix[2])
    else:
        target = resolve(root, scale, query)
    return _of_cell(query, target) if target.cell else _of_artifact(root, query, target)


def _of_cell(query: str, target: Target) -> Side:
    cell = target.cell
    name = f"{target.artifact.partition('/')[2]}[{cell.row}, {cell.column}]"
    if cell.measure is None:
        why = "; ".join(cell.problems) or cell.reason
        raise TraceError(f"{query!r}: nothing is measured there: {why}")
    return Side(query, target.scale, name, cell.measured, cell.measure, cell.measure_id)


def _of_artifact(root: Path, query: str, target: Target) -> Side:
    folder = root / "results" / target.scale / target.artifact
    for file in (folder / name for name in FILES):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except ValueError:
            raise TraceError(f"{query!r}: {file.relative_to(root)} is not JSON; make {target.artifact} again") from None
        if isinstance(content.get("measure"), dict):
            return Side(query, target.scale, target.artifact, None, content["measure"], content.get("measure_id", ""))
    if target.artifact.startswith("table/"):
        raise TraceError(f"{query!r} has many numbers: name one, {target.artifact.partition('/')[2]}[<row>, <column>]")
    raise TraceError(f"{query!r}: {target.artifact} holds no numbers with a measure ({' or '.join(FILES)}); {REMEDY}")
