"""Finds what a reader asks to be traced: an artifact, a file, a table, a figure, or one cell of a table."""

import csv
import difflib
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tesserae.lineage import cells as mapping
from tesserae.lineage import manifest as manifests
from tesserae.lineage.cells import plain

REPORT = "report/index"
LISTED = 12  # candidates that an error names
REMEDY = (
    "a target is an artifact (<stage>/<recipe>), a table or figure (detok_table_1), a cell "
    '("detok_table_1[<row>, <column>]") or a file below results/'
)


class TraceError(ValueError):
    """A target that names nothing, or more than one thing; the message lists what there is."""


@dataclass(frozen=True)
class Cell:
    """A table's cell: what is printed, and what the metrics that it was read from say."""

    table: str  # artifact
    source: str  # "Table 1"
    title: str
    key: str  # of the row, as in the recipes
    row: str
    column: str
    value: str  # which of the metrics, e.g. "fid"
    artifacts: tuple[str, ...]  # that measured it, one of each seed
    published: float | None
    printed: str  # the published number as printed, "" for a blank
    measured: float | None  # in table.csv
    numbers: tuple[float | None, ...]  # in the metrics.json of each of `artifacts`
    produced: float | None  # their mean
    sd: float | None  # over seeds; None for one
    measure: dict[str, Any] | None  # where seeds were measured differently, a list of what each has
    measure_id: str
    status: mapping.Status = "measured"
    reason: str = ""  # why nothing was measured
    problems: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Target:
    """What was asked for, where the walk starts, and the file or the cell, if one was meant."""

    query: str
    scale: str
    artifact: str
    file: str | None = None  # relative to the project folder
    cell: Cell | None = None


# ---- finding the target ---------------------------------------------------------------------------------------------


def resolve(root: Path, scale: str, target: str) -> Target:
    """The target that words name: an artifact, a unique recipe, a table, a figure, a cell, or a file below results/.

    `root` is the project folder. Files may be absolute or relative to the present or the project folder; a file of
    another scale leads to that scale. Rows (label or key), columns and tables may be shortened to some of their words
    in any case. Raises TraceError, which names near matches, for what is not there or ambiguous.
    """
    query, target = target, target.strip()
    if target.endswith("]") and "[" in target:
        table, _, cell = target[:-1].partition("[")
        scale, names = _tables(root, scale, table.strip())
        return _cell(root, scale, query, names, cell)
    place = _place(root, scale, target)
    if place is not None:
        return _file(root, query, place)
    known = artifacts(root, scale)
    found = [target] if target in known else [name for name in known if _recipe(name) == target]
    if len(found) == 1:
        return Target(query, scale, found[0])
    if found:
        raise TraceError(f"{target!r} is several artifacts at scale {scale}: {_list(found)}; name one")
    raise TraceError(f"there is no {target!r} at scale {scale}{_near(target, known)}; {REMEDY}")


def artifacts(root: Path, scale: str) -> list[str]:
    """Names of all artifacts of a scale that have a manifest; TraceError if there are none."""
    top = root / "results" / scale
    found = [_artifact(top, file.parent) for file in manifests.files(root, scale)]
    if not found:
        there = sorted(path.name for path in (root / "results").glob("[!.]*") if manifests.files(root, path.name))
        others = f"there are results of scale {', '.join(there)} (--scale)" if there else "there are no results at all"
        raise TraceError(f"no manifests in {top}; {others}; `tesserae --scale {scale} reproduce` makes them")
    return found


def _artifact(top: Path, folder: Path) -> str:
    return REPORT if folder == top else folder.relative_to(top).as_posix()


def _place(root: Path, scale: str, target: str) -> Path | None:
    """The path below results/<scale> that is meant, relative to the project; None if the words are not those of a path.

    Only what starts like a path may name a file that is not there.
    """
    path = Path(target).expanduser()
    explicit = path.is_absolute() or path.parts[:1] == ("results",) or target.startswith(("./", "../"))
    tried = [path, path.resolve()] if path.is_absolute() else [Path.cwd() / path, root / path]
    if not explicit:
        tried.append(root / "results" / scale / path)
    inside = [
        candidate.relative_to(base)
        for candidate in (Path(os.path.normpath(place)) for place in tried)
        for base in (root, root.resolve())
        if candidate.is_relative_to(base / "results") and len(candidate.relative_to(base).parts) > 2
    ]
    there = [place for place in inside if (root / place).exists()]
    if there or (explicit and inside):
        return [*there, *inside][0]
    if explicit:
        raise TraceError(f"{target} is nothing below {root / 'results'}/<scale>; {REMEDY}")
    return None


def _file(root: Path, query: str, place: Path) -> Target:
    """The artifact whose file or folder `place` is."""
    scale = place.parts[1]
    top = Path("results") / scale
    known = artifacts(root, scale)
    parts = place.relative_to(top).parts
    name = "/".join(parts[:2]) if len(parts) > 1 else REPORT
    if name not in known:
        raise TraceError(
            f"{place} belongs to no artifact that has a manifest{_near(name, known)}; "
            f"`tesserae --scale {scale} reproduce` makes what is missing"
        )
    folder = top / _folder(name)
    outputs = [entry["path"] for entry in record_of(root, scale, name)["outputs"]]
    if place.as_posix() in outputs:
        return Target(query, scale, name, place.as_posix())
    if place in (folder, folder / manifests.NAME):
        return Target(query, scale, name)
    listed = ", ".join(os.path.relpath(path, folder) for path in outputs)
    raise TraceError(f"{place} is not an output of {name}, which made {listed} (see {folder / manifests.NAME})")


def _tables(root: Path, scale: str, text: str) -> tuple[str, list[str]]:
    """Scale and artifacts of the tables that the words before a bracket name; all tables if there are no words."""
    place = _place(root, scale, text) if text else None
    if place is not None:
        target = _file(root, text, place)
        if not target.artifact.startswith("table/"):
            raise TraceError(f"{text} belongs to {target.artifact}, which has no cells")
        return target.scale, [target.artifact]
    names = {name: _recipe(name) for name in artifacts(root, scale) if name.startswith("table/")}
    found = _matching(text.removeprefix("table/"), {name: (recipe,) for name, recipe in names.items()})
    if names and (not text or len(found) == 1):
        return scale, found
    what = f"{text!r} is several tables" if found else f"there is no table {text!r}"
    there = _list(names[name] for name in found or names) or "no tables were made"
    raise TraceError(f"{what} at scale {scale}: {there}; {REMEDY}")


def _cell(root: Path, scale: str, query: str, tables: list[str], text: str) -> Target:
    """The one cell of the tables that "row, column" names; either may hold commas of its own."""
    parts = text.split(",")
    if len(parts) < 2:
        raise TraceError(f"{query!r}: a cell is a row and a column: [<row>, <column>]")
    splits = [(",".join(parts[:at]), ",".join(parts[at:])) for at in range(1, len(parts))]
    found: dict[tuple[str, str, str], str] = {}  # what each candidate is called
    there = []
    for table in tables:
        rows, columns = _layout(record_of(root, scale, table))
        names = {column: (column,) for column in columns}
        for row, column in splits:
            for key in _matching(row, {key: (key, label) for key, label in rows.items()}):
                for name in _matching(column, names):
                    found[table, key, name] = f"{_recipe(table)}[{rows[key]}, {name}]"
        there.append(f"{_recipe(table)} has rows {'; '.join(rows.values())} and columns {'; '.join(names)}")
    if not found:
        raise TraceError(f"there is no cell {query!r}: {'. '.join(there)}")
    if len(found) > 1:
        raise TraceError(f"{query!r} is several cells: {_list(found.values())}; say more of the row or the column")
    ((table, key, name),) = found
    cell = next(cell for cell in cells(root, record_of(root, scale, table)) if (cell.key, cell.column) == (key, name))
    if cell.status == "blank" and not cell.problems:
        raise TraceError(f"{query!r}: the cell is blank: {cell.reason}")
    return Target(query, scale, table, cell=cell)


def _matching(text: str, names: dict[str, tuple[str, ...]]) -> list[str]:
    """Keys of the names that fit a text best; capitals and the width of spaces do not count."""
    wanted = plain(text.lower())
    fits = {key: max(_fit(wanted, plain(alias.lower())) for alias in aliases) for key, aliases in names.items()}
    best = max(fits.values(), default=0)
    return [key for key, fit in fits.items() if fit == best > 0]


def _fit(wanted: str, name: str) -> int:
    """How well words name something: as a whole, by beginnings of its words (best by whole words), by parts; else 0."""
    words, parts = wanted.split(), name.split()
    if wanted == name:
        return len(words) + 3
    if all(any(part.startswith(word) for part in parts) for word in words):
        return 2 + sum(word in parts for word in words)
    return int(all(word in name for word in words))


def _near(target: str, known: list[str]) -> str:
    names = [*known, *(_recipe(name) for name in known)]
    close = difflib.get_close_matches(target, dict.fromkeys(names), n=5, cutoff=0.5)
    found = [name for text in close for name in known if text in (name, _recipe(name))]
    found += [name for name in known if target and target.lower() in name.lower()]
    stages = dict.fromkeys(name.partition("/")[0] for name in known)
    return f"; nearest: {_list(dict.fromkeys(found))}" if found else f", nor a name like it ({', '.join(stages)})"


def _list(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _recipe(artifact: str) -> str:
    return artifact.partition("/")[2]


def _folder(artifact: str) -> str:
    """Where an artifact lies below results/<scale>; the report lies at its top."""
    return "" if artifact == REPORT else artifact


# ---- reading --------------------------------------------------------------------------------------------------------


def read(root: Path, scale: str, artifact: str) -> tuple[dict[str, Any] | None, str]:
    """An artifact's manifest; or None, and why there is none."""
    folder = root / "results" / scale / _folder(artifact)
    where = f"{(folder / manifests.NAME).relative_to(root)}"
    try:
        record = manifests.read(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None, f"there is no {where}"
    except ValueError as error:
        return None, f"{where} cannot be read ({error})"
    if absent := manifests.missing(record):
        return None, f"{where} does not say {', '.join(absent)}"
    if record["artifact"] != artifact:
        return None, f"{where} is the manifest of {record['artifact']}"
    return record, ""


def record_of(root: Path, scale: str, artifact: str) -> dict[str, Any]:
    """An artifact's manifest; TraceError if it has none that can be read."""
    record, why = read(root, scale, artifact)
    if record is None:
        remedy = f"`tesserae --scale {scale} reproduce` makes it again (delete it first if it is damaged)"
        raise TraceError(f"{artifact}: {why}; {remedy}")
    return record


def cells(root: Path, record: dict[str, Any]) -> list[Cell]:
    """All cells of a table, row by row, from its manifest, its table.csv and its producers' metrics.json."""
    rows, _ = _layout(record)
    lines, why = {}, ""
    file = next((entry["path"] for entry in record["outputs"] if entry["path"].endswith("/table.csv")), "table.csv")
    try:
        with open(root / file, newline="", encoding="utf-8") as stream:
            lines = {(line["row"], line["column"]): line for line in csv.DictReader(stream)}
    except FileNotFoundError:
        why = f"{file} is not there"
    except (KeyError, csv.Error, UnicodeDecodeError):
        why = f"{file} is not what the table stage writes"
    known: dict[str, dict[str, Any]] = {}
    found = []
    for key, column, source in mapping.sources(record["spec"]):
        known |= {name: _metrics(root, record, name) for name in source.artifacts if name not in known}
        seeds = [known[name] for name in source.artifacts]
        line = lines.get((rows[key], column), {})
        numbers = tuple(_number(said["values"].get(source.value)) for said in seeds)
        complete = bool(numbers) and None not in numbers
        mean, sd, _ = mapping.over_seeds(numbers) if complete else (None, None, 0)
        measure, differing = _measure(seeds)
        problems = [why] if why else [] if line or not seeds else [f"{file} has no line for it"]
        unread = [problem for said in seeds for problem in said["problems"]]
        problems += unread
        problems += [f"its seeds were measured with several {name}: {measure[name]}" for name in differing]
        for name, given in (("measured", mean), ("sd", sd)):
            printed = _number(line.get(name))
            if name in line and not unread and printed != given:
                problems.append(f"{file} says {name} {printed}, but {_origin(source, seeds)} {given}")
                break
        found.append(
            Cell(
                table=record["artifact"],
                source=record["spec"].get("source", ""),
                title=record["spec"].get("title", ""),
                key=key,
                row=rows[key],
                column=column,
                value=source.value,
                artifacts=source.artifacts,
                published=_number(line.get("published")),
                printed=line.get("published") or "",
                measured=_number(line.get("measured")),
                numbers=numbers,
                produced=mean,
                sd=sd,
                measure=measure,
                measure_id=", ".join(dict.fromkeys(str(said["measure_id"]) for said in seeds)),
                status=source.status,
                reason=source.reason
                or next((said["without"][source.value] for said in seeds if source.value in said["without"]), ""),
                problems=tuple(problems),
            )
        )
    return found


def _origin(source: mapping.Source, seeds: Sequence[dict[str, Any]]) -> str:
    """Who says what a cell's number should be."""
    if not seeds:
        return f"nothing was measured ({source.reason}):"
    return f"{seeds[0]['file']} says" if len(seeds) == 1 else f"{len(seeds)} seeds give"


def _measure(seeds: Sequence[dict[str, Any]]) -> tuple[dict[str, Any] | None, list[str]]:
    """How the numbers of all seeds were measured (None: not known of all), and in what they must not differ."""
    measures = [said["measure"] for said in seeds]
    if not measures or not all(isinstance(measure, dict) for measure in measures):
        return None, []
    merged, differing = {}, []
    for key in dict.fromkeys(key for measure in measures for key in measure):
        values = [measure.get(key) for measure in measures]
        same = all(value == values[0] for value in values)
        merged[key] = values[0] if same else values
        differing += [] if same or key in mapping.OWN else [key]
    return merged, differing


def _layout(table: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Rows (key -> label) and columns of a table, from its manifest."""
    try:
        columns = dict.fromkeys(column for _, column, _ in mapping.sources(table["spec"]))
        return {key: plain(label) for key, label in mapping.rows(table["spec"])}, list(columns)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise TraceError(f"the manifest of {table['artifact']} does not describe a table ({error!r})") from None


def _metrics(root: Path, table: dict[str, Any], artifact: str) -> dict[str, Any]:
    """What a metrics.json that a table read says."""
    nothing = {"values": {}, "without": {}, "measure": None, "measure_id": ""}
    if artifact not in table["inputs"]:
        return nothing | {"file": artifact, "problems": [f"the table did not read {artifact}"]}
    paths = [entry["path"] for entry in table["inputs"][artifact]["files"]]
    file = next((path for path in paths if path.endswith("/metrics.json")), f"{artifact}/metrics.json")
    try:
        said = json.loads((root / file).read_text(encoding="utf-8"))
        found = {name: said[name] for name in ("measure", "measure_id")}
        values, without = dict(said["values"]), dict(said.get("without", {}))
        return {**found, "values": values, "without": without, "file": file, "problems": []}
    except FileNotFoundError:
        return nothing | {"file": file, "problems": [f"{file} is not there"]}
    except (ValueError, KeyError, TypeError):
        return nothing | {"file": file, "problems": [f"{file} is not what its stage writes"]}


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
