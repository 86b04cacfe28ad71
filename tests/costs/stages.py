"""Run a stage by itself in a folder of its own."""

from pathlib import Path
from types import ModuleType

from tesserae.lineage.work import Work
from tests.conftest import ROOT


def run(folder: Path, stage: ModuleType, spec: dict, inputs: dict[str, Path], sources: dict | None = None) -> Path:
    name = stage.__name__.rsplit(".", 1)[-1]
    out, state = folder / name, folder / "state" / name
    out.mkdir()
    state.mkdir(parents=True)
    stage.run(
        Work(
            stage=name,
            recipe="x",
            spec=spec,
            inputs=inputs,
            sources={role: ROOT / file for role, file in (sources or {}).items()},
            out=out,
            state=state,
            identity="x",
            comments=(),
            root=ROOT,
            data_root=None,
            device="cpu",
        )
    )
    return out
