"""Stage `table`: one table of a paper, published numbers beside measured ones, in four formats."""

import json

from tesserae.lineage.work import Work
from tesserae.reporting import table_files, table_numbers


def run(work: Work) -> dict[str, float]:
    """Writes table.csv, .md, .tex, .html, and metrics.json: the measured numbers by row and column, for DVC."""
    spec = work.spec
    table = table_numbers.build(spec, work.inputs, work.sources["published"], work.recipe)
    table_files.write(table, work.out)
    measured: dict[str, dict[str, float]] = {}
    for key, label in table.rows:
        for column in table.columns:
            number = table.cells[key, column.name].measured
            if number is not None:
                measured.setdefault(label, {})[column.name] = number
    (work.out / "metrics.json").write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return {f"{row}/{name}": value for row, numbers in measured.items() for name, value in numbers.items()}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("table")
