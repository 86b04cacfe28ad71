"""Audit of tables and claims: every number has a metrics.json behind it, for each seed, one column has one measure,
pages say what inputs give.

Drawing is deterministic, so tables and claims are drawn again from their inputs and compared byte by byte: a table that
was edited together with its manifest is still not the table that its inputs give.
"""

import csv
import json
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tesserae.audit.audit import Check
from tesserae.audit.evidence import Evidence, File, Manifest
from tesserae.audit.findings import Finding, Note
from tesserae.config.stages import STAGES, stage_of
from tesserae.lineage import cells, code, fingerprint
from tesserae.lineage.measures.base import identity
from tesserae.lineage.measures.registry import problem
from tesserae.lineage.walk import upstream
from tesserae.lineage.work import Work
from tesserae.reporting import seeds, tables

METRICS = "metrics.json"
NUMBERS = (METRICS, "search.json")  # what tables and claims read of their inputs
PAGES = ("page", "report")  # stages whose pages show each table and figure that they read
FRAGMENT = re.compile(r'<figure class="tesserae-table">.*?</figure>', re.DOTALL)
# Which kind of finding a differing column of table.csv is; all others make the table another table.
CSV_KINDS = {"published": "published"} | dict.fromkeys(("measured", "deviation", "sd", "n"), "number")
CSV_KINDS |= dict.fromkeys(("control", "control_artifact", "behind", "is_control"), "control")
CSV_KINDS |= dict.fromkeys(("extractor", "kind", "scale", "measure_id"), "mixed")


Draw = Callable[[Work], dict[str, float]]
# What a stage's run raises for inputs that it cannot draw.
REFUSALS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError)


class _Column(BaseModel):
    name: str
    value: str
    direction: Literal["lower", "higher", "none"]
    artifact: str
    rows: list[str] | None = None
    values: dict[str, str] = {}
    artifacts: dict[str, str] = {}
    varies: list[str] = []


class _Missing(BaseModel):
    row: str
    column: str
    reason: str


class _Spec(BaseModel):
    """A table's spec, as far as an audit needs it."""

    scale: str
    rows: list[tuple[str, str]]
    published_rows: list[str] = []
    columns: list[_Column]
    seeds: list[int] = Field([1], min_length=1)
    missing: list[_Missing] = []
    controls: dict[str, str] = {}
    control_rows: list[str] = []


class _Metrics(BaseModel):
    """The metrics.json of a measuring stage."""

    model_config = ConfigDict(strict=True)

    values: dict[str, float]
    deviation: dict[str, float] | None = Field(default=None)
    without: dict[str, str] = {}
    measure: dict[str, Any]
    measure_id: str
    selection: dict[str, Any] | None


@dataclass(frozen=True)
class _Subject:
    """An artifact under audit, with words for what is wrong with it."""

    evidence: Evidence
    artifact: str
    record: Manifest

    def finding(self, kind: str, path: str, what: str) -> Finding:
        since = self.evidence.since(path, self.record.ended)
        return Finding(kind, self.artifact, path, what, since, self.evidence.restore(self.artifact))

    def output(self, name: str) -> File | None:
        return next((file for file in self.record.outputs if file.name == name), None)

    def text(self, name: str) -> str | None:
        """An output as text, None if it is not there or no text."""
        try:
            return (self.evidence.root / self.output(name).path).read_text(encoding="utf-8")
        except (AttributeError, OSError, UnicodeDecodeError):
            return None


def check(draw: Mapping[str, Draw]) -> Check:
    """The check of tables and claims for `lineage.audit.audit`.

    `draw`: {"table": tesserae.stages.table.run, "claims": tesserae.stages.claims.run}.
    """

    def run(evidence: Evidence) -> Iterator[Finding | Note]:
        for artifact, record in evidence.records.items():
            subject = _Subject(evidence, artifact, record)
            if record.stage == "table":
                yield from _table(subject, draw["table"])
            elif record.stage == "claims":
                yield from _drawn_again(subject, draw["claims"])
            elif subject.output(METRICS) is not None:
                yield from _measured(subject)
            else:
                yield from _shown(subject)

    return run


# ---- numbers and how they were measured -------------------------------------------------------------------------


def _measured(subject: _Subject) -> Iterator[Finding]:
    """A metrics.json agrees with its manifest, with what it was told to do, and with the samples it looked at."""
    file, record = subject.output(METRICS), subject.record
    if not subject.evidence.intact(file):
        return  # a finding already; what it says is worth nothing
    metrics = _read_metrics(subject)
    if metrics is None:
        yield subject.finding("number", file.path, "holds no values with their measure")
        return
    for name in sorted(metrics.values.keys() | record.metrics.keys()):
        stated, value = record.metrics.get(name), metrics.values.get(name)
        if stated != value:
            yield subject.finding("number", file.path, f"says {name} {_plain(value)}, its manifest {_plain(stated)}")
    stated = identity(metrics.measure)
    if stated != metrics.measure_id:
        yield subject.finding("measure", file.path, f"its measure has the id {stated}, not {metrics.measure_id}")
    if wrong := problem(metrics.measure):
        yield subject.finding("measure", file.path, wrong)
    for where, stated in [("its settings say", record.spec), *_indices(subject)]:
        if not isinstance(stated, dict):
            yield subject.finding("measure", file.path, f"nobody can tell how {where}")
            continue
        for key in sorted(stated.keys() & metrics.measure.keys()):
            if stated[key] != metrics.measure[key]:
                what = f"was measured with {key} {_plain(metrics.measure[key])}, {where} {_plain(stated[key])}"
                yield subject.finding("measure", file.path, what)


def _indices(subject: _Subject) -> Iterator[tuple[str, Any]]:
    """How the samples that were measured were drawn, as their index.json says."""
    for producer, read in subject.record.inputs.items():
        for file in read.files:
            if producer.startswith("samples/") and file.name == "index.json" and subject.evidence.intact(file):
                yield f"{producer} was drawn with", _json((subject.evidence.root / file.path).read_bytes())


def _json(content: bytes) -> Any:
    """Content of a JSON file, None if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _read_metrics(subject: _Subject) -> _Metrics | None:
    """What a metrics.json holds; None if it is not there, holds something else, or numbers that are none."""
    content = _json((subject.text(METRICS) or "").encode())
    try:
        fingerprint.digest(content)
        return _Metrics.model_validate(content)
    except ValueError:
        return None


# ---- tables -----------------------------------------------------------------------------------------------------


def _table(subject: _Subject, draw: Draw) -> Iterator[Finding | Note]:
    evidence, manifest = subject.evidence, subject.evidence.manifest(subject.artifact)
    try:
        spec = _Spec.model_validate(subject.record.spec)
        sources, beside = (list(found(subject.record.spec)) for found in (cells.sources, cells.controls))
    except (ValidationError, LookupError, ValueError):
        yield subject.finding("table", manifest, "its settings describe no table")
        return
    if spec.scale != evidence.scale:
        yield subject.finding(
            "mixed", manifest, f"shows scale {spec.scale}, but lies among results of {evidence.scale}"
        )
    table = subject.output("table.csv")
    path = table.path if table else manifest
    unbacked = [subject.finding(*wrong) for wrong in _unbacked(subject, [*sources, *beside], path)]
    yield from (subject.finding("control", path, what) for what in _uncontrolled(subject, sources, beside))
    yield from (subject.finding("control", path, what) for what in _false_marks(subject, spec, sources, beside))
    mixed = [subject.finding("mixed", path, what) for what in _mixed(subject, spec, sources)]
    yield from unbacked
    yield from mixed
    if not unbacked and not mixed:  # else there is nothing to draw it from
        yield from _drawn_again(subject, draw)


Sources = list[tuple[str, str, cells.Source]]  # row key, column name, and where the number comes from


def _unbacked(subject: _Subject, sources: Sources, path: str) -> Iterator[tuple[str, str, str]]:
    """Artifacts that a table shows numbers of, without a metrics.json that a manifest of this scale vouches for.

    And what it read for no number: the mean over its seeds would not be the mean of what was read.
    """
    evidence = subject.evidence
    shown = {artifact for _, _, source in sources for artifact in source.artifacts}
    for artifact in sorted(subject.record.inputs.keys() - shown):
        yield "table", evidence.manifest(subject.artifact), f"read {artifact}, of which it shows no number"
    for artifact in sorted(shown):
        source = _source_of(subject, artifact)
        if artifact not in subject.record.inputs:
            yield "number", path, f"shows numbers of {artifact}, which it did not read"
        elif artifact in evidence.foreign:
            yield "mixed", path, f"shows numbers of {artifact}, which is of scale {evidence.foreign[artifact]}"
        elif source is None:
            yield "number", path, f"shows numbers of {artifact}, of which there is no manifest that can be used"
        elif source.output(METRICS) is None:
            yield "number", path, f"shows numbers of {artifact}, whose manifest names no {METRICS}"
        elif _read_metrics(source) is None:
            yield "number", path, f"shows numbers of {artifact}, whose {METRICS} holds none"


def _mixed(subject: _Subject, spec: _Spec, sources: Sources) -> Iterator[str]:
    """Columns with numbers of two measures, in more than what the table says that may vary in them."""
    columns: dict[str, dict[str, list[_Metrics]]] = {}  # name -> row -> what its seeds measured
    foot = subject.record.spec.get("control_rows", ())
    varies = {column.name: column.varies for column in spec.columns}
    for row, column, source in sources:
        if row in foot:  # measured alike, but of other images: `_drawn_again` compares them
            continue
        made = [_source_of(subject, artifact) for artifact in source.artifacts]
        read = [metrics for it in made if it and (metrics := _read_metrics(it))]
        columns.setdefault(column, {}).update({row: read} if read else {})
    for column, found in columns.items():
        try:
            measures = {
                row: seeds.over_seeds([metrics.model_dump() for metrics in read])["measure"]
                for row, read in found.items()
            }
            tables.same_measure(measures, where=f"column {column!r}", but=varies[column])
        except (tables.TableError, seeds.SeedError) as error:
            yield str(error)


def _uncontrolled(subject: _Subject, sources: Sources, beside: Sources) -> Iterator[str]:
    """Numbers of images without a control, or with one that is of something else than what it says the worth of."""
    controls = {(row, column): source.artifacts for row, column, source in beside}
    for row, column, source in sources:
        if not source.artifacts or (stage := STAGES.get(stage_of(source.artifacts[0]))) is None:
            continue
        if stage.control is None or source.value not in STAGES[stage.control].values:
            continue
        found = controls.get((row, column), ())
        if not found:
            yield f"{row}, {column}: no control stands beside the number of {source.artifacts[0]}"
        elif any(stage_of(artifact) != stage.control for artifact in found):
            yield f"{row}, {column}: {found[0]} is no {stage.control}"
        elif what := _of_another(subject, source.artifacts[0], found[0]):
            yield f"{row}, {column}: {what}"


def _of_another(subject: _Subject, artifact: str, control: str) -> str:
    """What a control is made from and the images of an artifact are not, of what both are made from; "" for nothing.

    So the control of a row's samples is that of its own tokens and decoder. (A generator of published weights never saw
    codes: those of its control are nobody's else.)
    """
    made, worth = (_producers(subject, name) for name in (artifact, control))
    for stage in ("tokenizer", "tokens", "codes", "reference"):
        if made.get(stage) and (other := worth.get(stage, set()) - made[stage]):
            return (
                f"{control} is made from {', '.join(sorted(other))}, {artifact} from {', '.join(sorted(made[stage]))}"
            )
    return ""


def _producers(subject: _Subject, artifact: str) -> dict[str, set[str]]:
    """Stage -> all artifacts of it that one is made from, by the manifests."""
    found: dict[str, set[str]] = {}
    records = subject.evidence.records
    for name in upstream(lambda name: records[name].inputs if name in records else (), [artifact]):
        found.setdefault(stage_of(name), set()).add(name)
    return found


def _false_marks(subject: _Subject, spec: _Spec, sources: Sources, beside: Sources) -> Iterator[str]:
    """Lines of table.csv whose mark does not follow from the numbers of the metrics.json files themselves."""
    try:
        lines = _rows((subject.text("table.csv") or "").encode())
    except (csv.Error, KeyError, TypeError):
        return  # a finding of the comparison with what is drawn again
    labels = dict(cells.rows(subject.record.spec))
    directions = {cells.plain(column.name): column.direction for column in spec.columns}
    numbers = {(row, column): _mean(subject, source) for row, column, source in sources}
    for row, column, source in beside:
        line = lines.get((cells.plain(labels[row]), column, 0))
        measured, control = numbers[row, column], _mean(subject, source)
        if line is None or measured is None or control is None:
            continue  # a finding already
        better = measured < control if directions[column] == "lower" else measured > control
        if line.get("behind") != ("no" if better else "yes"):
            says = {"yes": "does not beat", "no": "beats"}.get(line.get("behind", ""), "says nothing of")
            found = f"{_plain(measured)} was measured, of the control {_plain(control)}"
            yield f"{labels[row]}, {column}: {says} its control, but {found}"


def _mean(subject: _Subject, source: cells.Source) -> float | None:
    """A number over its seeds, as the files say; None if one is not there."""
    made = [_source_of(subject, artifact) for artifact in source.artifacts]
    read = [_read_metrics(it) for it in made if it]
    found = [metrics.values.get(source.value) for metrics in read if metrics]
    complete = bool(found) and len(found) == len(source.artifacts) and None not in found
    return sum(found) / len(found) if complete else None


def _source_of(subject: _Subject, artifact: str) -> _Subject | None:
    record = subject.evidence.records.get(artifact)
    return _Subject(subject.evidence, artifact, record) if record else None


def _drawn_again(subject: _Subject, draw: Draw) -> Iterator[Finding | Note]:
    """Tables and claims are what their inputs give: each number, and each byte of their pages."""
    evidence, record, manifest = subject.evidence, subject.record, subject.evidence.manifest(subject.artifact)
    published = _published(subject)
    if published is None:
        yield Note("not-drawn", subject.artifact, "the published numbers that it read are neither in place nor kept")
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Work(
            stage=record.stage,
            recipe=record.recipe,
            spec=record.spec,
            inputs={name: evidence.root / evidence.folder(name) for name in record.inputs},
            sources={"published": published},
            out=Path(folder),
            state=Path(folder),
            identity="",
            comments=(),
            root=evidence.root,
            data_root=None,
            device="cpu",
        )
        try:
            numbers = draw(work)
        except REFUSALS as error:
            yield subject.finding("table", manifest, f"cannot be drawn from its inputs: {error}")
            return
        for name in sorted(numbers.keys() | record.metrics.keys()):
            if numbers.get(name) != record.metrics.get(name):
                what = f"says {name} {_plain(record.metrics.get(name))}, its inputs give {_plain(numbers.get(name))}"
                yield subject.finding("number", manifest, what)
        yield from _compared(subject, Path(folder))


def _published(subject: _Subject) -> Path | None:
    """The file of published numbers as the table read it: in its place, or from the code store."""
    evidence = subject.evidence
    for file in subject.record.sources:
        kept = code.source_file(Path(evidence.top), file.sha256, Path(file.path).suffix)
        for path in (file.path, kept.as_posix()):
            if path in evidence.seen and evidence.seen[path].sha256 == file.sha256:
                return evidence.root / path
    return None


def _compared(subject: _Subject, redrawn: Path) -> Iterator[Finding | Note]:
    """Findings where the table's files differ from those just drawn."""
    evidence, record = subject.evidence, subject.record
    read = [file for read in record.inputs.values() for file in read.files if file.name in NUMBERS]
    same_inputs, other_code = all(map(evidence.intact, read)), evidence.other_code(record)
    unlike = []
    for file in record.outputs:
        if not (redrawn / file.name).is_file() or file.path not in evidence.seen:
            continue  # missing is a finding already, and so is a file that a table does not have
        was, now = (evidence.root / file.path).read_bytes(), (redrawn / file.name).read_bytes()
        if was == now:
            continue
        details = {"table.csv": _csv_cells, METRICS: _json_cells}.get(file.name, lambda *_: [])
        found = [subject.finding(kind, file.path, what) for kind, what in details(was, now)]
        if not found and same_inputs and not other_code:
            found = [subject.finding("table", file.path, _first_difference(was, now))]
        yield from found
        unlike += [] if found else [file.name]
    if unlike:
        reason = "its inputs changed since" if not same_inputs else f"drawn by other code ({', '.join(other_code)})"
        yield Note("not-drawn", subject.artifact, f"{', '.join(unlike)} could not be compared: {reason}")


def _csv_cells(was: bytes, now: bytes) -> Iterator[tuple[str, str]]:
    """Cells of table.csv that are not what the inputs give."""
    try:
        old, new = (_rows(content) for content in (was, now))
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        yield "table", f"cannot be read ({error})"
        return
    for key in [*new, *(key for key in old if key not in new)]:
        where = f"{key[0]}, {key[1]}" + (f" (line {key[2] + 1} of that name)" if key[2] else "")
        if key not in old or key not in new:
            yield "table", f"{where}: {'is left out' if key in new else 'has nothing behind it'}"
            continue
        for name in new[key].keys() & old[key].keys():
            if old[key][name] != new[key][name]:
                what = f"{where}: {name} {old[key][name] or 'blank'}, its inputs give {new[key][name] or 'blank'}"
                yield CSV_KINDS.get(name, "table"), what


def _rows(content: bytes) -> dict[tuple[str, str, int], dict[str, str]]:
    """Lines of a table.csv by row, column and how often these came before."""
    found: dict[tuple[str, str, int], dict[str, str]] = {}
    for line in csv.DictReader(content.decode().splitlines(), strict=True):
        number = 0
        while (line["row"], line["column"], number) in found:
            number += 1
        found[line["row"], line["column"], number] = line
    return found


def _json_cells(was: bytes, now: bytes) -> Iterator[tuple[str, str]]:
    """Numbers of a table's metrics.json that are not what the inputs give."""
    try:
        old, new = json.loads(was), json.loads(now)
        cells = sorted({(row, name) for content in (old, new) for row, numbers in content.items() for name in numbers})
        for row, name in cells:
            before, after = old.get(row, {}).get(name), new.get(row, {}).get(name)
            if before != after:
                yield "number", f"{row}, {name}: {_plain(before)}, its inputs give {_plain(after)}"
    except (ValueError, AttributeError, TypeError) as error:
        yield "number", f"cannot be read ({error})"


def _first_difference(was: bytes, now: bytes) -> str:
    """The first line that differs, around the place where it does."""
    old, new = (content.decode(errors="replace").splitlines(keepends=True) for content in (was, now))
    for number, (before, after) in enumerate(zip(old, new, strict=False), 1):
        if before != after:
            start = max(0, next((k for k, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0) - 20)
            return f"line {number} says {before[start : start + 60]!r}, its inputs give {after[start : start + 60]!r}"
    return f"has {len(old)} lines, its inputs give {len(new)}"


# ---- pages that show tables and figures -------------------------------------------------------------------------


def _shown(subject: _Subject) -> Iterator[Finding]:
    """Tables inside notebooks and pages say what those beside them say; pages show all tables and figures they read."""
    evidence, record = subject.evidence, subject.record
    shown = [(name, file) for name, read in record.inputs.items() for file in read.files]
    pages = [file for name, file in shown if name.startswith("table/") and file.name == "table.html"]
    if not all(map(evidence.intact, pages)):
        return  # a finding already
    texts = {
        file.path: _words((evidence.root / file.path).read_text(encoding="utf-8", errors="replace")) for file in pages
    }
    for file in record.outputs:
        text = subject.text(file.name) if file.name.endswith((".html", ".ipynb")) else None
        if text is None:
            continue
        here = [_words(part) for part in FRAGMENT.findall(_displayed(text) if file.name.endswith(".ipynb") else text)]
        for words in here:
            if words not in texts.values():
                yield subject.finding(
                    "table", file.path, f"shows a table that none of its inputs is: {_odd(words, texts)}"
                )
        if record.stage not in PAGES:
            continue
        for path, words in texts.items():
            if words not in here:
                yield subject.finding("table", file.path, f"does not show {path} as it is")
        pictures = _pictures(text, posixpath.dirname(file.path))
        for name, picture in shown:
            if name.startswith("figure/") and picture.name.endswith(".png") and picture.path not in pictures:
                yield subject.finding("table", file.path, f"does not show {picture.path}")


def _pictures(html: str, folder: str) -> set[str]:
    """Paths of the pictures that a page in `folder` shows."""
    sources = re.findall(r'<img\b[^>]*?\ssrc="([^"]+)"', html)
    return {posixpath.normpath(posixpath.join(folder, unquote(source))) for source in sources}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words += [" ".join(data.split())] if data.strip() else []


def _words(html: str) -> list[str]:
    """What a reader sees of the table in a page, piece by piece: pages differ in markup and links, never in this."""
    reader = _Reader()
    reader.feed("".join(FRAGMENT.findall(html)))
    reader.close()
    return reader.words


def _odd(words: list[str], texts: dict[str, list[str]]) -> str:
    """The first piece that no table has."""
    known = {word for others in texts.values() for word in others}
    return repr(next((word[:60] for word in words if word not in known), "its pieces are in another order"))


def _displayed(notebook: str) -> str:
    """The HTML in a notebook's outputs."""
    try:
        outputs = [output for cell in json.loads(notebook)["cells"] for output in cell.get("outputs", [])]
        return "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""  # no notebook that shows anything


def _plain(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
