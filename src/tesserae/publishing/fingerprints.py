"""What published results were made by: docs/results/<scale>/<paper>.fingerprints.json, and what has changed since.

The file holds, from the manifests of all that the paper's results were made from, what an identity is made of: the
digests of code, the settings (long ones as digests), the tracked files and the producers. So a checkout without any
results can say which published parts the present code would make otherwise, and why.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.lineage import walk
from tesserae.lineage.fingerprint import digest
from tesserae.lineage.hashes import sha256
from tesserae.workflow import showing
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus

VERSION = 1
LONGEST = 120  # characters of a setting as JSON that is kept as it is; of longer ones the digest is
DIGEST = "digest"
LOCK = Path("requirements.lock")


def folder(plan: Plan) -> Path:
    """Where a scale's results are published, relative to the project folder."""
    return Path("docs/results") / plan.scale


def file(top: Path, paper: str) -> Path:
    return top / f"{paper}.fingerprints.json"


def read(top: Path, paper: str) -> dict[str, Any] | None:
    """A paper's fingerprints; None if nothing of it was published. ValueError if they cannot be read."""
    path = file(top, paper)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); take it from git again") from None
    if found.get("version") != VERSION:
        raise ValueError(f"{path} is of version {found.get('version')}, this is {VERSION}: publish again")
    return found


# ---- written ----------------------------------------------------------------------------------------------------


def content(
    paper: str,
    scale: str,
    shown: Sequence[str],
    records: Mapping[str, manifests.Manifest],
    *,
    made: Mapping[str, Any],
    summary: Mapping[str, Any],
    files: Sequence[Path],
    top: Path,
) -> str:
    """The text of a paper's fingerprints, one line per artifact.

    shown: ids of what was published; records: the manifests of it and of all it was made from; made: `made_by` of
    these; summary: what the index tells of the paper; files: what was written of it, relative to `top`.
    """
    codes = sorted({tuple(sorted(record["modules"].items())) for record in records.values()})
    modules = sorted({pair for code in codes for pair in code})
    place = {pair: at for at, pair in enumerate(modules)}
    told = {
        "version": VERSION,
        "paper": paper,
        "scale": scale,
        "summary": dict(summary),
        **made,
        "files": {str(name): sha256(top / name) for name in files},
        "shown": list(shown),
        "modules": [" ".join(pair) for pair in modules],
        "codes": [[place[pair] for pair in code] for code in codes],
        "artifacts": {
            name: _kept(record, codes.index(tuple(sorted(record["modules"].items()))))
            for name, record in sorted(records.items())
        },
    }
    return _lines(told)


def made_by(records: Iterable[Mapping[str, Any]], told: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The commits, engines, Pythons and libraries that made some artifacts: mostly one of each.

    told: fingerprints that were published earlier, and of which a part stays.
    """
    records, told = list(records), told or {}
    versions = {name: {*found} for name, found in told.get("libraries", {}).items()}
    for record in records:
        for name, version in record["environment"]["libraries"].items():
            versions.setdefault(name, set()).add(version)
    return {
        "commits": sorted({_commit(record["git"]) for record in records} | {*told.get("commits", ())}),
        "engine": sorted({record["engine"] for record in records} | {*told.get("engine", ())}),
        "python": sorted({record["environment"]["python"] for record in records} | {*told.get("python", ())}),
        "libraries": {name: sorted(found) for name, found in sorted(versions.items())},
    }


def _commit(git: Mapping[str, Any]) -> str:
    if git["commit"] is None:
        return "no commit"
    return git["commit"] + (" and edits" if git["dirty"] else "")


def _kept(record: manifests.Manifest, code: int) -> dict[str, Any]:
    """What is kept of a manifest; `code` is the place of its modules among `codes`."""
    kept = {
        "fingerprint": record["fingerprint"],
        "engine": record["engine"],
        "code": code,
        "equivalents": record["equivalents"],
        "spec": {name: _short(value) for name, value in record["spec"].items()},
        "sources": {entry["path"]: entry["sha256"] for entry in record["sources"]},
        "inputs": sorted(record["inputs"]),
        "data": (record.get("data") or {}).get("sha256"),
    }
    return {name: value for name, value in kept.items() if value or name == "code"}


def _short(value: Any) -> Any:
    """A setting, long ones in it as digests."""
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return value if len(json.dumps(value)) <= LONGEST else {DIGEST: digest(value)}


def _lines(told: Mapping[str, Any]) -> str:
    """JSON with a line for each field, and for each entry of a field that has several."""
    parts = []
    for name, value in told.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(key)}: {_flat(one)}" for key, one in value.items())
            parts.append(f" {json.dumps(name)}: {{\n{inner}\n }}")
        elif isinstance(value, list) and len(value) > 1:
            inner = ",\n".join(f"  {_flat(one)}" for one in value)
            parts.append(f" {json.dumps(name)}: [\n{inner}\n ]")
        else:
            parts.append(f" {json.dumps(name)}: {_flat(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _flat(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# ---- compared ---------------------------------------------------------------------------------------------------


def differences(plan: Plan, shown: Sequence[str], told: Mapping[str, Any]) -> list[str]:
    """Lines on the parts of a paper's published results that the present code would make otherwise, and why.

    shown: ids of what the paper shows now.
    """
    paper, known = told["paper"], told["artifacts"]
    lines = [
        f"{paper}: {name} is published and no longer part of the paper" for name in told["shown"] if name not in shown
    ]
    if new := [name for name in shown if name not in told["shown"]]:
        lines.append(f"{paper}: not published: {showing.short(new)}")
    still = [name for name in shown if name in told["shown"]]
    needed = plan.demanded(*still) if still else []
    other = [name for name in needed if known.get(name, {}).get("fingerprint") != plan.fingerprint(plan.jobs[name])]
    if not other:
        return lines
    statuses = {name: _status(plan, told, name) for name in needed}
    old = [name for name in still if name in other]
    if old:
        lines.append(
            f"{paper}: {len(old)} of {len(still)} published parts are not what the present code makes: "
            f"{showing.short(old)}"
        )
    for names, why in showing.reasons(plan, statuses, dict.fromkeys(other, "its identity changed")):
        if why[0].startswith("follows from"):
            continue  # the cause has a line of its own
        lines.append(f"  {showing.short(names)}")
        lines += [f"    {line}" for line in why]
    return lines


def behind(told: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Published artifacts and all they were made from."""
    known = told["artifacts"]
    return walk.nearest_first(lambda name: [one for one in known[name].get("inputs", ()) if one in known], names)


def with_earlier(
    records: Mapping[str, manifests.Manifest], told: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Mapping[str, Any]]:
    """Manifests, with what stands for those of the artifacts `names`, published earlier, and of all behind them."""
    return {name: _record(told, name) for name in behind(told, names)} | dict(records)


def _record(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What was kept of a manifest, as a manifest has it; long settings stay digests."""
    kept = told["artifacts"][name]
    return {
        "manifest": manifests.VERSION,
        "fingerprint": kept.get("fingerprint"),
        "engine": kept["engine"],
        "modules": dict(told["modules"][at].split(" ") for at in told["codes"][kept["code"]]),
        "equivalents": kept.get("equivalents", {}),
        "spec": kept.get("spec", {}),
        "origins": {},
        "sources": [{"path": path, "sha256": found} for path, found in kept.get("sources", {}).items()],
        "inputs": dict.fromkeys(kept.get("inputs", ())),
        "data": {"sha256": kept["data"]} if "data" in kept else None,
    }


def _status(plan: Plan, told: Mapping[str, Any], name: str) -> ArtifactStatus:
    """How an artifact stands by what was published of it, as staleness.py would say it of its manifest."""
    job, kept = plan.jobs[name], told["artifacts"].get(name)
    if kept is None:
        return ArtifactStatus(name, None, stale=["what was published was made without it"], identity=False)
    record = _record(told, name)
    record["spec"] = _long(record["spec"], job.spec)
    same = kept["fingerprint"] == plan.fingerprint(job)
    return ArtifactStatus(name, record, stale=[] if same else ["code, settings or inputs changed"], identity=same)


def _long(kept: Any, now: Any) -> Any:
    """A setting as it was: of a long one in it the present value, if it is the same."""
    if isinstance(kept, dict) and kept.keys() == {DIGEST}:
        return now if digest(now) == kept[DIGEST] else f"another value, {kept[DIGEST]}"
    if isinstance(kept, dict):
        present = now if isinstance(now, dict) else {}
        return {name: _long(one, present.get(name)) for name, one in kept.items()}
    return kept


def other_libraries(root: Path, told: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines on libraries of which requirements.lock has another version than made what was published."""
    if not (root / LOCK).is_file():
        return []
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (root / LOCK).read_text(encoding="utf-8"), re.MULTILINE))
    pairs = {
        (name, version)
        for found in told
        for name, versions in found["libraries"].items()
        for version in versions
        if locked.get(name, version) != version
    }
    return [f"{name} {version} made what is published, {LOCK} has {locked[name]}" for name, version in sorted(pairs)]
