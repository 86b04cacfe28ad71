"""Earlier artifacts, kept in the DVC cache by fingerprint: switching a value and back trains nothing twice.

Whatever a run is about to replace is moved into the cache (linked, where the file system can), and an entry in
.tesserae/kept names its files. When the plan wants that fingerprint again, the files are linked back and checked.
`dvc gc` drops what no commit refers to; what is gone from the cache is made again.
"""

import json
import os
from pathlib import Path
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.lineage.hashes import sha256
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus

FOLDER = Path(".tesserae/kept")


class NoRepository(Exception):
    """The project folder is not a DVC repository; nothing can be kept."""


def keep(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str]) -> list[str]:
    """Put the artifacts `names` into the cache, if their files are what their manifests say; which ones were.

    Raises NoRepository.
    """
    wanted = [name for name in names if statuses[name].intact and not _entry(plan, statuses[name].record).exists()]
    if not wanted:
        return []
    repository = _repository(plan.project.root)
    try:
        for name in wanted:
            record = statuses[name].record
            files = [Path(entry["path"]) for entry in record["outputs"]] + [plan.folder(name) / manifests.NAME]
            found = {str(path): _add(repository, plan.project.root / path) for path in files}
            entry = {"artifact": name, "files": found}
            file = _entry(plan, record)
            file.parent.mkdir(parents=True, exist_ok=True)
            manifests.write(file, entry)
    finally:
        repository.close()
    return wanted


def restorable(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str]) -> list[str]:
    """Which of the artifacts are in the cache as the plan wants them now."""
    entries = {
        name: entry
        for name in names
        if (entry := _kept(plan, name)) and not any(words.startswith("asked for") for words in statuses[name].stale)
    }
    if not entries:
        return []
    repository = _repository(plan.project.root)
    try:
        cache = repository.cache.local
        return [name for name, entry in entries.items() if all(map(cache.exists, entry["files"].values()))]
    finally:
        repository.close()


def restore(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str]) -> list[str]:
    """Link the artifacts back from the cache; which ones came back whole. What they replace is kept first."""
    if not names:
        return []
    keep(plan, statuses, names)
    repository = _repository(plan.project.root)
    try:
        return [name for name in names if _restore(plan, repository, _kept(plan, name))]
    finally:
        repository.close()


def _restore(plan: Plan, repository: Any, entry: dict[str, Any]) -> bool:
    from dvc.fs import LocalFileSystem
    from dvc_objects.fs.generic import transfer

    root, cache, local = plan.project.root, repository.cache.local, LocalFileSystem()
    folder = root / plan.folder(entry["artifact"])
    folder.mkdir(parents=True, exist_ok=True)
    aside = {path: folder / f".{Path(path).name}.{os.getpid()}" for path in entry["files"]}
    try:
        for path, md5 in entry["files"].items():
            transfer(cache.fs, cache.oid_to_path(md5), local, str(aside[path]), links=list(cache.cache_types))
        record = json.loads(aside[str(plan.folder(entry["artifact"]) / manifests.NAME)].read_text(encoding="utf-8"))
        if record["fingerprint"] != plan.fingerprint(plan.jobs[entry["artifact"]]) or any(
            sha256(aside[output["path"]]) != output["sha256"] for output in record["outputs"]
        ):
            return False  # a damaged cache: the artifact is made again
        (folder / manifests.NAME).unlink(missing_ok=True)
        for path in sorted(entry["files"], key=lambda path: path.endswith(manifests.NAME)):
            os.replace(aside[path], root / path)
    finally:
        for file in aside.values():
            file.unlink(missing_ok=True)
    return True


def _repository(root: Path) -> Any:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        try:
            return Repo(str(root))
        except SCMError:  # unpacked from an archive: DVC's folder is there, git is not, and the cache needs none
            return Repo(str(root), config={"core": {"no_scm": True}})
    except NotDvcRepoError:
        raise NoRepository(
            f"{root} is not a DVC repository: what is replaced cannot be kept; `dvc init` (or `dvc init --no-scm`)"
        ) from None


def _add(repository: Any, file: Path) -> str:
    """Add a file to the cache; its md5, which is DVC's name for it."""
    from dvc.fs import LocalFileSystem
    from dvc_data.hashfile.hash import hash_file

    local = LocalFileSystem()
    _, found = hash_file(str(file), local, "md5", state=repository.state)
    repository.cache.local.add(str(file), local, found.value, hardlink=True)
    return found.value


def _entry(plan: Plan, record: dict[str, Any]) -> Path:
    return plan.project.root / FOLDER / plan.scale / record["artifact"] / f"{record['fingerprint']}.json"


def _kept(plan: Plan, name: str) -> dict[str, Any] | None:
    file = _entry(plan, {"artifact": name, "fingerprint": plan.fingerprint(plan.jobs[name])})
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
