"""Small, made-up results whose manifests are true: hashes are those of the files, fingerprints follow from parts."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from tesserae.lineage import cells, fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.reporting.table_csv import CSV_COLUMNS

SCALE = "pocket"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = {"baseline": "Baseline", "joint": "Joint noise", "odd": "Latent, odd noise"}
COLUMNS = [
    {"name": "MAR-B w/ CFG FID", "direction": "lower", "value": "fid", "artifact": "metrics/mar_{row}-cfg"},
    {"name": "MAR-B w/ CFG IS", "direction": "higher", "value": "is", "artifact": "metrics/mar_{row}-cfg"},
    {"name": "MAR-B w/o CFG FID", "direction": "lower", "value": "fid", "artifact": "metrics/mar_{row}-nocfg"},
]
WEIGHTS = {"file": "detok-BB.pth", "sha256": hashlib.sha256(b"published").hexdigest(), "bytes": 9}
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
    spec = {"batch": 75, "nested": {"lr": 0.001}, "name": recipe} if spec is None else spec
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
            measure = {
                "kind": "images",
                "extractor": "embedded",
                "samples": 500,
                "guidance": 1.5,
                "sampler": {"steps": 8},
            }
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
    columns: list[dict[str, Any]] = COLUMNS,
    scale: str = SCALE,
    published: str = "16.70",
    **more: Any,
) -> dict[str, Any]:
    """A table over the metrics that `fill` made; `more` of its spec: seeds, missing, published_rows."""
    spec = {
        "source": "Table 1",
        "title": "Denoising",
        "rows": list(map(list, rows.items())),
        "columns": columns,
        **more,
    }
    labels = dict(cells.rows(spec))
    lines, used, metrics = [], {}, {}
    for key, column, source in cells.sources(spec):
        files = [root / "results" / scale / name / "metrics.json" for name in source.artifacts]
        numbers = [json.loads(file.read_text())["values"][source.value] for file in files]
        used |= dict.fromkeys(source.artifacts)
        line = dict.fromkeys(CSV_COLUMNS, "")
        line |= {"table": "Table 1", "row": labels[key], "column": column, "published": published}
        if numbers:
            mean, sd, n = cells.over_seeds(numbers)
            metrics[f"{labels[key]}/{column}"] = mean
            line |= {"measured": repr(mean), "sd": "" if sd is None else repr(sd), "n": n}
        lines.append(line)
    folder = root / "results" / scale / "table" / recipe
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    text = (folder / "table.csv").read_text()
    sources = {"config/published/detok.csv": "published"}
    return add(
        root,
        f"table/{recipe}",
        list(used),
        {"table.csv": text},
        scale=scale,
        spec=spec,
        sources=sources,
        metrics=metrics,
    )


def seeds(root: Path) -> None:
    """Beside what `fill` made: one row trained with a second seed, and a table of it that has every kind of cell."""
    add(root, "tokenizer/detok.seed2", ["dataset/emoji-32"], {"weights.safetensors": "3"}, weights=WEIGHTS)
    add(root, "tokens/detok.seed2", ["dataset/emoji-32", "tokenizer/detok.seed2"])
    add(root, "generator/mar_joint.seed2", ["tokens/detok.seed2"])
    made_from = ["generator/mar_joint.seed2", "tokens/detok.seed2", "tokenizer/detok.seed2"]
    add(root, "samples/mar_joint-cfg.seed2", made_from)
    measure = {"kind": "images", "extractor": "embedded", "samples": 500, "guidance": 2.0, "sampler": {"steps": 8}}
    content = {"values": {"fid": 13.5, "is": 3.25}, "measure": measure, "measure_id": "614e98a9f418df31"}
    add(
        root,
        "metrics/mar_joint-cfg.seed2",
        ["reference/emoji-32", "samples/mar_joint-cfg.seed2"],
        {"metrics.json": json.dumps(content)},
        metrics=content["values"],
    )
    add(root, "sizes/joint", (), {"metrics.json": json.dumps({**content, "values": {"parameters": 7.0}})})
    table(
        root,
        "detok_seeds",
        {"joint": "Joint noise", "left_out": "Left out"},
        [
            {**COLUMNS[0], "rows": None},
            # one row has another name, one another artifact, and one row has no such number
            {**COLUMNS[1], "name": "Scale", "values": {"joint": "fid"}, "rows": ["joint"]},
            {"name": "#params", "value": "parameters", "direction": "none", "artifact": "sizes/{row}-B",
             "artifacts": {"joint": "sizes/joint"}},
        ],
        seeds=[1, 2],
        unseeded=["sizes"],
        published_rows=["ADM"],
        missing=[
            {"row": "left_out", "column": column, "reason": "omitted at scale pocket: too dear"}
            for column in (COLUMNS[0]["name"], "#params")
        ],
    )  # fmt: skip
