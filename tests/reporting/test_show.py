"""`show`, and the notebooks that use it: what is there is displayed, what is not is said."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tesserae.reporting import table_files
from tesserae.reporting.curves import draw_curves
from tesserae.reporting.figures import qualitative
from tesserae.reporting.show import show
from tesserae.reporting.tables import build_table
from tests.reporting.synthetic import description, published_frame, usual_cells

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "detok.ipynb"


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results" / "pocket"
    table = build_table(description(), usual_cells(), published_frame(tmp_path), scale="pocket")
    table_files.write(table, folder / "table" / "detok_table_1")
    images = np.zeros((2, 4, 4, 3), np.uint8)
    qualitative.plot(
        folder / "figure" / "detok_reconstructions" / "figure",
        originals=images,
        reconstructions={"Baseline": images},
        scale="pocket",
    )
    return folder


def test_show_displays_what_is_there_and_says_what_is_not(results):
    table = show(results / "table" / "detok_table_1" / "table.html")
    assert table.data.startswith("<style>")
    assert table.data.count("<figure") == 1
    assert "<body" not in table.data
    assert show(results / "figure" / "detok_reconstructions" / "figure.png").data.startswith(b"\x89PNG")
    assert show(results / "table" / "detok_table_1" / "table.md").data.startswith("**Table 1")
    assert "Not made at this scale" in show(results / "figure" / "other" / "figure.png").data
    assert show(draw_curves(runs={"Baseline": []}, scale="smoke")).data.startswith(b"\x89PNG")


# ---- the notebook ----------------------------------------------------------------------------------------------


def test_the_notebook_is_ready_for_papermill():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    first = notebook.cells[0]
    assert first.cell_type == "code"
    assert first.metadata["tags"] == ["parameters"]
    assert [line.split(" =")[0] for line in first.source.splitlines() if "=" in line] == ["results", "scale"]
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        assert "papermill" not in cell.metadata


def test_the_notebook_has_no_logic_of_its_own():
    code = "\n".join(
        "".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"
    )
    assert not re.search(r"^\s*(def|class|while|if|for|import (?!IPython))\b", code, flags=re.MULTILINE)
    assert set(re.findall(r"^from (\S+) import", code, flags=re.MULTILINE)) == {
        "IPython.display",
        "tesserae.reporting",
        "tesserae.reporting.curves",
        "tesserae.reporting.show",
    }


def test_the_notebook_runs_even_where_only_the_table_was_made(results, monkeypatch):
    monkeypatch.chdir(results.parents[1])
    namespace: dict = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), namespace)
    assert namespace["scale"] == "pocket"
