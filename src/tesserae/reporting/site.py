"""The frame that all pages of a scale's report share: a bar of pages and a list of contents that stay, style, script.

Everything works without the script, which marks where the reader is and folds the list of contents after a choice.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tesserae.reporting.links import lineage_page
from tesserae.reporting.style import page, template


class Place(NamedTuple):
    """A page of the report, as the bar links it."""

    label: str
    address: str
    here: bool = False
    hint: str = ""


class Heading(NamedTuple):
    """A section of a page, and the headings in it."""

    anchor: str
    label: str
    inner: tuple["Heading", ...] = ()


INCOMPARABLE = "Numbers of different scales or feature extractors are not comparable in absolute value."

STYLE = """
:root { --yes: #17713a; --no: #b3261e; --small: #6d4aa8; --open: #8a93a0; --none: #d5dae1; --chosen: #e3eefb; }
@media (prefers-color-scheme: dark) { :root { --yes: #58c785; --no: #ff8a80; --small: #c3a6f5; --open: #7d8794;
  --none: #3a424c; --chosen: #17324f; } }
html { scroll-padding-top: 4rem; }
body.tesserae.site { max-width: none; padding: 0; }
.site :focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px; }
.site .skip { position: absolute; left: -999rem; }
.site .skip:focus { left: 1rem; top: .5rem; z-index: 3; padding: .3rem .8rem; background: var(--page); }
.site .bar { position: sticky; top: 0; z-index: 2; background: var(--page); border-bottom: 1px solid var(--rule); }
body.tesserae.site .bar nav { flex-wrap: nowrap; gap: 0 1.4rem; max-width: 1500px; margin: 0 auto; padding: 0 1.5rem;
  overflow-x: auto; scrollbar-width: none; }
.site .bar nav a { flex: none; padding: .75rem 0 .6rem; border-bottom: 3px solid transparent; color: var(--quiet);
  text-decoration: none; }
.site .bar nav a:hover { color: var(--ink); }
.site .bar nav a[aria-current] { color: var(--ink); border-color: var(--link); }
.site .bar nav a:first-child { font-weight: 650; }
.site .bar nav a[href$="lineage.html"] { margin-left: auto; }
.site .bar details { display: none; padding: 0 1rem; border-top: 1px solid var(--rule); font-size: .9rem; }
.site .bar details ul { max-height: 60vh; overflow-y: auto; }
.site summary { cursor: pointer; padding: .4rem 0; }
.site .columns { display: grid; grid-template-columns: 14rem minmax(0, 1fr); gap: 0 2.5rem; max-width: 1500px;
  margin: 0 auto; padding: 0 1.5rem 5rem; }
body.tesserae .side { display: block; position: sticky; top: 3.1rem; align-self: start; margin: 0;
  max-height: calc(100vh - 3.1rem); overflow-y: auto; box-sizing: border-box; padding: 1.9rem 0; font-size: .875rem;
  scrollbar-width: thin; }
.site .contents, .site .contents ul { margin: 0; padding: 0; list-style: none; }
.site .contents > li { margin-bottom: .5rem; }
.site .contents a { display: block; padding: .2rem .6rem; color: var(--quiet); text-decoration: none; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; border-left: 2px solid var(--rule); }
.site .contents > li > a { color: var(--ink); font-weight: 600; }
.site .contents a:hover { color: var(--link); }
.site .contents a[aria-current] { color: var(--link); border-color: var(--link); background: var(--chosen); }
.site main { min-width: 0; padding-top: 1.9rem; }
.site main > section { margin-top: 3rem; }
.site main h2 { margin-top: 0; font-size: 1.35rem; }
.site main h3 { margin: 2.4rem 0 .3rem; font-size: 1.05rem; }
#tables figure.tesserae-table .cells caption { position: absolute; width: 1px; height: 1px; padding: 0;
  overflow: hidden;
  clip-path: inset(50%); }
.site .files { margin: -.2rem 0 0; }
.site .files a { color: inherit; text-decoration-color: var(--rule); }
.site .picture a { display: block; }
.site .scroll, .site .wide { background: linear-gradient(to right, var(--page) 40%, transparent) left / 2.4rem 100%,
  linear-gradient(to left, var(--page) 40%, transparent) right / 2.4rem 100%,
  linear-gradient(to right, rgba(128, 128, 128, .35), transparent) left / .7rem 100%,
  linear-gradient(to left, rgba(128, 128, 128, .35), transparent) right / .7rem 100%;
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll; }
.site .verdicts { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .3rem 0; padding: 0; list-style: none;
  font-size: .9rem; }
.site .verdicts b { font-variant-numeric: tabular-nums; }
.site .share { display: flex; height: .5rem; min-width: 9rem; max-width: 30rem; border-radius: .25rem; overflow: hidden;
  background: var(--none); }
.site .share span { flex-basis: 0; }
.site .share .reproduced { background: var(--yes); } .site .share .contradicted { background: var(--no); }
.site .share .absent { background: var(--small); } .site .share .inconclusive { background: var(--open); }
.site .verdict { white-space: nowrap; font-weight: 600; }
.site .verdict.reproduced { color: var(--yes); } .site .verdict.contradicted { color: var(--no); }
.site .verdict.absent { color: var(--small); }
.site .verdict.inconclusive, .site .verdict.not-run { color: var(--quiet); }
.site .list { font-variant-numeric: tabular-nums; }
.site .list th[scope=row] { color: inherit; }
.site .list td.claim { min-width: 15rem; }
.site .list td.claim a { color: inherit; text-decoration-color: var(--rule); }
.site .list td.claim a:hover { text-decoration-color: currentColor; }
.site .papers td:nth-child(2) { min-width: 11.5rem; }
.site .folded { border-top: 1px solid var(--rule); }
.site .folded:last-of-type { border-bottom: 1px solid var(--rule); }
.site .folded summary { font-weight: 600; }
.site .folded ul { margin: 0 0 .8rem; padding-left: 1.1rem; font-size: .9rem; }
.site .folded li { margin: .25rem 0; overflow-wrap: anywhere; }
.site .run { display: block; width: 100%; height: 20rem; border: 1px solid var(--rule); border-radius: 6px;
  box-sizing: border-box; }
@media (max-width: 68rem) {
  html { scroll-padding-top: 6.5rem; }
  .site .bar details { display: block; }
  body.tesserae .side { display: none; }
  .site .columns { display: block; padding: 0 1rem 4rem; }
  body.tesserae.site .bar nav { padding: 0 1rem; }
}
@media (max-width: 46rem) {
  .site figure.tesserae-table .cells tbody th[scope="row"] { position: sticky; left: 0; max-width: 8.5rem;
    white-space: normal; background: var(--page); }
  body.tesserae.site h1 { font-size: 1.35rem; }
}
@media print { .site .bar, body.tesserae .side { display: none; } .site .columns { display: block; } }
""".strip()

SCRIPT = """
"use strict";
const links = new Map([...document.querySelectorAll(".side a")].map(link => [link.hash.slice(1), link]));
function mark() {
  let here = null;
  for (const id of links.keys()) {
    const heading = document.getElementById(id);
    if (heading && heading.getBoundingClientRect().top < 140) here = id;
  }
  links.forEach((link, id) => {
    if (id === here) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
  });
}
let due = false;
addEventListener("scroll", () => {
  if (!due) requestAnimationFrame(() => { due = false; mark(); });
  due = true;
}, {passive: true});
mark();
for (const link of document.querySelectorAll(".bar details a")) {
  link.addEventListener("click", () => { link.closest("details").open = false; });
}
""".strip()

FRAME = """
<style>
{{ style }}
</style>
<a class="skip" href="#main">To the content</a>
{%- macro listed(headings) -%}
<ul class="contents">
{%- for heading in headings %}
<li><a href="#{{ heading.anchor }}">{{ heading.label }}</a>
{%- if heading.inner %}
<ul>
{%- for one in heading.inner %}
<li><a href="#{{ one.anchor }}" title="{{ one.label }}">{{ one.label }}</a></li>
{%- endfor %}
</ul>
{%- endif %}</li>
{%- endfor %}
</ul>
{%- endmacro %}
<header class="bar">
<nav aria-label="Pages">
{%- for place in bar %}
<a href="{{ place.address }}"{% if place.here %} aria-current="page"{% endif %}
{%- if place.hint %} title="{{ place.hint }}"{% endif %}>{{ place.label }}</a>
{%- endfor %}
</nav>
<details><summary>On this page</summary>
{{ listed(contents) }}
</details>
</header>
<div class="columns">
<nav class="side" aria-label="On this page">
{{ listed(contents) }}
</nav>
<main id="main">
{{ main }}
</main>
</div>
<script>
{{ script }}
</script>
""".strip()


def start_bar(scale: str, papers: Sequence[tuple[str, str]]) -> list[Place]:
    """The links of the first page's bar: itself, and each paper's page; papers: (key, name) of each."""
    pages = [Place(name, paper_page(key)) for key, name in papers]
    return [Place(_first(scale), "index.html", True), *pages]


def paper_bar(scale: str, paper: str, name: str, *, top: str) -> list[Place]:
    """The links of the bar of a paper's page: the first page, itself, its lineage.

    No other paper is named: a paper's page is made alone, and no other one changes it. `top`: from the page's folder to
    the scale's, ending in "/".
    """
    first = Place(_first(scale), f"{top}index.html", hint="The first page is made with all papers: make reproduce")
    return [first, Place(name, f"{top}{paper_page(paper)}", True), Place("Lineage", f"{top}{lineage_page(paper)}")]


def _first(scale: str) -> str:
    return f"tesserae · {scale}"


def paper_page(paper: str) -> str:
    """Where a paper's page lies below results/<scale>."""
    return f"page/{paper}/index.html"


def frame(title: str, main: str, *, bar: Sequence[Place], contents: Sequence[Heading]) -> str:
    """A whole page of the report around `main`, which is HTML."""
    from markupsafe import Markup

    content = template(FRAME).render(
        style=Markup(STYLE), script=Markup(SCRIPT), bar=bar, contents=contents, main=Markup(main)
    )
    return page(title, content, kind="site")
