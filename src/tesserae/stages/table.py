"""Stage `table`: one table of a paper, published numbers beside measured ones, in four formats."""

import json
from typing import Any

from tesserae.lineage import cells as mapping
from tesserae.lineage.work import Work
from tesserae.reporting import published, seeds, table_files, tables


def run(work: Work) -> dict[str, float]:
    """Writes table.csv, .md, .tex, .html, and metrics.json: the measured numbers by row and column, for DVC."""
    spec = work.spec
    cells = {
        (key, column): _read(work, source) if source.artifacts else None
        for key, column, source in mapping.sources(spec)
    }
    controls = {(key, column): _read(work, source) for key, column, source in mapping.controls(spec)}
    printed = published.load(work.sources["published"])
    table = tables.build_table(spec, cells, printed, scale=spec["scale"], recipe=work.recipe, controls=controls)
    table_files.write(table, work.out)
    measured: dict[str, dict[str, float]] = {}
    for key, label in table.rows:
        for column in table.columns:
            number = table.cells[key, column.name].measured
            if number is not None:
                measured.setdefault(label, {})[column.name] = number
    (work.out / "metrics.json").write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return {f"{row}/{name}": value for row, numbers in measured.items() for name, value in numbers.items()}


def _read(work: Work, source: mapping.Source) -> dict[str, Any] | None:
    """The numbers of an artifact, over its seeds; None where nothing is run."""
    files = [work.inputs[artifact] / "metrics.json" for artifact in source.artifacts]
    return seeds.over_seeds([json.loads(file.read_text(encoding="utf-8")) for file in files]) if files else None


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("table")
