"""What `tesserae data check` looks at: layout, counts, checksums, room for the cache, and on request every image."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from tesserae.data.base import Labelled, Provider, cores
from tesserae.data.cache import cache_bytes, write_json
from tesserae.data.errors import DataError


class Finding(NamedTuple):
    """One line of the report; one that has only a `problem` belongs to the line above."""

    what: str
    published: str  # or needed
    found: str
    problem: str | None = None  # one sentence: what is wrong and what to do


def examine(
    provider: Provider, published: dict[str, int], *, size: int, folder: Path, record: Path, deep: bool
) -> Iterator[Finding]:
    """All findings about a data set.

    `published` is compared with the provider's counts; a cache of images of `size` would lie in `folder`; `record`
    keeps the hashes of files of which nobody published one. `deep` decodes every image and hashes its archives, too.
    """
    problems = listed(provider)
    yield Finding("layout", provider.layout, "as needed" if not problems else f"{len(problems)} problems")
    yield from (Finding("", "", "", str(problem)) for problem in problems)
    yield from checksums(provider, record, provider.archives if deep else {})
    if problems:
        return  # what is not there can be neither counted nor decoded
    counts = provider.counts()
    for name in counts | published:
        yield compared(provider, name, published.get(name), counts.get(name))
    yield room(sum(counts[split] for split in provider.splits), size, folder)
    if deep:
        yield from decoded(provider)


def listed(provider: Provider) -> list[DataError]:
    """All problems of the layout, also those that end the search for more."""
    found = []
    try:
        found.extend(provider.problems())
    except DataError as error:
        found.append(error)
    return found


def compared(provider: Provider, name: str, published: int | None, found: int | None) -> Finding:
    """One count."""
    shown = "not published" if published is None else f"{published:,}"
    problem = None
    if published is not None and found != published:
        key = f"{name}_images" if isinstance(provider, Labelled) and name in provider.splits else name
        problem = (
            f"{provider.root}: expected {published:,} {name}; found {found if found is None else format(found, ',')}. "
            f"Unpack the archives again; or, if the set is meant to differ, correct config/datasets.yaml"
            + ("." if found is None else f": `{key}: {found}`.")
        )
    return Finding(name, shown, "none" if found is None else f"{found:,}", problem)


def checksums(provider: Provider, record: Path, archives: dict[str, str]) -> Iterator[Finding]:
    """Hashes of annotation files, and of archives that were kept, against the published ones or those seen first."""
    seen = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for name, published in (provider.checksums | archives).items():
        path = Path(provider.root) / name
        if not path.is_file():
            continue  # where it is needed, that is a problem of the layout
        if published:
            kind, _, wanted = published.partition(":")
            digest = hashed(path, kind)
            same = digest == wanted
            problem = None if same else f"{path}: expected {kind} {wanted}; found {digest}. Download it again."
            yield Finding(name, f"{kind} {wanted}", "the same" if same else digest, problem)
            continue
        digest = hashed(path, "sha256")
        first = seen.setdefault(name, {"sha256": digest, "seen": date.today().isoformat()})
        problem = None
        if digest != first["sha256"]:
            problem = (
                f"{path}: changed since {first['seen']}, when its SHA-256 was {first['sha256']}; now {digest}. "
                f"Restore it, or delete {record} if the change was meant."
            )
        yield Finding(name, "no published checksum", f"sha256 {digest}", problem)
    if seen:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, seen)


def room(images: int, size: int, folder: Path) -> Finding:
    """Free disk against what a cache of the images would take."""
    while not folder.exists():
        folder = folder.parent
    needed, free = cache_bytes(images, size), shutil.disk_usage(folder).free
    problem = None
    if needed > free:
        problem = f"{folder}: a cache at {size} pixels needs {needed:,} bytes; {free:,} are free. Make room."
    return Finding(f"free disk, cache at {size} pixels", f"{needed / 1e9:.1f} GB", f"{free / 1e9:.1f} GB", problem)


def decoded(provider: Provider) -> Iterator[Finding]:
    """Decode everything, with a progress bar."""
    names, workers = provider.decodable(), cores()
    title = f"{provider.name}: decoding"
    bar = tqdm(provider.damaged(workers), total=len(names), desc=title, unit="image", mininterval=1)
    damaged = [problem for problem in bar if problem]
    yield Finding("files that can be decoded", f"{len(names):,}", f"{len(names) - len(damaged):,}")
    yield from (Finding("", "", "", str(problem)) for problem in damaged)


def hashed(path: Path, kind: str) -> str:
    """md5 or sha256 of a file, with a progress bar for large ones."""
    digest = hashlib.new(kind)
    with (
        path.open("rb") as file,
        tqdm(total=path.stat().st_size, desc=path.name, unit="B", unit_scale=True, mininterval=1, delay=3) as bar,
    ):
        while piece := file.read(1 << 24):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()
