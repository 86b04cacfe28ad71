"""Exports artifacts and everything upstream of them as a Workflow Run RO-Crate (Provenance Run Crate 0.5).

A crate is a folder: ro-crate-metadata.json tells machines in JSON-LD what each file is and which job made it from what,
ro-crate-preview.html tells people, and the files lie beside them under their paths in the project folder. Manifests are
the source. All that a crate states of a file is compared with the file's bytes first, and what contradicts itself is
refused: a crate does not lie. It says nothing of its own making, so that equal records give equal documents.
"""

import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from tesserae.lineage import code, crate_graph, crate_page, fingerprint, foreign, hashes
from tesserae.lineage import manifest as manifests
from tesserae.lineage.crate_contents import Contents, File, manifest_path, module_path, stage_module

PREVIEW = "ro-crate-preview.html"
LIGHT = 1 << 20  # bytes: what a light crate holds of artifacts; tables, figures, curves and manifests are smaller
# What says how jobs are chained and configured. No manifest has its hash: it is taken as it is now.
PROJECT = (
    crate_graph.WORKFLOW,
    "LICENSE",
    "CITATION.cff",
    "pyproject.toml",
    "requirements.lock",
    "workflow/rules/*.smk",
    "workflow/profiles/*/*.yaml",
    "config/**/*.yaml",
    "config/**/*.csv",
)


class CrateError(Exception):
    """What was asked for cannot be exported truthfully; the message names the file or artifact and the remedy."""


def crate(root: Path, scale: str, targets: list[str] | None = None) -> dict[str, Any]:
    """The JSON-LD document of a crate that holds all files of `targets` and everything upstream of them.

    Args: `root`, the project folder; `targets`, artifacts (<stage>/<recipe>), or None for the whole scale.
    Raises CrateError as `write` does.
    """
    contents = read(root, scale, targets)
    for file in contents.files.values():
        _verify(file, file.place)
    return crate_graph.document(contents, frozenset())


def write(
    root: Path,
    scale: str,
    targets: list[str] | None,
    folder: Path,
    *,
    copy: bool = True,
    limit: int | None = None,
) -> Path:
    """Write a crate into `folder`, a new or empty one; nothing half-written is left there.

    Args: `root`, `scale` and `targets` as in `crate`; `copy`, False leaves out the bytes of all artifacts, manifests
    and sources; `limit`, bytes above which a file of them is left out. What is left out is still compared with its
    manifest and described with path, sha256 and size. Code, configuration and licences are always in the crate.
    Raises CrateError for an unknown target, a file that is missing or is not what a manifest says, a manifest that
    contradicts itself or its producers', and a folder that is not empty.
    """
    folder = Path(folder).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CrateError(f"{folder} is there already and not empty; name a new folder or remove it")
    contents = read(root, scale, targets)
    left_out = {
        file.path
        for file in contents.files.values()
        if not file.always and (not copy or (limit is not None and file.bytes > limit))
    }
    making = folder.with_name(f".{folder.name}.making-{os.getpid()}")
    try:
        making.mkdir(parents=True)
        for file in contents.files.values():
            place = file.place
            if file.path not in left_out:
                place = making / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                if file.place.is_file():
                    shutil.copyfile(file.place, place)
            _verify(file, place)  # of the copy: the bytes that the crate is going to hold
        document = crate_graph.document(contents, left_out)
        (making / crate_graph.METADATA).write_text(
            json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (making / PREVIEW).write_text(crate_page.render(contents, left_out, document["@graph"]), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        os.rename(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


# ---- what goes in, and whether it is true -------------------------------------------------------------------------


def read(root: Path, scale: str, targets: list[str] | None = None) -> Contents:
    """What a crate of `targets` is about; CrateError if a manifest cannot be believed or a file is not there."""
    everything = _records(root, scale)
    if targets is None:
        read_by_others = {name for record in everything.values() for name in record["inputs"]}
        targets = sorted(everything.keys() - read_by_others)
    for target in targets:
        if target not in everything:
            raise CrateError(
                f"there is no artifact {target!r} at scale {scale} that was made; "
                f"results/{scale} has the folders of all that were"
            )
    records = {name: everything[name] for name in manifests.upstream(everything, targets)}
    for record in records.values():
        _believe(root, record, records)
        _verify_weights(record)
    files: dict[str, File] = {}
    for record in records.values():
        _artifact_files(files, root, record)
        _code_files(files, root, scale, record)
    for pattern in PROJECT:
        for place in sorted(root.glob(pattern)):
            _add(files, root, place)
    if crate_graph.WORKFLOW not in files:
        raise CrateError(
            f"{root / crate_graph.WORKFLOW} is missing: it is the workflow that a crate is about; restore it from git"
        )
    sources: dict[tuple[str, str], str] = {}
    for record in records.values():
        for entry in record["sources"]:
            sources[entry["path"], entry["sha256"]] = _source_file(files, root, scale, record, entry)
    return Contents(scale, list(targets), records, dict(sorted(files.items())), sources)


def _records(root: Path, scale: str) -> dict[str, dict[str, Any]]:
    found = {}
    for file in manifests.files(root, scale):
        where = file.relative_to(root).as_posix()
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CrateError(f"{where} cannot be read ({error}); {_remedy(scale)}") from None
        if not isinstance(record, dict) or record.get("manifest") != manifests.VERSION:
            raise CrateError(f"{where} is not a manifest of version {manifests.VERSION}; {_remedy(scale)}")
        missing = manifests.missing(record)
        if missing or not record["outputs"]:
            raise CrateError(f"{where} does not say {', '.join(missing) or 'what was made'}; {_remedy(scale)}")
        folder = PurePosixPath("results", scale, *([record["artifact"]] if file.parent.name != scale else []))
        if any(PurePosixPath(path).parent != folder for path in (where, *(one["path"] for one in record["outputs"]))):
            raise CrateError(f"{where} is the manifest of {record['artifact']}, not of this folder; {_remedy(scale)}")
        found[record["artifact"]] = record
    if not found:
        raise CrateError(f"nothing was made at scale {scale}; `tesserae --scale {scale} reproduce` makes everything")
    return found


def _believe(root: Path, record: dict[str, Any], records: dict[str, dict[str, Any]]) -> None:
    """Refuse a manifest that contradicts itself or those of its producers."""
    artifact, remedy = record["artifact"], _remedy(record["scale"])
    for name, read_then in record["inputs"].items():
        if name not in records:
            raise CrateError(f"{artifact} was made from {name}, which has no manifest any more; {remedy}")
        if read_then["fingerprint"] != records[name]["fingerprint"]:
            raise CrateError(f"{artifact} was made from another version of {name} than is there now; {remedy}")
        for entry in read_then["files"]:
            page = entry["path"] == manifest_path(records[name])  # pages read manifests, which name all but themselves
            if (
                (manifests.describe(root / entry["path"], root) != entry)
                if page
                else entry not in records[name]["outputs"]
            ):
                raise CrateError(f"{artifact} read other content in {entry['path']} than {name} wrote; {remedy}")
    own = fingerprint.own_digest(
        record["modules"],
        record["equivalents"],
        record["spec"],
        {entry["path"]: entry["sha256"] for entry in record["sources"]},
        record["engine"],
    )
    if fingerprint.chain_of(own, record) != record["fingerprint"]:
        raise CrateError(f"the manifest of {artifact} was edited: its fingerprint is not that of its parts; {remedy}")
    if stage_module(record) not in record["modules"]:
        raise CrateError(f"the manifest of {artifact} does not name the code of its stage; {remedy}")


def _verify(file: File, place: Path) -> None:
    """Refuse a file whose bytes are not what the crate is going to say."""
    if not file.place.is_file():
        raise CrateError(f"{file.path} is missing; `dvc pull` may have it, {_AUDIT}")
    if hashes.sha256(place) != file.sha256 or place.stat().st_size != file.bytes:
        raise CrateError(f"{file.path} is not what its manifest says (sha256 {file.sha256}); {_AUDIT}")


def _verify_weights(record: dict[str, Any]) -> None:
    """Refuse published weights that are here and are not those that were taken; they need not be here."""
    taken = record.get("weights")
    file = foreign.weights_file(taken["file"]) if taken else None
    if file and hashes.sha256(file) != taken["sha256"]:
        raise CrateError(
            f"{file} is not the published file that {record['artifact']} took (sha256 {taken['sha256']}); {_AUDIT}"
        )


_AUDIT = "`tesserae audit` shows what else does not match"


def _remedy(scale: str) -> str:
    return f"{_AUDIT}, `tesserae --scale {scale} reproduce` makes it again"


def _artifact_files(files: dict[str, File], root: Path, record: dict[str, Any]) -> None:
    for entry in record["outputs"]:
        files[entry["path"]] = File(**entry, place=root / entry["path"])
    place = root / manifest_path(record)
    files[manifest_path(record)] = File(manifest_path(record), hashes.sha256(place), place.stat().st_size, place)


def _code_files(files: dict[str, File], root: Path, scale: str, record: dict[str, Any]) -> None:
    for name, digest in record["modules"].items():
        place = root / module_path(scale, name, digest)
        if module_path(scale, name, digest) in files:
            continue
        if not place.is_file():
            raise CrateError(f"{place} is missing: the code that made {record['artifact']}; `dvc pull` may have it")
        if _meaning(name, place) != digest:
            raise CrateError(f"{place} is not the code that made {record['artifact']}; {_AUDIT}")
        _add(files, root, place)


def _meaning(name: str, place: Path) -> str | None:
    try:
        return fingerprint.meaning(name, place.read_bytes()).digest
    except (SyntaxError, ValueError):  # no Python: certainly not what ran
        return None


def _source_file(files: dict[str, File], root: Path, scale: str, record: dict[str, Any], entry: dict[str, Any]) -> str:
    """Add a tracked file that a job read: as it lies there, else the code store's copy; its path in the crate."""
    path, sha256 = entry["path"], entry["sha256"]
    kept = code.source_file(root / "results" / scale, sha256, Path(path).suffix)
    for place in (root / path, kept):
        if place.is_file() and hashes.sha256(place) == sha256:
            break
    else:
        raise CrateError(
            f"{path} is not what {record['artifact']} read (sha256 {sha256}), and no copy was kept; "
            f"restore it (commit {record['git']['commit'] or 'unknown'}), {_AUDIT}"
        )
    name = place.relative_to(root).as_posix()
    files.setdefault(name, File(name, sha256, entry["bytes"], place, always=place == kept))
    for licence in sorted((root / path).parent.glob("LICENSE*")):
        _add(files, root, licence)
    return name


def _add(files: dict[str, File], root: Path, place: Path) -> None:
    """Add a file that is taken as it is."""
    name = place.relative_to(root).as_posix()
    files[name] = File(name, hashes.sha256(place), place.stat().st_size, place, always=True)
