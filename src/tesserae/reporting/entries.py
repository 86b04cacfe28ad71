"""What a page of the report lists: artifacts, by their manifests, and remarks of the code."""

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One thing that a stage made, or should have made.

    `files` are relative to the folder of the page that lists it. An entry of which a file is missing is listed as not
    made, with its `note` as the reason.
    """

    kind: str
    name: str
    files: tuple[str, ...]
    title: str = ""
    note: str = ""
    manifest: str = ""  # relative path of its manifest, "" if it has none
    finished: str = ""  # when its job ended, as its manifest says
    seconds: float | None = None  # how long its job took
    numbers: Mapping[str, float] = field(default_factory=dict)  # what it measured, to be listed beside it

    @property
    def anchor(self) -> str:
        return f"{self.kind}-{self.name}"

    @property
    def artifact(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def heading(self) -> str:
        return self.title or self.name

    def file(self, suffix: str) -> str:
        """Its first file with that ending; ValueError if there is none."""
        for file in self.files:
            if file.endswith(suffix):
                return file
        raise ValueError(f"{self.kind} {self.name!r} has no {suffix} file, only {', '.join(self.files)}")

    def links(self) -> list[tuple[str, str]]:
        """(address, text) of its files and its manifest."""
        found = [(file, _suffix(file)) for file in self.files]
        return [*found, (self.manifest, "manifest")] if self.manifest else found


@dataclass(frozen=True)
class Remark:
    """A DECISION or DEPARTS comment of the code."""

    word: str
    where: str  # module or file and line
    text: str

    @property
    def file(self) -> str:
        return self.where.rpartition(":")[0]

    @property
    def line(self) -> str:
        return self.where.rpartition(":")[2]


def entry_of(
    manifest: Mapping[str, Any], *, start: str, title: str = "", note: str = "", numbers: Sequence[str] | None = None
) -> Entry:
    """The entry of an artifact that was made, from its manifest.

    start: folder of the page relative to the project, e.g. "results/pocket", from which links are counted; numbers:
    which of the manifest's numbers to list, all by default.
    """
    files = tuple(posixpath.relpath(output["path"], start) for output in manifest["outputs"])
    measured = manifest.get("metrics", {})
    return Entry(
        manifest["stage"],
        manifest["recipe"],
        files,
        title=title,
        note=note,
        manifest=posixpath.join(posixpath.dirname(files[0]), "manifest.json"),
        finished=manifest["ended"][:19].replace("T", " "),
        seconds=manifest["seconds"],
        numbers={name: measured[name] for name in (measured if numbers is None else numbers)},
    )


def beside(base: Path, file: str) -> Path:
    """The file at an address that is relative to `base`, the folder of a page, which need not be there yet."""
    return Path(os.path.normpath(base / file))


def told_apart(entries: Sequence[Entry], base: Path) -> tuple[list[Entry], list[Entry]]:
    """(made, missing): all files of the made ones lie below `base`. ValueError for two of one kind and name."""
    names = [(entry.kind, entry.name) for entry in entries]
    if len(names) != len(set(names)):
        raise ValueError(f"entries given twice: {sorted({name for name in names if names.count(name) > 1})}")
    made = [entry for entry in entries if entry.files and all(beside(base, file).is_file() for file in entry.files)]
    return made, [entry for entry in entries if entry not in made]


def numbers(found: Mapping[str, float]) -> str:
    """What an artifact measured, on one line."""
    return ", ".join(f"{name} {number:.4g}" for name, number in found.items())


def _suffix(file: str) -> str:
    """What a link to the file is called: its name's end, or its name if that says more."""
    name = Path(file).name
    return Path(file).suffix.lstrip(".") if name.startswith(("table.", "figure.")) else name
