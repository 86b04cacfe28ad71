"""How every figure and page looks: the one place for colours, fonts, sizes and file metadata.

Figures are built on matplotlib's Figure class directly (no pyplot, so no global state) inside `look()`, and are
written by `save`, which strips dates and tool versions: the same inputs give the same bytes.
"""

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from jinja2 import Template
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")

RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
    "svg.hashsalt": "tesserae",  # otherwise element ids are random
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}

METADATA = {  # what would otherwise carry the date or the library's version
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

NEUTRAL = "#8a8a8a"
INK = "#333333"

# A tokenizer keeps its colour and marker in every figure. Colours after Okabe and Ito (safe for colour blindness).
TOKENIZERS = {
    "Baseline": ("#7f7f7f", "o"),
    "Masking only": ("#56b4e9", "s"),
    "Latent noise only": ("#e69f00", "^"),
    "Joint noise": ("#009e73", "D"),
    "+Extended": ("#cc79a7", "P"),
    # Figs. B.1 and B.2: warm where features of a pretrained encoder were distilled, cool where not.
    "VA-VAE": ("#b2182b", "v"),
    "MAETok": ("#f4813b", "X"),
    "SD-VAE": ("#92c5de", "s"),
    "MAR-VAE": ("#2166ac", "D"),
    "l-DeTok": ("#00796b", "P"),
}
OTHERS = (("#0072b2", "v"), ("#d55e00", "X"), ("#a08c00", "<"), ("#5e3c99", ">"), ("#8c510a", "h"), ("#1b7837", "*"))
OTHERS += (("#e7298a", "d"), ("#17becf", "p"))


def marks(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(colour, marker) of each label: fixed for the known tokenizers, by order of appearance for all others.

    Where colours come again they have other markers, so that of 64 others no two are alike.
    """
    chosen: dict[str, tuple[str, str]] = {}
    others = 0
    for label in dict.fromkeys(labels):
        if label in TOKENIZERS:
            chosen[label] = TOKENIZERS[label]
        else:
            again, place = divmod(others, len(OTHERS))
            chosen[label] = OTHERS[place][0], OTHERS[(place + again) % len(OTHERS)][1]
            others += 1
    return chosen


def look() -> "AbstractContextManager[None]":
    """Context in which figures are built: matplotlib's defaults plus RC, whatever the user's own settings are."""
    import matplotlib

    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    return matplotlib.rc_context({**defaults, **RC})


def save(figure: "Figure", stem: str | Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write `stem`.png, .svg and .pdf (folders are made); returns the paths. Equal figures give equal bytes."""
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in formats:
        path = stem.parent / f"{stem.name}.{kind}"
        path.write_bytes(render(figure, kind))
        paths.append(path)
    return paths


def render(figure: "Figure", kind: str) -> bytes:
    """The bytes of a figure as png, svg or pdf."""
    file = io.BytesIO()
    with look():
        figure.savefig(file, format=kind, metadata=METADATA[kind])
    return file.getvalue()


def shown_size(png: bytes) -> tuple[int, int]:
    """(width, height) in pixels of the page at which a picture's text has the size it was given: 96 are an inch."""
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    return width * 96 // int(RC["savefig.dpi"]), height * 96 // int(RC["savefig.dpi"])


# Tables appear in a page, in the index and inside a notebook: greys by opacity only, so that they fit any background.
# Two classes in front of each rule weigh more than Jupyter's own rules for cells and rows.
TABLE_CSS = """
figure.tesserae-table { margin: 1.2rem 0; font: 13px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans",
  sans-serif; }
figure.tesserae-table .scroll { overflow-x: auto; }
figure.tesserae-table .cells { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: inherit;
  border-top: 2px solid currentColor; border-bottom: 2px solid currentColor; background: none; color: inherit; }
figure.tesserae-table .cells caption { text-align: left; padding-bottom: .5rem; color: inherit; }
figure.tesserae-table .cells caption b { font-weight: 650; }
figure.tesserae-table .cells tr:nth-child(n) { background: none; }
figure.tesserae-table .cells tbody tr:nth-child(n):hover { background: rgba(128, 128, 128, .1); }
figure.tesserae-table .cells th, figure.tesserae-table .cells td { padding: .3rem .42rem; white-space: nowrap;
  border: 0; background: none; text-align: right; }
figure.tesserae-table .cells thead th { font-weight: 600; text-align: center; vertical-align: bottom; }
figure.tesserae-table .cells thead th.span { border-bottom: 1px solid rgba(128, 128, 128, .55); }
figure.tesserae-table .cells thead tr.kind th { font-weight: 400; font-size: .82em; opacity: .75; }
figure.tesserae-table .cells thead tr:last-child th { border-bottom: 1px solid currentColor; }
figure.tesserae-table .cells thead th.stub { border-bottom: 1px solid currentColor; text-align: left; }
figure.tesserae-table .cells tbody th { text-align: left; font-weight: 500; }
figure.tesserae-table .cells tbody tr.group th { padding-top: .8rem; font-style: italic; font-weight: 400;
  border-bottom: 1px solid rgba(128, 128, 128, .35); }
figure.tesserae-table .cells td.kind { text-align: left; font-size: .82em; opacity: .75; }
figure.tesserae-table .cells tr.measured td { padding-top: 0; }
figure.tesserae-table .cells tr.measured > * + * { vertical-align: top; }
figure.tesserae-table .cells tr.published > * { border-top: 1px solid rgba(128, 128, 128, .2); }
figure.tesserae-table .dense th, figure.tesserae-table .dense td { padding-left: .3rem; padding-right: .3rem; }
figure.tesserae-table .dense tbody th[scope="row"] { min-width: 8em; max-width: 15em; white-space: normal;
  position: sticky; left: 0; background: var(--page, var(--jp-layout-color0, Canvas)); background-clip: padding-box; }
figure.tesserae-table .dense td small { display: block; line-height: 1.1; }
figure.tesserae-table .cells td.published { opacity: .72; }
figure.tesserae-table .cells td.published.best { opacity: 1; }
figure.tesserae-table .cells td.best { font-weight: 700; }
figure.tesserae-table .cells td.left-out { font-size: .82em; opacity: .72; white-space: normal; }
figure.tesserae-table .cells td a { color: inherit; text-decoration: underline dotted; text-underline-offset: .25em;
  text-decoration-color: rgba(128, 128, 128, .6); }
figure.tesserae-table .cells td a:hover { text-decoration-style: solid; text-decoration-color: currentColor; }
figure.tesserae-table .cells td small { font-weight: 400; opacity: .7; }
figure.tesserae-table .cells td small.control { display: block; line-height: 1.2; }
figure.tesserae-table .cells td small.control a { text-decoration: none; }
figure.tesserae-table .cells td.behind { font-style: italic; color: color-mix(in srgb, currentColor 62%, transparent); }
figure.tesserae-table .cells tr .first { padding-left: .75rem; border-left: 1px solid rgba(128, 128, 128, .3); }
figure.tesserae-table figcaption { font-size: .95em; margin-top: .6rem; max-width: 84em; opacity: .85; }
figure.tesserae-table summary { cursor: pointer; }
figure.tesserae-table details:not([open]) > summary { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
figure.tesserae-table figcaption p { margin: .2rem 0; max-width: none; }
""".strip()

PAGE_CSS = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1d2127; --quiet: #5c6570; --rule: #dfe3e8; --card: #f6f7f9;
  --link: #0a5fb4; }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --ink: #e4e7eb; --quiet: #9aa4b0; --rule: #2f353d;
  --card: #1d2127; --link: #7ab7f5; } }
body.tesserae { margin: 0 auto; max-width: 1180px; padding: 2rem 1.5rem 4rem; background: var(--page);
  color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
body.tesserae h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
body.tesserae h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--rule); }
body.tesserae h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
body.tesserae a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 2px; }
body.tesserae .quiet { color: var(--quiet); font-size: .9rem; }
body.tesserae p { margin: .35rem 0; max-width: 75ch; }
body.tesserae nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 1rem 0 0; font-size: .95rem; }
body.tesserae .picture { background: #ffffff; border: 1px solid var(--rule); border-radius: 6px; padding: .6rem;
  margin: .6rem 0; width: fit-content; max-width: 100%; box-sizing: border-box; }
body.tesserae .picture img { display: block; max-width: 100%; height: auto; }
body.tesserae .list { border-collapse: collapse; width: 100%; font-size: .9rem; }
body.tesserae .list th, body.tesserae .list td { text-align: left; vertical-align: top; padding: .32rem .9rem .32rem 0;
  border-bottom: 1px solid var(--rule); }
body.tesserae .list th { color: var(--quiet); font-weight: 600; }
body.tesserae .list td.time { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
body.tesserae .list td.numbers a { color: inherit; text-decoration: underline dotted; text-underline-offset: .25em;
  text-decoration-color: var(--quiet); }
body.tesserae .list th.time { text-align: right; }
body.tesserae .wide { overflow-x: auto; }
body.tesserae code { font: .88em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
""".strip()


PAGE = """
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
{{ css }}
</style>
</head>
<body class="tesserae{{ kind }}">
{{ content }}
</body>
</html>
""".lstrip()


@cache
def template(text: str) -> "Template":
    """A jinja2 template that escapes what it is given and refuses names it was not given."""
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(text)


def page(title: str, content: str, *, kind: str = "") -> str:
    """A self-contained HTML page; `content` is HTML, `title` is text, `kind` a further class of its body."""
    from markupsafe import Markup

    return template(PAGE).render(
        title=title, kind=f" {kind}" if kind else "", css=Markup(f"{PAGE_CSS}\n{TABLE_CSS}"), content=Markup(content)
    )
