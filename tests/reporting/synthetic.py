"""Small, made-up metrics, searches and published numbers for the tests of reporting."""

import csv
from pathlib import Path

import pandas as pd

from tesserae.reporting import published

ROWS = {"baseline": "Baseline", "joint": "Joint noise", "extended": "+Extended"}
COLUMNS = [
    {"name": "MAR-B w/ CFG FID", "direction": "lower", "value": "fid", "artifact": "metrics/mar_b_{row}-cfg"},
    {"name": "MAR-B w/ CFG IS", "direction": "higher", "value": "is", "artifact": "metrics/mar_b_{row}-cfg"},
    {"name": "MAR-B w/o CFG FID", "direction": "lower", "value": "fid", "artifact": "metrics/mar_b_{row}-nocfg"},
]
PRINTED = {
    "Baseline": ("3.31", "247.63", "16.70"),
    "Joint noise": ("2.65", "263.03", "7.48"),
    "+Extended": ("2.43", "266.50", ""),
}


def description(rows: dict[str, str] = ROWS, title: str = "Effectiveness of denoising") -> dict:
    return {"paper": "detok", "source": "Table 1", "title": title, "rows": rows, "columns": COLUMNS}


def published_file(path: Path, printed: dict[str, tuple[str, ...]] = PRINTED) -> Path:
    """A published file of one table with COLUMNS; printed: row label -> one text per column, "" for a blank."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(published.COLUMNS)
        for label, texts in printed.items():
            for column, text in zip(COLUMNS, texts, strict=True):
                key = ["Table 1", "g", label, "generator", column["name"]]
                writer.writerow([*key, column["direction"], text, "a note"])
    return path


def published_frame(folder: Path, printed: dict[str, tuple[str, ...]] = PRINTED) -> pd.DataFrame:
    return published.load(published_file(folder / "paper.csv", printed))


def metrics(
    fid: float,
    score: float,
    *,
    guidance: float = 3.0,
    temperature: float | None = 1.0,
    selected: bool = True,
    **measure,
) -> dict:
    """The content of a metrics.json."""
    chosen = {"guidance": guidance} if temperature is None else {"guidance": guidance, "temperature": temperature}
    selection = {**chosen, "statistic": "fid", "samples": 256, "candidates": [1.0, 2.0, 3.0, 4.0]}
    return {
        "values": {"fid": fid, "is": score, "precision": 0.5, "recall": 0.25},
        "deviation": {"is": 0.1},
        "measure": {
            "kind": "images",
            "extractor": "embedded",
            "layer": "320",
            "reference": "emoji-32 train",
            "samples": 1000,
            "rounding": "truncate",
            "sampler": {"steps": 16},
            "seed": 0,
            **chosen,
            **measure,
        },
        "measure_id": "ab12cd34ef567890",
        "selection": selection if selected else None,
    }


def control(fid: float, score: float, **measure) -> dict:
    """metrics.json of a control."""
    found = metrics(
        fid, score, selected=False, **{"sampler": {"control": "a Gaussian of the tokens"}, "seed": 0} | measure
    )
    for chosen in ("guidance", "temperature"):
        del found["measure"][chosen]
    return found | {"deviation": {}}


def cells(**by_row: tuple[dict | None, dict | None]) -> dict:
    """{(row key, column name): metrics} from row key -> (metrics with guidance, metrics without)."""
    return {
        (key, column["name"]): pair[0 if "w/ CFG" in column["name"] else 1]
        for key, pair in by_row.items()
        for column in COLUMNS
    }


def usual_cells() -> dict:
    unguided = {"guidance": 1.0, "temperature": 0.97, "selected": False}
    return cells(
        baseline=(metrics(45.5, 2.5), metrics(60.25, 2.0, **unguided)),
        joint=(metrics(40.125, 3.5, guidance=4.0), metrics(55.5, 2.25, **unguided)),
        extended=(None, None),
    )


def search(fids: dict[float, float], best: float, temperature: float | None = 1.0) -> dict:
    """The content of a search.json: {guidance: FID}; without guidance, two temperatures that no curve must show."""
    points = [
        {"guidance": guidance, "temperature": temperature, "fid": fid, "is": 2 + guidance / 10}
        for guidance, fid in fids.items()
    ]
    points += [{"guidance": 1.0, "temperature": other, "fid": 1000.0, "is": 1.0} for other in (0.95, 0.97)]
    measure = {"kind": "images", "extractor": "embedded", "samples": 256, "sampler": {"steps": 16}}
    return {
        "samples": 256,
        "statistic": "fid",
        "measure": measure,
        "measure_id": "0123456789abcdef",
        "points": points,
        "selected": {
            "cfg": {"guidance": best, "temperature": temperature},
            "nocfg": {"guidance": 1.0, "temperature": 0.95},
        },
    }
