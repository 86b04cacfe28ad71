"""DVC: sharing a scale's results and fetching them again, whole or only what the next run reads.

DVC moves the bytes (results/<scale>.dvc points at them); the index lineage/<scale>.json, in git beside the pointer,
says which artifact has which identity and content. With the index alone, without any data, `stale` can tell whether
what is committed is what the present code makes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tesserae.lineage import code
from tesserae.lineage import manifest as manifests
from tesserae.lineage.hashes import sha256
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import examine, to_run

VERSION = 1


class NotShared(Exception):
    """Results cannot be shared or fetched; the message says why and what to do."""


def index_file(plan: Plan) -> Path:
    """The index of a scale's shared results, relative to the project folder."""
    return Path("lineage") / f"{plan.scale}.json"


def pointer(plan: Plan) -> Path:
    """DVC's pointer to a scale's results, relative to the project folder."""
    return Path(f"{plan.top}.dvc")


# ---- share ------------------------------------------------------------------------------------------------------


def share(plan: Plan) -> list[str]:
    """Record the scale's results with DVC, write the index, and push if a remote is configured; what was done.

    Raises NotShared if something is stale or unfinished: what is shared must be what the code makes.
    """
    root = plan.project.root
    _no_link(root, plan)
    statuses = examine(plan)
    run = to_run(plan, statuses)
    if run:
        some = ", ".join([*run][:4])
        raise NotShared(f"{len(run)} artifacts are not up to date ({some} …): run `make reproduce` first")
    index = {
        "version": VERSION,
        "scale": plan.scale,
        "artifacts": {
            name: _entry(root, record) for name, record in sorted(manifests.collect(root, plan.scale).items())
        },
    }
    store = root / plan.top / code.FOLDER
    kept = sorted(file for file in store.rglob("*") if file.is_file())
    index["code"] = {file.relative_to(store).as_posix(): sha256(file) for file in kept}
    file = root / index_file(plan)
    file.parent.mkdir(exist_ok=True)
    _dvc(root, "add", str(plan.top), fails="recording the results (it needs git: `git init` where there is none)")
    manifests.write(file, index)
    done = [f"recorded {len(index['artifacts'])} artifacts: {pointer(plan)}, {index_file(plan)}"]
    if _dvc(root, "remote", "default", check=False).returncode == 0:
        _dvc(root, "push", str(pointer(plan)), fails="pushing; what is recorded stays, push again with `dvc push`")
        done.append("pushed to the default remote")
    else:
        done.append("not pushed: DVC has no default remote; `dvc remote add -d NAME URL`, then `dvc push`")
    return [*done, f"to share it: git add {pointer(plan)} {index_file(plan)} results/.gitignore && git commit"]


def _no_link(root: Path, plan: Plan) -> None:
    """Raise NotShared if the results lie behind a link, of which DVC records nothing."""
    for folder in (Path("results"), plan.top):
        if (root / folder).is_symlink():
            there = (root / folder).resolve()
            raise NotShared(
                f"{folder} is a link to {there}, and DVC records nothing behind a link. Move the whole project to that "
                f"disk, or mount the folder instead of linking it: `rm {folder} && mkdir {folder} && sudo mount --bind "
                f"{there} {folder}`"
            )


def _entry(root: Path, record: dict[str, Any]) -> dict[str, Any]:
    folder = Path(record["outputs"][0]["path"]).parent
    return {
        "fingerprint": record["fingerprint"],
        "manifest": sha256(root / folder / manifests.NAME),
        "outputs": {Path(entry["path"]).name: entry["sha256"] for entry in record["outputs"]},
    }


# ---- the gate without data --------------------------------------------------------------------------------------


def read_index(plan: Plan) -> dict[str, Any] | None:
    """The committed index, or None if this scale was never shared. Raises NotShared if it cannot be read."""
    file = plan.project.root / index_file(plan)
    if not file.exists():
        return None
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotShared(f"{index_file(plan)} is not JSON ({error}); take it from git again") from None
    if index.get("version") != VERSION:
        raise NotShared(f"{index_file(plan)} is of version {index.get('version')}, this is {VERSION}: share again")
    return index


def stale(plan: Plan) -> list[str]:
    """Lines on shared artifacts that the present code would make otherwise, or that are missing from the index.

    Raises NotShared if nothing was shared at this scale.
    """
    index = read_index(plan)
    if index is None:
        raise NotShared(f"there is no {index_file(plan)}: nothing was shared at scale {plan.scale}")
    lines = []
    for name in plan.demanded():
        entry = index["artifacts"].get(name)
        if entry is None:
            lines.append(f"{name}: not shared")
        elif entry["fingerprint"] != plan.fingerprint(plan.jobs[name]):
            own = entry["fingerprint"].split("-")[0] != plan.own(plan.jobs[name]).digest
            lines.append(
                f"{name}: {'its code, settings or sources changed' if own else 'what it is made from changed'}"
            )
    return lines


# ---- fetch ------------------------------------------------------------------------------------------------------


def pull(plan: Plan, targets: list[str] | None = None, needed: bool = False) -> list[str]:
    """Fetch shared results: everything, the artifacts `targets`, or (`needed`) only what the next run reads.

    Always fetches the manifests, so that what is not fetched is known. Returns what was fetched beyond them.
    Raises NotShared if objects are missing or the transfer broke off: what did arrive whole stays and counts.
    """
    root, index = plan.project.root, read_index(plan)
    if index is None or not (root / pointer(plan)).exists():
        raise NotShared(f"nothing was shared at scale {plan.scale}: {index_file(plan)} or {pointer(plan)} is missing")
    if targets is None and not needed:
        _fetch(plan, [str(pointer(plan))])
        return [str(plan.top)]
    records = [str(plan.folder(name) / manifests.NAME) for name in index["artifacts"] if name in plan.jobs]
    _fetch(plan, records)
    if targets is not None:
        _fetch(plan, [str(path) for name in targets for path in plan.outputs(plan.jobs[name])])
        return targets
    fetched: dict[str, None] = {}
    while files := [path for path in _needed(plan) if path not in fetched]:
        _fetch(plan, files)
        fetched |= dict.fromkeys(files)
    return list(fetched)


def _needed(plan: Plan) -> list[str]:
    """Files of current artifacts that are not here and that a stale one reads or a user looks at."""
    statuses = examine(plan)
    stale = [name for name in plan.demanded() if statuses[name].stale or statuses[name].record is None]
    wanted = {str(path) for name in stale for path in plan.inputs(plan.jobs[name])}
    wanted |= {str(path) for name in plan.shown for path in plan.outputs(plan.jobs[name])}
    return [
        str(path)
        for name, status in statuses.items()
        if status.current
        for path in plan.outputs(plan.jobs[name])
        if str(path) in wanted and not (plan.project.root / path).exists()
    ]


def _fetch(plan: Plan, targets: list[str]) -> None:
    """`dvc pull` files or the whole pointer; NotShared names what did not arrive."""
    root = plan.project.root
    targets = [target for target in targets if target.endswith(".dvc") or not (root / target).exists()]
    if not targets:
        return
    done = _dvc(root, "pull", *targets, check=False)
    absent = [target for target in targets if not (root / target).exists()]
    if done.returncode or absent:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        some = ", ".join(absent[:4]) + (f" and {len(absent) - 4} more" if len(absent) > 4 else "")
        raise NotShared(
            f"`dvc pull` did not bring everything. {'Missing: ' + some + '. ' if absent else ''}DVC says:\n"
            + "\n".join(said[-6:])
            + "\nWhat arrived is whole and counts; the rest would be made again. Try again, or ask whoever shared it "
            "to run `dvc push`."
        )


def _dvc(root: Path, *arguments: str, check: bool = True, fails: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
    )
    if check and done.returncode:
        raise NotShared(f"{fails} failed:\n{(done.stderr or done.stdout).strip()}")
    return done
