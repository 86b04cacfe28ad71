"""A project folder with manifests, curves and states as the runner writes them, without a job behind them."""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests

OUTPUTS = {
    "tokenizer": {"weights.safetensors": b"weights", "curves.jsonl": b""},
    "generator": {"weights.safetensors": b"weights", "curves.jsonl": b""},
    "table": {"table.csv": b"a,b\n1,2\n", "table.md": b"|a|b|\n", "table.html": b"<table></table>", "table.tex": b"&"},
    "figure": {"figure.png": b"png", "figure.pdf": b"pdf"},
}
START = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Written:
    """Writes artifacts below `root`; `scale` keeps tests that share a store apart."""

    def __init__(self, root: Path, scale: str):
        self.root, self.scale = root, scale
        self.records: dict[str, dict] = {}

    def artifact(self, name: str, *inputs: str, paper: str = "detok", started: int = 0, **more) -> dict:
        """Make <stage>/<recipe> from other artifacts, as of `started` seconds after a fixed time."""
        record = self.record(name, *inputs, paper=paper, started=started)
        contents = OUTPUTS.get(record["stage"], {"numbers.json": b"{}"}) | more.pop("outputs", {})
        record |= {
            "outputs": [self._write(f"{self.place(name)}/{file}", content) for file, content in contents.items()],
            "ended": (START + timedelta(seconds=started + 60)).isoformat(timespec="milliseconds"),
            "seconds": 60.0,
            "peak_mb": 500,
            "metrics": {"fid": 3.5},
            **more,
        }
        manifests.write(self.root / self.place(name) / manifests.NAME, record)
        self.records[name] = record
        return record

    def begin(self, name: str, *inputs: str, started: int = 0, **more) -> dict:
        """What the runner leaves when a training begins, or begins again."""
        record = self.record(name, *inputs, paper="detok", started=started) | more
        state = self.state(name)
        state.mkdir(parents=True, exist_ok=True)
        manifests.write(state / manifests.BEGUN, record)
        return record

    def log(self, name: str, *steps: int, cut: bool = False, value: float = 0.0) -> str:
        """Append points to the curve of a training; `cut` first goes back to nothing, as a resumed training does."""
        file = self.state(name) / "0123456789abcdef" / "curves.jsonl"
        file.parent.mkdir(exist_ok=True)
        with open(file, "w" if cut else "a") as curve:
            curve.write(lines(*steps, value=value))
        return file.read_text()

    def record(self, name: str, *inputs: str, paper: str, started: int) -> dict:
        stage, recipe = name.split("/")
        own = fingerprint.digest([name, self.scale])
        made_from = {
            other: {"fingerprint": self.records[other]["fingerprint"], "files": self.records[other]["outputs"]}
            for other in inputs
        }
        chained = fingerprint.chain(own, [entry["fingerprint"] for entry in made_from.values()])
        return {
            "manifest": 2,
            "artifact": name,
            "stage": stage,
            "recipe": recipe,
            "scale": self.scale,
            "papers": [] if paper == "shared" else [paper],
            "fingerprint": chained,
            "spec": {"model": {"width": 64, "blocks": [1, 2]}, "lr": 1e-3},
            "origins": {},
            "seed": None,
            "engine": fingerprint.ENGINE,
            "modules": {},
            "equivalents": {},
            "environment": {},
            "inputs": made_from,
            "sources": [{"path": "config/published/detok.csv", "sha256": "ab" * 32, "bytes": 10}] * (stage == "table"),
            "hardware": {"host": "here", "processor": "CPU", "cores": 2, "gpu": None, "scheduler_job": None},
            "git": {"commit": "c0ffee" * 6 + "beef", "dirty": True},
            "started": (START + timedelta(seconds=started)).isoformat(timespec="milliseconds"),
            "mlflow": {"experiment": f"{paper}/{self.scale}", "tag": {"tesserae.fingerprint": chained}},
        }

    def place(self, name: str) -> str:
        return f"results/{self.scale}" + ("" if name.startswith("report/") else f"/{name}")

    def state(self, name: str) -> Path:
        return self.root / "results" / self.scale / ".state" / name

    def hashes(self) -> dict[str, str]:
        """All files of the results by content."""
        files = sorted(file for file in (self.root / "results").rglob("*") if file.is_file())
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def road(self) -> int:
        """A small one from data to table; returns how many artifacts."""
        self.artifact("dataset/emoji-32", paper="shared")
        self.artifact("tokenizer/sb", "dataset/emoji-32", started=10, outputs={"curves.jsonl": curve(10)})
        self.artifact("reconstruction/sb", "dataset/emoji-32", "tokenizer/sb", started=20)
        self.artifact("tokens/sb", "tokenizer/sb", started=30)
        self.artifact("generator/sit", "tokens/sb", started=40, outputs={"curves.jsonl": curve(10)})
        self.artifact("samples/sit-cfg", "generator/sit", "tokenizer/sb", started=50)
        self.artifact("metrics/sit-cfg", "samples/sit-cfg", started=60)
        self.artifact("table/detok_table_1", "metrics/sit-cfg", "reconstruction/sb", started=70)
        self.artifact("figure/detok_a1", "reconstruction/sb", started=80)
        return len(self.records)

    def _write(self, path: str, content: bytes) -> dict:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        aside.write_bytes(content)
        os.replace(aside, file)
        return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def lines(*steps: int, value: float = 0.0) -> str:
    """Lines of a curve; a step's numbers follow from the step."""
    return "".join(
        json.dumps({"step": step, "images": 8 * step, "lr": step / 1000, "mse": value + 1 / step}) + "\n"
        for step in steps
    )


def curve(steps: int) -> bytes:
    return lines(*range(1, steps + 1)).encode()
