"""The report: a first page, and a page for each paper. What is there is linked, what is not is named."""

import re

import numpy as np
import pytest

from tesserae.reporting import claims, claims_files, table_files
from tesserae.reporting.entries import Entry, Remark, entry_of
from tesserae.reporting.figures import qualitative
from tesserae.reporting.links import lineage_page
from tesserae.reporting.paper_page import About, Contradiction, write_paper
from tesserae.reporting.report import Summary, write_start
from tesserae.reporting.tables import TableError, build_table
from tesserae.words import duration
from tests.reporting.pages import Page
from tests.reporting.synthetic import description, published_frame, usual_cells

LINEAGE = lineage_page("detok")
ABOUT = About("detok", "l-DeTok", "Latent <denoising> & co", "2507.15856")
CELLS = [("Table 1", row, "MAR-B w/ CFG FID") for row in ("Joint noise", "Baseline")]
CLAIM = {"id": "t1-joint", "claim": "Joint noise is <better>", "where": "Table 1", "relation": "lt", "cells": CELLS}
CLAIM |= {"margin": 1.0, "holds_in_print": True}
REMARKS = [
    Remark("DECISION", "config/papers/detok.yaml:3", "chosen <b>so</b>"),
    Remark("DEPARTS", "config/papers/detok.yaml:9", "other crops"),
    Remark("DECISION", "tesserae/nn/attention.py:12", "no bias"),
]


@pytest.fixture
def top(tmp_path):
    """The folder of a scale with a table, a figure, claims and a notebook."""
    folder = tmp_path / "results" / "pocket"
    table = build_table(description(), usual_cells(), published_frame(tmp_path), scale="pocket", recipe="detok_table_1")
    table_files.write(table, folder / "table" / "detok_table_1")
    images = np.zeros((2, 4, 4, 3), np.uint8)
    stem = folder / "figure" / "detok_samples" / "figure"
    qualitative.plot(stem, originals=images, reconstructions={"Baseline": images}, scale="pocket")
    for file in (
        "notebook/detok/notebook.ipynb",
        "notebook/detok/notebook.html",
        "metrics/mar_b-cfg/metrics.json",
        LINEAGE,
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("there")
    return folder


@pytest.fixture
def evaluated(top, tmp_path):
    measured = {
        cell: {"values": [40.0 + i], "measures": [{"kind": "counted"}], "artifacts": ["x"]}
        for i, cell in enumerate(CELLS)
    }
    found = claims.evaluate_all(
        [CLAIM], measured, published_frame(tmp_path), paper="detok", title="x", scale="pocket", seeds=[1]
    )
    (top / "claims" / "detok").mkdir(parents=True)
    claims_files.write(found, top / "claims" / "detok")
    return found


def entries(up: str = "../../") -> list[Entry]:
    def entry(kind: str, name: str, *files: str, **more) -> Entry:
        return Entry(kind, name, tuple(f"{up}{kind}/{name}/{file}" for file in files), **more)

    table = ("table.html", "table.csv", "table.md", "table.tex")
    return [
        entry("table", "detok_table_1", *table, title="Table 1: <of> l-DeTok & co", seconds=75.0),
        entry("figure", "detok_samples", "figure.png", "figure.svg", title="Samples <of> all"),
        entry("notebook", "detok", "notebook.ipynb", "notebook.html"),
        entry("figure", "detok_samples_copy", "figure.png", note="the picture was deleted"),
        entry("metrics", "mar_b_extended-cfg", "metrics.json", note="takes too long"),
        entry("metrics", "mar_b-cfg", "metrics.json", numbers={"fid": 12.34567}, seconds=15.0),
    ]


def paper_page(top, found=None, **more) -> Page:
    folder = top / "page" / "detok"
    folder.mkdir(parents=True, exist_ok=True)
    written = write_paper(folder, ABOUT, entries(), scale="pocket", claims=found, **more)
    return Page(written.read_text())


def start_page(top, **more) -> Page:
    about = Summary(
        ABOUT,
        5,
        174,
        11,
        {"tokenizer": 27, "sae": 1},
        3720.0,
        {"reproduced": 2, "contradicted": 0, "absent": 1, "inconclusive": 1, "not run": 4},
        entries("")[0],
        entries("")[1],
    )
    settings = {"scale": "pocket", "seeds": [1], "finished": "2026-01-05 10:11", "lead": "A laptop.", **more}
    return Page(write_start(top, [about], **settings).read_text())


# ---- both pages ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["paper", "start"])
def page(request, top, evaluated):
    """Each page, and where it lies."""
    if request.param == "paper":
        return paper_page(top, evaluated, remarks=REMARKS), top / "page" / "detok"
    paper_page(top, evaluated)
    (top / "changes.html").write_text("there")
    return start_page(top, remarks=REMARKS), top


def test_links_and_pictures_lead_to_files_and_anchors_to_places(page, top):
    page, folder = page
    local = [link for link in [*page.links, *page.images] if not link.startswith("https://arxiv.org/abs/")]
    (top / "index.html").touch()
    for link in local:
        assert not re.match(r"\w+:", link), link
        file, _, anchor = link.partition("#")
        assert file == "" or (folder / file).is_file(), link
        assert file or anchor in page.ids, link
    assert len(page.ids) == len(set(page.ids))


def test_nothing_is_fetched(page):
    for tag, attributes, _ in page[0].elements:
        assert tag not in ("link", "iframe", "video"), tag
        for name in ("src", "data", "srcset", "style"):
            assert not re.search(r"//|url\(", attributes.get(name, "")), attributes
        assert tag != "script" or "src" not in attributes
    assert "prefers-color-scheme: dark" in page[0].text


def test_the_bar_leads_to_the_other_pages_and_says_which_one_this_is(page):
    page, folder = page
    here = [attributes["href"] for tag, attributes, _ in page.elements if attributes.get("aria-current") == "page"]
    assert len(here) == 1 and (folder / here[0]).resolve() == (folder / "index.html").resolve()
    bar = [a["href"] for tag, a, inside in page.elements if tag == "a" and inside[-2:] == ("header", "nav")]
    up = "../../" if folder.name == "detok" else ""
    lineage = [f"{up}{LINEAGE}"] if up else []  # of the paper; the first page leads there through the paper's
    assert bar == [f"{up}index.html", f"{up}page/detok/index.html", *lineage]


def test_every_table_scrolls_in_a_place_of_its_own_that_the_keyboard_reaches(page):
    page, places = page[0], 0
    stack: list[dict] = []
    for tag, attributes, inside in page.elements:
        del stack[len(inside) :]
        if tag == "table":
            around = [one.get("class", "") for one in stack]
            place = next(one for one in reversed(stack) if one.get("class") in ("scroll", "wide"))
            assert place["tabindex"] == "0" and place["role"] == "region" and place["aria-label"], around
            places += 1
        stack.append(attributes)
    assert places >= 2
    assert re.search(r"\.scroll \{ overflow-x: auto", page.text) and re.search(r"\.wide \{ overflow-x: auto", page.text)


def test_a_tables_notes_are_folded_to_the_first_one(page):
    folded = [inside for tag, _, inside in page[0].elements if tag == "summary" and "figcaption" in inside]
    assert len(folded) == 1 and folded[0][-2:] == ("figcaption", "details")
    after = page[0].words.partition("Published: printed in the paper (Table 1)")[2]
    assert "Numbers of different scales or feature extractors" in after and "Measures: " in after


def test_pictures_have_their_size_and_a_text_and_wait_until_they_are_seen(page):
    pictures = [attributes for tag, attributes, _ in page[0].elements if tag == "img"]
    assert pictures
    for picture in pictures:
        assert int(picture["width"]) > 0 and int(picture["height"]) > 0
        assert picture["alt"] == "Samples <of> all" and picture["loading"] == "lazy"


def test_headings_go_down_one_at_a_time(page):
    levels = [int(tag[1]) for tag, _, _ in page[0].elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in zip(levels, levels[1:], strict=False))


def test_remarks_are_told_by_file(page):
    words = page[0].words
    assert "config/papers/detok.yaml 2 DECISION chosen <b>so</b> line 3 DEPARTS other crops line 9" in words
    assert "tesserae/nn/attention.py 1 DECISION no bias line 12" in words


# ---- a paper's page --------------------------------------------------------------------------------------------


def test_a_papers_page_shows_what_is_there_and_names_what_is_not(top, evaluated):
    omitted = {"omitted at scale pocket: too large": ["mar_h", "mar_l"]}
    page = paper_page(top, evaluated, omitted=omitted, seeds=[3])
    for expected in (
        "l-DeTok: Latent <denoising> & co",
        "Scale pocket , 3 seeds.",
        "took 1 min 30 s",
        "Table 1: <of> l-DeTok & co",
        "16.70",
        "45.50",
        "0 ✓ reproduced",
        "1 ? inconclusive",
        "Joint noise is <better>",
        "metrics mar_b_extended-cfg takes too long",
        "figure detok_samples_copy the picture was deleted",
        "2 recipes: omitted at scale pocket: too large",
        "mar_h, mar_l",
        "fid 12.35",
    ):
        assert expected in page.words
    assert {"table-detok_table_1", "figure-detok_samples"} <= set(page.ids)  # places that other pages lead to
    assert "figure-detok_samples_copy" not in page.ids
    assert "../../claims/detok/claims.html#t1-joint" in page.links
    assert f"../../{LINEAGE}#metrics/mar_b-cfg" in page.links


def test_a_page_without_its_notebook_does_not_lead_there_and_says_so(top):
    (top / "notebook/detok/notebook.html").unlink()
    page = paper_page(top)
    assert not [link for link in page.links if "notebook" in link]
    assert "notebook detok not run" in page.words


def test_contradictions_stand_together_and_at_the_figures_that_they_concern(top):
    given = [
        Contradiction("1.89 is not <2.17>.", ("table/detok_table_1", "figure/detok_samples")),
        Contradiction("Eq. 6 is Eq. 5."),
    ]
    paper_page(top, contradictions=given)
    text = (top / "page" / "detok" / "index.html").read_text()
    section = text[text.index('<section id="contradictions">') :].partition("</section>")[0]
    assert section.index("1.89 is not &lt;2.17&gt;.") < section.index("Eq. 6 is Eq. 5.")
    for anchor in ("table-detok_table_1", "figure-detok_samples"):
        assert f'href="#{anchor}"' in section and f'id="{anchor}"' in text
    assert section.count("<li ") == 2 and section.count("</a>") == 2
    shown = text[text.index('id="figure-detok_samples"') :].partition("</section>")[0]
    assert '<a href="#contradiction-1">Contradiction 1</a>. 1.89 is not &lt;2.17&gt;.' in shown
    assert "Contradiction 2" not in text and 'href="#contradictions"' in text
    assert "ontradiction" not in paper_page(top).text


def told(**more: str) -> dict[str, str]:
    """A reported number, as the page's spec has it."""
    base = {
        "table": "Table 1",
        "row": "Baseline",
        "column": "FID",
        "system": "MAR-B <x>",
        "metric": "FID",
        "value": "3.4",
    }
    base |= {"against": "", "settings": "gamma 0", "source": "somebody/code#8", "date": "2025-12-16", "by": "others"}
    return base | {"status": "open", "resolved": "no", "found": "nothing", "read": "part", "published": "3.31"} | more


def test_reported_numbers_stand_in_a_section_of_their_own(top):
    far = told(table="", row="", column="", published="", value="3.68", against="2.62", by="authors", read="whole")
    alone = told(table="", row="", column="", published="", value="7")
    paper_page(top, reported=[alone, told(), far])
    text = (top / "page" / "detok" / "index.html").read_text()
    section = text[text.index('<section id="reported">') :].partition("</section>")[0]
    rows = section.split("<tr>")[2:]
    assert "+1.06" in rows[0] and "2.62,\n says the thread" in rows[0] and "told by the authors" in rows[0]
    assert "+0.09" in rows[1] and "3.31" in rows[1] and "(read in part)" in rows[1] and "MAR-B &lt;x&gt;" in rows[1]
    assert 'href="https://github.com/somebody/code/issues/8"' in rows[1]
    assert '<td class="time">–</td>\n<td class="time">–</td>' in rows[2]
    assert 'href="#reported"' in text
    paper_page(top)
    assert "reported" not in (top / "page" / "detok" / "index.html").read_text()


def test_a_paper_without_claims_has_no_section_of_them(top):
    page = paper_page(top)
    assert "claims" not in page.ids and "reproduced" not in page.text.partition("<main")[2]


def test_equal_entries_are_equal_bytes_and_the_page_may_be_written_elsewhere(top, tmp_path):
    def write(folder, **more):
        return write_paper(folder, ABOUT, entries(), scale="pocket", **more).read_bytes()

    later = top / "page" / "detok"  # not there yet
    first = write(tmp_path, base=later)
    assert not later.exists()
    later.mkdir(parents=True)
    assert write(later) == first


def test_an_entry_twice_and_a_table_that_is_none_raise(top):
    with pytest.raises(ValueError, match="given twice"):
        write_paper(top, ABOUT, entries("") * 2, scale="pocket")
    with pytest.raises(ValueError, match=r"figure 'x' has no \.png file, only table/detok_table_1/table\.csv"):
        write_paper(top, ABOUT, [Entry("figure", "x", ("table/detok_table_1/table.csv",))], scale="pocket")
    (top / "table" / "detok_table_1" / "table.html").write_text("<p>nothing</p>")
    with pytest.raises(TableError, match=r"table\.html holds no table"):
        write_paper(top, ABOUT, entries(""), scale="pocket")


def test_an_entry_of_a_manifest():
    manifest = {
        "stage": "metrics",
        "recipe": "sit_b-cfg",
        "ended": "2026-01-05T10:11:12.345+00:00",
        "seconds": 3.5,
        "metrics": {"fid": 1.0, "is": 2.0},
        "outputs": [{"path": "results/pocket/metrics/sit_b-cfg/metrics.json"}],
    }
    entry = entry_of(manifest, start="results/pocket/page/detok", numbers=["fid"])
    assert entry == Entry(
        "metrics",
        "sit_b-cfg",
        ("../../metrics/sit_b-cfg/metrics.json",),
        manifest="../../metrics/sit_b-cfg/manifest.json",
        finished="2026-01-05 10:11:12",
        seconds=3.5,
        numbers={"fid": 1.0},
    )


# ---- the first page --------------------------------------------------------------------------------------------


def test_the_first_page_sums_up_each_paper(top):
    words = start_page(top).words
    for expected in (
        "1 paper at scale pocket A laptop.",
        "All jobs together took 1 h 02 min; the last one ended 2026-01-05 10:11 UTC.",
        "2 ✓ reproduced 0 ✗ contradicted 1 ≈ absent 1 ? inconclusive 4 – not run 5 174 11 27 tokenizers, 1 sae",
        "Its page has all 5 tables, 11 figures and 8 claims.",
        "45.50",
    ):
        assert expected in words


def test_the_first_page_shows_what_the_last_run_changed_or_says_that_it_does_not_know(top):
    page = start_page(top)
    (shown,) = [attributes for tag, attributes, _ in page.elements if tag == "object"]
    assert shown["data"] == "changes.html" and shown["title"]
    assert "Nothing is known of the last run" in page.text  # shown by browsers where the file is missing


def test_a_paper_without_claims_on_the_first_page(top):
    about = Summary(ABOUT, 1, 2, 3, {}, 4.0, None, entries("")[0], entries("")[1])
    file = write_start(top, [about], scale="desk", seeds=[3], finished="2026-01-05 10:11")
    words = Page(file.read_text()).words
    assert "none evaluated" in words and "3 seeds" in words and "all 1 tables, 3 figures." in words


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
