"""What a run in MLflow says of an artifact: pure functions of manifests. Nothing here knows a store.

Names, tags, parameters, metrics, inputs and files; and which trained thing an artifact derives from.
"""

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tesserae.config.stages import STAGES
from tesserae.lineage import changes, walk
from tesserae.lineage import manifest as manifests

FINGERPRINT, ARTIFACT, STARTED = "tesserae.fingerprint", "tesserae.artifact", "tesserae.started"
STAGE, UPSTREAM, CURRENT = "tesserae.stage", "tesserae.upstream", "tesserae.current"
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
CURVES = "curves.jsonl"  # among the outputs of a trained thing, and of nothing else
SHOWING = {name for name, stage in STAGES.items() if stage.shows}  # stages that show what many trained things did
NAMED = {name for name, stage in STAGES.items() if stage.named}
COPIED = (".csv", ".md", ".html", ".png")  # outputs that MLflow can show
COPIED_BYTES = 10_000_000
LONGEST_KEY, LONGEST_VALUE, LONGEST_TAG = 250, 6000, 8000  # MLflow's limits, in characters


class Key(NamedTuple):
    """One execution of one job. Made again under the same fingerprint, it is another one, with times of its own."""

    artifact: str
    fingerprint: str
    started: str


class Point(NamedTuple):
    """One value of a training curve."""

    name: str
    step: int
    value: float


class Made(NamedTuple):
    """What is known of a fingerprint: the stage that made it, and the fingerprints that it was made from."""

    stage: str
    upstream: tuple[str, ...]


def key(record: Mapping[str, Any]) -> Key:
    return Key(record["artifact"], record["fingerprint"], record["started"])


def milliseconds(moment: str) -> int:
    """Since 1970, of a manifest's time."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def is_trained(record: Mapping[str, Any]) -> bool:
    """Whether a manifest is that of a trained thing."""
    return any(Path(entry["path"]).name == CURVES for entry in record["outputs"])


def made(record: Mapping[str, Any]) -> Made:
    return Made(record["stage"], tuple(entry["fingerprint"] for entry in record["inputs"].values()))


def made_from_tags(tags: Mapping[str, str]) -> Made:
    """The same from the tags of a run whose manifest is gone."""
    return Made(tags.get(STAGE, ""), tuple(name for name in tags.get(UPSTREAM, "").split() if "-" in name))


def trained_origin(fingerprint: str, known: Mapping[str, Made], trained: Iterable[str]) -> str | None:
    """The fingerprint of the trained thing from which an artifact was made or measured.

    Of several, the last on the road (samples come from a generator, which came from a tokenizer). None for what is
    trained itself, for what shows many of them, and for what has none or no single one. `trained`: names of stages.
    """
    trained = set(trained)
    if fingerprint not in known or known[fingerprint].stage in {*trained, *SHOWING}:
        return None
    found = {name for name in _upstream(fingerprint, known) if name in known and known[name].stage in trained}
    last = found - {name for other in found for name in _upstream(other, known)}
    return last.pop() if len(last) == 1 else None


def _upstream(fingerprint: str, known: Mapping[str, Made]) -> set[str]:
    return walk.upstream(lambda name: known[name].upstream if name in known else (), known[fingerprint].upstream)


def title(record: Mapping[str, Any], *, trained: bool) -> str:
    """The name of a run: the recipe; of what was made or measured with it, the stage as well."""
    plain = trained or record["stage"] in NAMED
    return record["recipe"] if plain else f"{record['recipe']} · {record['stage']}"


def folder(record: Mapping[str, Any]) -> str:
    """Where the artifact lies, relative to the project folder. The report lies at the top of its scale."""
    top = f"results/{record['scale']}"
    return top if record["stage"] == "report" else f"{top}/{record['artifact']}"


def tags(record: Mapping[str, Any]) -> dict[str, str]:
    """Tags that lead back to the manifest; of a manifest, or of what is known while a training runs."""
    upstream = [entry["fingerprint"] for entry in record["inputs"].values()]
    git = record["git"]
    found = {
        FINGERPRINT: record["fingerprint"],
        ARTIFACT: record["artifact"],
        STARTED: record["started"],
        STAGE: record["stage"],
        "tesserae.recipe": record["recipe"],
        "tesserae.scale": record["scale"],
        "tesserae.manifest": f"{folder(record)}/{manifests.NAME}",
        UPSTREAM: _shortened(upstream),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"src/tesserae/stages/{record['stage']}.py",  # a column of the list of runs
    }
    if git["commit"]:
        found |= {"mlflow.source.git.commit": git["commit"], "mlflow.source.git.dirty": str(git["dirty"]).lower()}
    return found


def _shortened(names: list[str]) -> str:
    text = " ".join(names)
    if len(text) <= LONGEST_TAG:
        return text
    kept = text[: LONGEST_TAG - 60].split()[:-1]
    return " ".join([*kept, f"... and {len(names) - len(kept)} more, see the manifest"])


def note(record: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """The description of a run, as Markdown. `links`: fingerprint -> address of its run, for what it was made from."""
    inputs = [
        f"[{name}]({links[entry['fingerprint']]})" if entry["fingerprint"] in links else name
        for name, entry in record["inputs"].items()
    ]
    parts = [
        f"Manifest: `{folder(record)}/{manifests.NAME}`",
        f"Back to the images: `tesserae --scale {record['scale']} trace {record['artifact']}`",
        *([f"Made from {', '.join(inputs)}"] if inputs else []),
        *([_cost(record)] if "seconds" in record else ["This training has not ended."]),
    ]
    text = "\n\n".join(parts)
    return text if len(text) <= LONGEST_TAG else note(record, {}) if links else text[: LONGEST_TAG - 3] + "..."


def _cost(record: Mapping[str, Any]) -> str:
    hardware = record["hardware"]
    processor = f"{hardware['gpu']}, {hardware['processor']}" if hardware["gpu"] else hardware["processor"]
    return (
        f"{record['seconds']:.1f} s and {record['peak_mb']} MB on {hardware['host']} "
        f"({processor}, {hardware['cores']} cores)"
    )


def params(spec: Mapping[str, Any]) -> dict[str, str]:
    """Leaves of a spec, `a.b.c` -> text; what is too long for MLflow ends in dots."""
    leaves = dict(changes.leaves(spec))
    texts = (value if isinstance(value, str) else json.dumps(value, sort_keys=True) for value in leaves.values())
    cut = (text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..." for text in texts)
    return dict(zip(_names(leaves), cut, strict=True))


def metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a manifest under names that MLflow accepts."""
    numbers = {name: value for name, value in record["metrics"].items() if isinstance(value, int | float)}
    return dict(zip(_names(numbers), map(float, numbers.values()), strict=True))


def curve(text: str) -> list[Point]:
    """Points of a curves.jsonl, also of one that is being written: its last line counts when it has ended."""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    names = list({name: None for line in lines for name in line if name not in ("step", "images")})
    short = dict(zip(names, _names(f"train/{name}" for name in names), strict=True))
    return [Point(short[name], line["step"], float(line[name])) for line in lines for name in names if name in line]


def datasets(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """What an artifact was made from: one entry for each producer and each tracked file.

    The digest of a producer is its fingerprint, so that it is found by the tag of the run that made it; that of a
    tracked file is the head of its sha256. The sizes and hashes of all files stand in the profile.
    """
    found = []
    for name, entry in record["inputs"].items():
        profile = {
            "files": {file["path"]: file["sha256"] for file in entry["files"]},
            "bytes": sum(file["bytes"] for file in entry["files"]),
        }
        place = posixpath.dirname(entry["files"][0]["path"])
        found.append(_dataset(name, entry["fingerprint"], place, name.partition("/")[0], profile))
    for file in record["sources"]:
        found.append(_dataset(file["path"], file["sha256"][:36], file["path"], "source", {"bytes": file["bytes"]}))
    return found


def _dataset(name: str, digest: str, path: str, context: str, profile: dict[str, Any]) -> dict[str, str]:
    return {
        "name": name,
        "digest": digest,
        "source": json.dumps({"uri": path}),
        "profile": json.dumps(profile),
        "context": context,
    }


class Changed(Exception):
    """A file of an artifact is missing, or is not what its manifest says."""


def files(record: Mapping[str, Any], root: Path) -> dict[str, bytes]:
    """Curve, tables, figures and pages of an artifact by name, as its manifest describes them; raises Changed."""
    found = {}
    for entry in record["outputs"]:
        path = Path(entry["path"])
        if path.name != CURVES and (path.suffix not in COPIED or entry["bytes"] > COPIED_BYTES):
            continue
        try:
            content = (root / path).read_bytes()
        except FileNotFoundError:
            raise Changed(f"{path} is missing") from None
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise Changed(f"{path} is not what its manifest says")
        found[path.name] = content
    return found


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _names(names: Iterable[str]) -> list[str]:
    """Names that MLflow accepts, one for each and all different: it takes them for paths of letters and `_-. :`."""
    used: dict[str, None] = {}
    for name in names:
        clean = re.sub(r"[^\w\-. :/]", "_", name)[: LONGEST_KEY - 5].replace("..", "_").strip("/_ ")
        base = candidate = posixpath.normpath(clean or "_").replace(".", "_", int(clean == "."))
        number = 2
        while candidate in used:
            candidate, number = f"{base} {number}", number + 1
        used[candidate] = None
    return list(used)
