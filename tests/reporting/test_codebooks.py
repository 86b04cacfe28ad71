"""The page's section on codebooks: the manifests' numbers, and nothing where there is no codebook."""

import json
import re

import pytest

from tesserae.reporting.codebooks import section
from tesserae.reporting.entries import Entry
from tesserae.reporting.paper_page import About, write_paper
from tests.reporting.pages import Page

HEALTH = {"vocabulary": 8192, "usage": 0.75, "perplexity": 1024.25, "dead_codes": 2048, "entropy_bits": 10.0}
LINES = [{"step": step, "mse": 1.0, "usage": 0.1 * step, "perplexity": 2.0 * step} for step in (1, 2, 3)]


def cells(html: str) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>([^<]*)", row) for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)][1:]


def test_each_codebook_has_a_row():
    html = section({"concepttok_bb64": HEALTH, "<b>": HEALTH | {"usage": 1.0, "dead_codes": 0, "perplexity": 8192.0}})
    assert cells(html) == [
        ["concepttok_bb64", "8,192", "75.0%", "2,048", "1,024.2", "12.5%"],
        ["&lt;b&gt;", "8,192", "100.0%", "0", "8,192.0", "100.0%"],
    ]
    page = Page(html)
    assert page.open == [] and page.images == []


def test_no_codebook_no_section():
    assert section({}) == ""
    assert section({}, {"detok": LINES}) == ""


def test_curves_are_shown_where_trainings_logged_them():
    assert Page(section({"a": HEALTH}, {"a": LINES, "b": []})).images[0].startswith("data:image/png;base64,iVBOR")
    assert Page(section({"a": HEALTH}, {"a": [{"step": 1, "mse": 2.0}]})).images == []


def entry(kind: str, name: str, *files: str, **numbers: float) -> Entry:
    return Entry(kind, name, tuple(f"{kind}/{name}/{file}" for file in files), numbers=numbers)


@pytest.fixture
def results(tmp_path):
    """Two tokenizers, of which one is discrete, on disk."""
    made = [
        entry("codes", "vq-1of2", "codes.npy", **HEALTH),
        entry("codes", "vq-2of2", "codes.npy", **HEALTH),
        entry("tokenizer", "vq", "weights.safetensors", "curves.jsonl"),
        entry("codes", "vq.seed2-1of2", "codes.npy", **HEALTH),
        entry("tokenizer", "vq.seed2", "weights.safetensors", "curves.jsonl"),
        entry("tokenizer", "kl", "weights.safetensors", "curves.jsonl"),
    ]
    for file in (file for found in made for file in found.files):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    (tmp_path / "tokenizer/vq/curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    for other in ("kl", "vq.seed2"):
        (tmp_path / "tokenizer" / other / "curves.jsonl").write_text("not read")
    return tmp_path, made


VQ = About("vq", "VQ", "Codes")


def test_the_page_has_the_section(results):
    folder, made = results
    page = Page(html := write_paper(folder, VQ, made, scale="pocket").read_text())
    assert "#codebooks" in page.links and html.count('id="codebooks"') == 1
    assert len(page.images) == 1
    assert "vq-1of2" in page.text and "1,024.2" in page.text


def test_a_page_without_codes_has_none(results):
    folder, made = results
    without = [found for found in made if found.kind != "codes"]
    html = write_paper(folder, VQ, without, scale="pocket").read_text()
    assert "Codebooks" not in html and "codebooks" not in html
