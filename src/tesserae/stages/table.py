"""Stage `table`: one table of a paper, published numbers beside measured ones, in four formats."""

import json

from tesserae.lineage.work import Work
from tesserae.reporting import published, tables


def run(work: Work) -> dict[str, float]:
    """Writes table.csv, .md, .tex, .html, and metrics.json: the measured numbers by row and column, for DVC."""
    spec = work.spec
    description = {
        "source": spec["source"],
        "title": spec["title"],
        "rows": dict(spec["rows"]),
        "columns": spec["columns"],
    }
    cells = {}
    for key, _ in spec["rows"]:
        for column in spec["columns"]:
            file = work.inputs[column["artifact"].format(row=key)] / "metrics.json"
            cells[key, column["name"]] = json.loads(file.read_text())
    printed = published.load(work.sources["published"])
    table = tables.build_table(description, cells, printed, scale=spec["scale"], recipe=work.recipe)
    tables.write(table, work.out)
    measured = {
        label: {column["name"]: cells[key, column["name"]]["values"][column["value"]] for column in spec["columns"]}
        for key, label in spec["rows"]
    }
    (work.out / "metrics.json").write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n")
    return {f"{row}/{name}": value for row, numbers in measured.items() for name, value in numbers.items()}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("table")
