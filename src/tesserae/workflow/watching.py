"""Watches what a stage opens and imports, in its own process and in all Python processes that it starts.

A notebook's kernel, say, is a process of its own. Whatever Python starts in there finds TESSERAE_WATCH in its
environment, a folder with what the job declared, and notes there what it read beside it and imported. Standard library
only: it is imported first in all of these.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tesserae.workflow import loading

VARIABLE = "TESSERAE_WATCH"
RULES = "rules.json"
WEIGHTS = "tesserae.weights"  # event of encoders/published.py, with the file's path
FIRST = Path(__file__).with_name("children")  # has sitecustomize.py


class Rules(NamedTuple):
    """What of a project's folder may be read."""

    root: str
    allowed: Collection[str]  # files
    prefixes: Sequence[str]  # of files in folders in which all is allowed

    def breaks(self, event: str, arguments: tuple) -> str | None:
        """The file, relative to the project folder, that an audit event reads without being declared."""
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return None
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if not path.startswith(f"{self.root}{os.sep}") or path in self.allowed or ".egg-info/" in path:
            return None  # .egg-info: what the installer notes about packages, read by whoever looks for plugins
        writes = (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes or path.startswith(self.prefixes) or path.endswith((".py", ".pyc")):
            return None
        return os.path.relpath(path, self.root) if os.path.isfile(path) else None


class Seen(NamedTuple):
    """What processes did."""

    undeclared: set[str]  # files of the project that they read without having declared them
    texts: dict[str, set[bytes]]  # module -> the texts it was imported from
    weights: set[str]  # files of frozen networks that they took


@contextlib.contextmanager
def watch(root: Path, declared: set[Path], own_folders: tuple[Path, ...]) -> Iterator[Seen]:
    """Watch this process and those that it starts; what is yielded is complete at the end (Python-level opens only)."""
    seen, us, active = Seen(set(), {}, set()), os.getpid(), True
    with tempfile.TemporaryDirectory(prefix="tesserae-watch-") as folder:
        free = (*own_folders, Path(sys.prefix), root / ".tesserae", folder)
        rules = Rules(str(root), sorted(map(str, declared)), [f"{path}{os.sep}" for path in free])
        Path(folder, RULES).write_text(json.dumps(rules), encoding="utf-8")
        fast = _fast(rules)
        note = _notes(folder)

        def hook(event: str, arguments: tuple) -> None:
            if active and event == WEIGHTS:
                seen.weights.add(arguments[0]) if os.getpid() == us else note({"weights": arguments[0]})
            elif active and (path := fast.breaks(event, arguments)):
                seen.undeclared.add(path) if os.getpid() == us else note({"read": path})  # else forked

        sys.addaudithook(hook)  # cannot be taken out again, hence `active`
        before = {name: os.environ.get(name) for name in (VARIABLE, "PYTHONPATH")}
        os.environ[VARIABLE] = folder
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FIRST), before["PYTHONPATH"]]))
        try:
            yield seen
        finally:
            active = False
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
            _collect(Path(folder), seen)


def begin() -> None:
    """In a process that a watched one started: note what it does, from here on."""
    folder = os.environ.get(VARIABLE, "")
    try:
        with open(os.path.join(folder, RULES), encoding="utf-8") as file:
            rules = _fast(Rules(*json.load(file)))
    except OSError:  # its job has ended
        return
    note, known = _notes(folder), set()
    loading.remember()
    loading.tell(lambda name, raw: note({"module": name, "text": _kept(folder, raw)}))

    def hook(event: str, arguments: tuple) -> None:
        if event == WEIGHTS:
            note({"weights": arguments[0]})
        elif (path := rules.breaks(event, arguments)) and path not in known:
            known.add(path)
            note({"read": path})

    sys.addaudithook(hook)


def _fast(rules: Rules) -> Rules:
    return rules._replace(allowed=frozenset(rules.allowed), prefixes=tuple(rules.prefixes))


def _notes(folder: str) -> Callable[[dict[str, str]], None]:
    """Adds lines to this process's notes: each is whole, whatever becomes of the process."""

    def note(line: dict[str, str]) -> None:
        with contextlib.suppress(OSError):  # the job has ended
            opened = os.open(os.path.join(folder, f"{os.getpid()}.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(opened, json.dumps(line).encode() + b"\n")
            os.close(opened)

    return note


def _kept(folder: str, raw: bytes) -> str:
    """Keep a module's text; its name."""
    name = hashlib.sha256(raw).hexdigest()
    with contextlib.suppress(OSError), open(os.path.join(folder, name), "wb") as file:
        file.write(raw)
    return name


def _collect(folder: Path, seen: Seen) -> None:
    for file in folder.glob("*.jsonl"):
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            if "read" in line:
                seen.undeclared.add(line["read"])
            elif "weights" in line:
                seen.weights.add(line["weights"])
            else:
                seen.texts.setdefault(line["module"], set()).add((folder / line["text"]).read_bytes())
