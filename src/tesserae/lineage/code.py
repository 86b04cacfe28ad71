"""The code store: what the modules and text sources behind an artifact said when it was made.

A commit names the code only where the tree was clean; the store has it in any case, once per meaning, and travels
with the results: results/<scale>/code/<module>/<digest>.py and results/<scale>/code/sources/<sha256><suffix>.
"""

import hashlib
import os
import platform
from pathlib import Path

from tesserae.lineage import fingerprint

FOLDER = "code"
LARGEST = 1 << 20  # bytes of a tracked source that is kept; larger ones (the corpus) are data, named by their hash
TEXT = {".csv", ".ipynb", ".json", ".md", ".txt", ".yaml", ".yml"}


class Changed(Exception):
    """A file is no longer what was fingerprinted; the message names it."""


def module_file(top: Path, module: str, digest: str) -> Path:
    """Where a module's text is kept; `top` is results/<scale>."""
    return top / FOLDER / module / f"{digest}.py"


def source_file(top: Path, sha256: str, suffix: str) -> Path:
    """Where a tracked text source is kept; `suffix` as in ".csv"."""
    return top / FOLDER / "sources" / f"{sha256}{suffix}"


def keep(top: Path, modules: dict[str, str], sources: dict[str, str], root: Path) -> None:
    """Keep what is not kept yet. Raises Changed if a file on disk is not what its digest says."""
    for name, digest in modules.items():
        kept = module_file(top, name, digest)
        if not kept.exists():
            raw = fingerprint.module_file(name).read_bytes()
            if fingerprint.meaning(name, raw).digest != digest:
                raise Changed(f"module {name}")
            _write(kept, raw)
    for path, sha256 in sources.items():
        kept = source_file(top, sha256, Path(path).suffix)
        if kept.suffix in TEXT and not kept.exists() and (root / path).stat().st_size <= LARGEST:
            raw = (root / path).read_bytes()
            if hashlib.sha256(raw).hexdigest() != sha256:
                raise Changed(path)
            _write(kept, raw)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{platform.node()}.{os.getpid()}")
    aside.write_bytes(content)
    os.replace(aside, file)
