"""The pages of a smoke run in a real browser, as narrow as a telephone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from tests.smoke import browser

WIDTH, HEIGHT = 360, 740  # CSS pixels
ELSEWHERE = ("https://arxiv.org/", "https://github.com/", "data:")  # papers, threads in which numbers were reported
MEASURED = "main table a[href*='lineage.html#']"  # a number of a table, which leads to how it was made
WIDER = """(() => { const width = document.documentElement.clientWidth;
    return document.documentElement.scrollWidth <= width ? '' : 'wider than the screen: ' +
        [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > width + 1)
            .slice(-3).map(e => e.outerHTML.slice(0, 100)).join(' ... ') })()"""
LINKS = """[...new Set([...document.querySelectorAll('a[href], link[href], [src], object[data], iframe[src]')]
    .map(e => e.href || e.src || e.data))]"""
NAMED_NOT = """%s.filter(place => {
    history.replaceState(null, "", "#" + encodeURIComponent(place)); return target().unknown !== undefined; })"""
ANCHORS = "[...document.querySelectorAll('[id], a[name]')].map(e => e.id || e.name)"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[browser.Page]:
    binary = browser.found()
    if binary is None:
        pytest.skip(f"there is no Chromium here, under none of the names {', '.join(browser.NAMES)}")
    with browser.opened(binary, tmp_path_factory.mktemp("browser")) as found:
        found.width(WIDTH, HEIGHT)
        yield found


def look(page: browser.Page, file: Path) -> tuple[list[str], list[str], set[str]]:
    """Open a page: what is wrong with it, where it leads, and the places in it to which one may link."""
    page.open(file.as_uri())
    wrong = [*page.troubles(), *filter(None, [page.run(WIDER)])]
    return wrong, page.run(LINKS), set(page.run(ANCHORS))


def target(link: str) -> tuple[Path, str] | None:
    """File and place of a link; None for one that leads to another server."""
    address, place = urldefrag(link)
    return (Path(unquote(urlsplit(address).path)), unquote(place)) if address.startswith("file:") else None


def test_every_page_can_be_read_on_a_telephone_and_every_link_leads_somewhere(page, smoke):
    top = smoke / "results/smoke"
    todo, wrong, anchors, asked = [top / "index.html"], {}, {}, {}
    for file in todo:  # grows
        found, links, anchors[file] = look(page, file)
        for link in links:
            if (to := target(link)) is None:
                found += [f"fetches {link}"] * (not link.startswith(ELSEWHERE))
                continue
            asked.setdefault(to, file)
            if to[0].suffix == ".html" and to[0].is_file() and to[0] not in todo:
                todo.append(to[0])
        if found:
            wrong[str(file.relative_to(top))] = found
    lost = {file: by for (file, _), by in asked.items() if not file.exists()}
    for file, there in anchors.items():
        places = sorted(place for known, place in asked if known == file and place not in {"", *there})
        if file.name == "lineage.html":  # its script draws what its address names
            page.open(file.as_uri())
            places = page.run(NAMED_NOT % json.dumps(places))
        lost |= {f"{file}#{place}": asked[file, place] for place in places}
    assert wrong == {} and lost == {}
    assert {path.relative_to(top).parts[0] for path in todo} >= {"index.html", "page", "lineage", "table", "claims"}
    assert len(todo) > 20 and len(asked) > 500


@pytest.mark.parametrize("name", ["index.html", "page/detok/index.html"])
def test_a_click_on_a_measured_number_lands_on_how_it_was_made(page, smoke, name):
    file = smoke / "results/smoke" / name
    look(page, file)
    place = page.run(f"document.querySelector({MEASURED!r}).hash")
    number = page.run(f"document.querySelector({MEASURED!r}).textContent")
    assert re.search(r"\d", number)
    page.click(f"document.querySelector({MEASURED!r})")
    page.until("location.pathname.endsWith('lineage.html') && document.readyState === 'complete'")
    assert page.run("location.hash") == place
    _, row, column = map(unquote, place[1:].rsplit("/", 2))
    shown = page.run("document.querySelector('#shown:not([hidden]) #name')?.textContent")
    assert shown and row in shown and column in shown
    assert re.search(r"\d[\d.,]*", number)[0] in page.run("document.getElementById('panel').innerText")
    assert page.troubles() == [] and page.run(WIDER) == ""


def test_what_is_looked_for_is_found(page, tmp_path):
    (tmp_path / "page.html").write_text(
        "<meta name=viewport content='width=device-width, initial-scale=1'><script>console.error('said'); undefined_()"
        "</script><img src=gone.png><p style='width: 500px'>wide<a href='other.html#there'>a</a>"
    )
    wrong, links, _ = look(page, tmp_path / "page.html")
    text = "\n".join(wrong)
    assert "said" in text and "Uncaught" in text and "gone.png" in text and "<p style" in text
    assert (tmp_path / "other.html", "there") in map(target, links)
