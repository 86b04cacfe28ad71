"""The index page and the notebook: everything that is there is linked, what is not is named, nothing is fetched."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tesserae.reporting import table_files
from tesserae.reporting.curves import draw_curves
from tesserae.reporting.figures import qualitative
from tesserae.reporting.report import Entry, Remark, duration, entry_of, show, write_index
from tesserae.reporting.tables import TableError, build_table
from tests.reporting.synthetic import description, published_frame, usual_cells

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "detok.ipynb"


class Page(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.links, self.images, self.text, self.open = [], [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.links += [attributes["href"]] if tag == "a" else []
        self.images += [attributes["src"]] if tag == "img" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


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


def entries() -> list[Entry]:
    files = tuple(f"table/detok_table_1/table.{kind}" for kind in ("html", "csv", "md", "tex"))
    return [
        Entry(
            "table",
            "detok_table_1",
            files,
            title="Table 1 <of> l-DeTok & co",
            seconds=75.0,
            manifest="table/detok_table_1/manifest.json",
            finished="2026-01-05 10:11:12",
            numbers={"fid": 12.34567},
        ),
        Entry("figure", "detok_reconstructions", ("figure/detok_reconstructions/figure.png",)),
        Entry("metrics", "mar_b_extended-cfg", ("metrics/mar_b_extended-cfg/metrics.json",), note="takes too long"),
    ]


def test_the_index_shows_what_is_there_and_names_what_is_not(results):
    html = write_index(
        results, entries(), scale="pocket", remarks=[Remark("DECISION", "a.py:3", "chosen <b>so</b>")]
    ).read_text()
    page = Page(html)
    assert page.open == []
    local = [link for link in page.links if not link.startswith("#")]
    assert (
        local
        == [
            "table/detok_table_1/table.html",
            "table/detok_table_1/table.csv",
            "table/detok_table_1/table.md",
            "table/detok_table_1/table.tex",
            "table/detok_table_1/manifest.json",
            "figure/detok_reconstructions/figure.png",
        ]
        * 2
    )
    assert page.images[0].startswith("data:image/png;base64,iVBOR")
    for expected in (
        "Table 1 <of> l-DeTok & co",
        "16.70",
        "45.50",
        "2 of 3 outputs",
        "1 min 15 s",
        "fid 12.35",
        "mar_b_extended-cfg",
        "takes too long",
        "chosen <b>so</b>",
        "not comparable in absolute value",
    ):
        assert expected in re.sub(r"\s+", " ", page.text)


def test_the_index_fetches_nothing(results):
    html = write_index(results, entries(), scale="pocket").read_text()
    assert not re.search(r"https?://|//[a-z]|@import|url\(|<script|<link", re.sub(r"base64,[^\"]*", "", html))
    assert "prefers-color-scheme: dark" in html


def test_every_anchor_of_the_index_leads_somewhere(results):
    html = write_index(results, entries(), scale="pocket").read_text()
    anchors = {link[1:] for link in Page(html).links if link.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', html))
    assert anchors == {"tables", "figures", "missing", "artifacts"}


def test_equal_entries_are_equal_bytes_and_the_page_may_be_written_elsewhere(results, tmp_path):
    first = write_index(results, entries(), scale="pocket").read_bytes()
    assert write_index(tmp_path, entries(), scale="pocket", base=results).read_bytes() == first


def test_an_entry_twice_and_a_table_that_is_none_raise(results):
    with pytest.raises(ValueError, match="given twice"):
        write_index(results, entries() * 2, scale="pocket")
    (results / "table" / "detok_table_1" / "table.html").write_text("<p>nothing</p>")
    with pytest.raises(TableError, match=r"table\.html holds no table"):
        write_index(results, entries(), scale="pocket")


def test_an_entry_of_a_manifest():
    manifest = {
        "stage": "metrics",
        "recipe": "sit_b-cfg",
        "ended": "2026-01-05T10:11:12.345+00:00",
        "seconds": 3.5,
        "metrics": {"fid": 1.0, "is": 2.0},
        "outputs": [{"path": "results/pocket/metrics/sit_b-cfg/metrics.json"}],
    }
    entry = entry_of(manifest, start="results/pocket", numbers=["fid"])
    assert entry == Entry(
        "metrics",
        "sit_b-cfg",
        ("metrics/sit_b-cfg/metrics.json",),
        manifest="metrics/sit_b-cfg/manifest.json",
        finished="2026-01-05 10:11:12",
        seconds=3.5,
        numbers={"fid": 1.0},
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (59.97, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


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
        "tesserae.reporting.report",
    }


def test_the_notebook_runs_even_where_only_the_table_was_made(results, monkeypatch):
    monkeypatch.chdir(results.parents[1])
    namespace: dict = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), namespace)
    assert namespace["scale"] == "pocket"
