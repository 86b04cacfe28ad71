"""Small, made-up results whose manifests are true: hashes are those of the files, fingerprints follow from parts."""

import csv
import json
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.reporting.tables import CSV_COLUMNS

SCALE = "pocket"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = {"baseline": "Baseline", "joint": "Joint noise", "odd": "Latent, odd noise"}
COLUMNS = [
    {"name": "MAR-B w/ CFG FID", "direction": "lower", "value": "fid", "artifact": "metrics/mar_{row}-cfg"},
    {"name": "MAR-B w/ CFG IS", "direction": "higher", "value": "is", "artifact": "metrics/mar_{row}-cfg"},
    {"name": "MAR-B w/o CFG FID", "direction": "lower", "value": "fid", "artifact": "metrics/mar_{row}-nocfg"},
]
NUMBERS = {"cfg": {"fid": 12.5, "is": 3.25}, "nocfg": {"fid": 20.125, "is": 2.0}}


def add(
    root: Path,
    artifact: str,
    inputs: list[str] = (),
    files: dict[str, str] | None = None,
    *,
    scale: str = SCALE,
    sources: dict[str, str] | None = None,
    spec: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
    dirty: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Write an artifact's files and manifest; `files` and `sources` are name -> text. Returns the record."""
    top = root / "results" / scale
    folder = top if artifact == "report/index" else top / artifact
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (files or {"data.bin": artifact}).items():
        (folder / name).write_text(text)
    for name, text in (sources or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    stage, _, recipe = artifact.partition("/")
    spec = {"batch": 75, "nested": {"rate": 0.001}, "name": recipe} if spec is None else spec
    modules = {f"tesserae.stages.{stage}": "0" * 16, "tesserae": "1" * 16}
    described = [manifests.describe(root / name, root) for name in sources or {}]
    own = fingerprint.own_digest(modules, {}, spec, {entry["path"]: entry["sha256"] for entry in described})
    made = {name: manifests.read(top / name) for name in inputs}
    chained = fingerprint.chain(own, [record["fingerprint"] for record in made.values()])
    record = {
        "manifest": manifests.VERSION,
        "artifact": artifact,
        "stage": stage,
        "recipe": recipe,
        "scale": scale,
        "papers": ["detok"],
        "engine": fingerprint.ENGINE,
        "fingerprint": chained,
        "spec": spec,
        "origins": {
            "batch": f"config/scales/{scale}.yaml: evaluation.batch",
            "nested": "config/papers/detok.yaml: nested",
        },
        "seed": 1,
        "modules": modules,
        "equivalents": {},
        "inputs": {
            name: {"fingerprint": record["fingerprint"], "files": record["outputs"]} for name, record in made.items()
        },
        "sources": described,
        "outputs": [manifests.describe(folder / name, root) for name in (files or {"data.bin": ""})],
        "environment": {"python": "3.11.7", "platform": "Linux", "libraries": {"numpy": "2.4.6", "torch": "2.14.1"}},
        "hardware": {"host": "node1", "processor": "CPU", "cores": 2, "gpu": None, "scheduler_job": None},
        "git": {"commit": COMMIT, "dirty": dirty},
        "started": "2026-01-05T10:11:12.345+00:00",
        "ended": "2026-01-05T10:12:27.345+00:00",
        "seconds": 75.0,
        "metrics": {} if metrics is None else metrics,
        "peak_mb": 619,
        "mlflow": {"experiment": f"detok/{scale}", "tag": {"tesserae.fingerprint": chained}},
        **more,
    }
    manifests.write(folder / manifests.NAME, record)
    return record


def fill(root: Path, scale: str = SCALE) -> None:
    """The results of one table of three rows: data, tokenizer, a generator for each row, metrics; and a figure."""
    add(root, "dataset/emoji-32", scale=scale, sources={"data/emoji/emoji.npz": "pictures"})
    add(root, "reference/emoji-32", ["dataset/emoji-32"], scale=scale)
    add(root, "tokenizer/detok", ["dataset/emoji-32"], {"weights.safetensors": "1", "curves.jsonl": "2"}, scale=scale)
    add(root, "tokens/detok", ["dataset/emoji-32", "tokenizer/detok"], scale=scale)
    for row in ROWS:
        add(root, f"generator/mar_{row}", ["tokens/detok"], scale=scale)
        for kind, values in NUMBERS.items():
            name = f"mar_{row}-{kind}"
            add(root, f"samples/{name}", [f"generator/mar_{row}", "tokens/detok", "tokenizer/detok"], scale=scale)
            measure = {"extractor": "embedded", "samples": 500, "guidance": 1.5, "sampler": {"steps": 8}}
            content = {"values": values, "measure": measure, "measure_id": "614e98a9f418df31"}
            metrics = {"metrics.json": json.dumps(content)}
            add(
                root, f"metrics/{name}", ["reference/emoji-32", f"samples/{name}"], metrics, scale=scale, metrics=values
            )
    table(root, "detok_table_1", scale=scale)
    add(root, "figure/detok_figure_4", ["generator/mar_joint"], {"figure.png": "picture"}, scale=scale)


def table(
    root: Path,
    recipe: str,
    rows: dict[str, str] = ROWS,
    columns: list[dict[str, str]] = COLUMNS,
    scale: str = SCALE,
    published: str = "16.70",
) -> dict[str, Any]:
    """A table over the metrics that `fill` made; a row without any of them is blank."""
    lines, used, metrics = [], [], {}
    for key, label in rows.items():
        for column in columns:
            artifact = column["artifact"].format(row=key)
            file = root / "results" / scale / artifact / "metrics.json"
            value = json.loads(file.read_text())["values"][column["value"]] if file.exists() else None
            used += [artifact] if value is not None and artifact not in used else []
            metrics[f"{label}/{column['name']}"] = value
            line = dict.fromkeys(CSV_COLUMNS, "")
            line |= {"table": "Table 1", "row": label, "column": column["name"], "published": published}
            lines.append(line | {"measured": "" if value is None else repr(value), "artifact": artifact})
    folder = root / "results" / scale / "table" / recipe
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    spec = {"source": "Table 1", "title": "Denoising", "rows": list(map(list, rows.items())), "columns": columns}
    text = (folder / "table.csv").read_text()
    sources = {"config/published/detok.csv": "published"}
    return add(
        root, f"table/{recipe}", used, {"table.csv": text}, scale=scale, spec=spec, sources=sources, metrics=metrics
    )
