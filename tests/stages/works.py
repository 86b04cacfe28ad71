"""A job as its stage sees it, without the runner around it."""

from pathlib import Path
from typing import Any

from tesserae.lineage.work import Work


def work(stage: str, folder: Path, spec: dict[str, Any], *, inputs: dict[str, Path] | None = None, **sources) -> Work:
    """A job that writes into `folder`/out; inputs: artifact -> its folder."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    plain = {"identity": "", "comments": (), "data_root": None, "device": "cpu"}
    return Work(stage, "it", spec, inputs or {}, sources, out=out, state=folder / "state", root=folder, **plain)
