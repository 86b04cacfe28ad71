"""A paper's notebook is the same file whenever it is executed on the same results."""

import copy
import re

import nbformat
import pytest

from tesserae.stages import notebook
from tests.conftest import ROOT


@pytest.mark.parametrize("paper", ["detok", "tatok"])
def test_two_executions_leave_the_same_bytes(paper):
    source = nbformat.read(ROOT / f"notebooks/{paper}.ipynb", as_version=4)
    found = []
    for time in ("2026-01-01T00:00:00", "2026-01-02T00:00:00"):
        executed = copy.deepcopy(source)  # and what papermill adds: a cell with a name by chance, and times
        added = nbformat.v4.new_code_cell('scale = "smoke"', metadata={"tags": ["injected-parameters"]})
        executed.cells.insert(1, added)
        for cell in executed.cells:
            cell.metadata["papermill"] = {"start_time": time}
            cell.metadata["execution"] = {"iopub.execute_input": time}
        executed.metadata["papermill"] = {"start_time": time}
        notebook._without_chance(executed)
        found.append(nbformat.writes(executed))
    assert found[0] == found[1] and '"id": "injected-parameters"' in found[0]
    assert len({cell["id"] for cell in executed.cells}) == len(executed.cells)


def test_a_page_asks_nothing_of_the_network():
    page = notebook.page_of(nbformat.read(ROOT / "notebooks/detok.ipynb", as_version=4))
    assert "<script" not in page and not re.search(r"(?:src|href)=[\"']?(?:https?:)?//(?!arxiv)", page)
    assert "l-DeTok" in page
