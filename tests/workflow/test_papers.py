"""One paper alone, then all: the second run makes only the rest. The stages are toys, plan and Snakemake are real."""

import yaml

from tesserae.config.files import read_yaml


def only_fronts(toys) -> None:
    """Two papers, of each one table with one row and no claims, so that a run takes seconds."""
    settings = toys.root / "config/config.yaml"
    settings.write_text(yaml.safe_dump(read_yaml(settings) | {"papers": ["detok", "concepttok"]}))
    for paper in ("detok", "concepttok"):
        file = toys.root / f"config/papers/{paper}.yaml"
        content = read_yaml(file)
        name = content["front"]["table"]
        table = content["tables"][name]
        kept = {"detok": "joint", "concepttok": "bb64"}[paper]
        table["rows"] = {key: label for key, label in table["rows"].items() if key == kept}
        assert table["rows"], kept
        for column in table["columns"].values():
            for part in ("values", "artifacts"):
                column[part] = {key: value for key, value in column.get(part, {}).items() if key == kept}
            if column.get("rows"):
                column["rows"] = [key for key in column["rows"] if key == kept]
        table["own_rows"] = [key for key in table.get("own_rows", []) if key == kept]
        figure = content["figures"]["reconstructions"]
        figure["rows"] = dict([next(iter(figure["rows"].items()))])
        content["front"]["figure"] = "reconstructions"
        content |= {"tables": {name: table}, "figures": {"reconstructions": figure}, "claims": None}
        file.write_text(yaml.safe_dump(content, sort_keys=False))


def test_one_paper_alone_and_then_all(toys):
    only_fronts(toys)
    top = toys.root / "results/smoke"
    alone = toys.tesserae("reproduce", "--paper", "concepttok")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert "concepttok at scale smoke is up to date: results/smoke/page/concepttok/index.html" in alone.stdout
    assert "The first page, results/smoke/index.html, is of all papers and waits for" in alone.stdout
    for name in ("page", "lineage", "notebook"):
        assert (top / name / "concepttok/manifest.json").exists() and not (top / name / "detok").exists()
    assert not (top / "index.html").exists() and not list(top.glob("table/detok_*"))

    made = {file: file.read_bytes() for file in top.glob("*/*/manifest.json")}
    whole = toys.tesserae("reproduce")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert (top / "index.html").exists() and (top / "page/detok/index.html").exists()
    assert {file: file.read_bytes() for file in made} == made  # nothing of it was made again
