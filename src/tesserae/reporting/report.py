"""The index page of a scale's results, and `show`, with which notebooks display what the stages made."""

import base64
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.config.seeds import seed_of
from tesserae.reporting import codebooks
from tesserae.reporting.curves import read_curves
from tesserae.reporting.links import anchor
from tesserae.reporting.style import RC, TABLE_CSS, page, render, template
from tesserae.reporting.table_files import fragment_of
from tesserae.words import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Entry:
    """One thing that a stage made, or should have made.

    `files` are relative to the folder where the index will lie. Kinds "table", "figure" and "notebook" have sections of
    their own (a table shows its .html file, a figure its .png); every kind appears in the list of artifacts. An entry
    of which a file is missing is listed as not made, with its `note` as the reason.
    """

    kind: str
    name: str
    files: tuple[str, ...]
    title: str = ""
    note: str = ""
    manifest: str = ""  # relative path of its manifest, "" if it has none
    finished: str = ""  # when its job ended, as its manifest says
    seconds: float | None = None  # how long its job took
    numbers: Mapping[str, float] = field(default_factory=dict)  # what it measured, to be listed beside it


@dataclass(frozen=True)
class Remark:
    """A DECISION or DEPARTS comment of the code."""

    word: str
    where: str  # module or file and line
    text: str


def entry_of(
    manifest: Mapping[str, Any], *, start: str, title: str = "", note: str = "", numbers: Sequence[str] | None = None
) -> Entry:
    """The entry of an artifact that was made, from its manifest.

    start: folder of the index relative to the project, e.g. "results/pocket", from which links are counted; numbers:
    which of the manifest's numbers to list, all by default.
    """
    files = tuple(posixpath.relpath(output["path"], start) for output in manifest["outputs"])
    measured = manifest.get("metrics", {})
    return Entry(
        manifest["stage"],
        manifest["recipe"],
        files,
        title=title,
        note=note,
        manifest=posixpath.join(posixpath.dirname(files[0]), "manifest.json"),
        finished=manifest["ended"][:19].replace("T", " "),
        seconds=manifest["seconds"],
        numbers={name: measured[name] for name in (measured if numbers is None else numbers)},
    )


INDEX = """
<header>
<h1>{{ heading }}</h1>
<p class="quiet">Scale <b>{{ scale }}</b>.{% if lead %} {{ lead }}{% endif %} {{ made | length }} of
{{ made | length + missing | length }} outputs are here
{%- if total %}; their jobs took {{ total }} in all{% endif %}. Numbers of different scales or feature extractors are
not comparable in absolute value.</p>
<nav>
{%- if verdicts %}<a href="#claims">Claims</a>{% endif %}
{%- if tables %}<a href="#tables">Tables</a>{% endif %}
{%- if figures %}<a href="#figures">Figures</a>{% endif %}
{%- if notebooks %}<a href="#notebooks">Notebooks</a>{% endif %}
{%- if codebooks %}<a href="#codebooks">Codebooks</a>{% endif %}
{%- if missing %}<a href="#missing">Not made</a>{% endif %}
{%- if forecast %}<a href="#forecast">Forecast</a>{% endif %}
{%- if remarks %}<a href="#remarks">Decisions and departures</a>{% endif %}
{%- if made %}<a href="#artifacts">Artifacts</a>{% endif %}
{%- if lineage %}<a href="{{ lineage | urlencode }}">Lineage</a>{% endif -%}
</nav>
</header>
<main>
{%- macro links(entry) -%}
{%- for file in entry.files -%}
<a href="{{ file | urlencode }}">{{ suffix(file) }}</a>{{ ' · ' if not loop.last }}
{%- endfor -%}
{%- if entry.manifest %} · <a href="{{ entry.manifest | urlencode }}">manifest</a>{% endif -%}
{%- if origin(entry) %} · <a href="{{ origin(entry) }}">lineage</a>{% endif -%}
{%- endmacro %}
{%- if verdicts %}
<section id="claims">
<h2>Claims</h2>
<p class="quiet">What the papers say about their numbers, held against the measured ones.</p>
<ul>
{%- for row in verdicts %}
<li>{{ row.paper }}, scale {{ row.scale }}: <a href="{{ row.page | urlencode }}">{{ row.verdicts }}</a></li>
{%- endfor %}
</ul>
</section>
{%- endif %}
{%- if tables %}
<section id="tables">
<h2>Tables</h2>
{%- if lineage %}
<p class="quiet">Each measured number leads to what it was made from.</p>
{%- endif %}
{%- for entry in tables %}
<h3 id="{{ entry.kind }}-{{ entry.name }}">{{ entry.title or entry.name }}</h3>
{%- if entry.note %}
<p>{{ entry.note }}</p>
{%- endif %}
{{ fragments[entry.name] }}
<p class="quiet">{{ entry.name }}: {{ links(entry) }}</p>
{%- endfor %}
</section>
{%- endif %}
{%- if figures %}
<section id="figures">
<h2>Figures</h2>
{%- for entry in figures %}
<h3 id="{{ entry.kind }}-{{ entry.name }}">{{ entry.title or entry.name }}</h3>
{%- if entry.note %}
<p>{{ entry.note }}</p>
{%- endif %}
<div class="picture"><img src="{{ pictures[entry.name].source }}" width="{{ pictures[entry.name].width }}"
 alt="{{ entry.title or entry.name }}"></div>
<p class="quiet">{{ entry.name }}: {{ links(entry) }}</p>
{%- endfor %}
</section>
{%- endif %}
{%- if notebooks %}
<section id="notebooks">
<h2>Notebooks</h2>
<ul>
{%- for entry in notebooks %}
<li>{{ entry.title or entry.name }}: {{ links(entry) }}
{%- if entry.note %} <span class="quiet">{{ entry.note }}</span>{% endif %}</li>
{%- endfor %}
</ul>
</section>
{%- endif %}
{%- if codebooks %}
{{ codebooks }}
{%- endif %}
{%- if missing %}
<section id="missing">
<h2>Not made at this scale</h2>
<div class="wide"><table class="list">
<thead><tr><th scope="col">Kind</th><th scope="col">Output</th><th scope="col">Reason</th></tr></thead>
<tbody>
{%- for entry in missing %}
<tr><td>{{ entry.kind }}</td><td>{{ entry.title or entry.name }}</td><td>{{ entry.note or 'not run' }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
</section>
{%- endif %}
{{ forecast }}
{%- if remarks %}
<section id="remarks">
<h2>Decisions and departures</h2>
<p class="quiet">DECISION: the paper is silent and we chose. DEPARTS: we knowingly differ.</p>
<div class="wide"><table class="list">
<thead><tr><th scope="col">Word</th><th scope="col">What</th><th scope="col">Where</th></tr></thead>
<tbody>
{%- for remark in remarks %}
<tr><td>{{ remark.word }}</td><td>{{ remark.text }}</td><td><code>{{ remark.where }}</code></td></tr>
{%- endfor %}
</tbody>
</table></div>
</section>
{%- endif %}
{%- if made %}
<section id="artifacts">
<h2>Artifacts</h2>
<div class="wide"><table class="list">
<thead><tr><th scope="col">Kind</th><th scope="col">Artifact</th><th scope="col">Numbers</th><th scope="col">Files</th>
<th scope="col">Finished</th><th scope="col" class="time">Took</th></tr></thead>
<tbody>
{%- for entry in made %}
<tr><td>{{ entry.kind }}</td><td>{{ entry.name }}</td><td class="numbers">
{%- if origin(entry) and entry.numbers %}<a href="{{ origin(entry) }}">{{ numbers(entry.numbers) }}</a>
{%- else %}{{ numbers(entry.numbers) }}{% endif %}</td>
<td>{{ links(entry) }}</td><td>{{ entry.finished }}</td>
<td class="time">{{ duration(entry.seconds) }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
</section>
{%- endif %}
</main>
""".strip()


def write_index(
    folder: str | Path,
    entries: Sequence[Entry],
    *,
    scale: str,
    heading: str = "tesserae",
    lead: str = "",
    remarks: Sequence[Remark] = (),
    base: str | Path | None = None,
    forecast: str = "",
    verdicts: Sequence[Mapping[str, str]] = (),
) -> Path:
    """Write `folder`/index.html: tables and figures inline, links to every file and manifest; returns the path.

    The page needs no network and shows tables and figures even when it is moved alone. Links are relative to `base`:
    the folder where the page will lie, if it is not written there at once. If an entry of kind "lineage" was made,
    numbers and artifacts lead to its page.
    `lead` is a sentence under the heading, `forecast` a section (reporting/forecast.py), `verdicts` one row per paper
    (reporting/claims.py) with the `page` it leads to.
    Entries are shown in the order given, artifacts grouped by kind. Raises
    TableError if a table's .html file holds no table, ValueError for two entries of one kind and name, or for a table
    without .html and a figure without .png among its files.
    """
    from markupsafe import Markup

    base = Path(folder if base is None else base)
    names = [(entry.kind, entry.name) for entry in entries]
    if len(names) != len(set(names)):
        raise ValueError(f"entries given twice: {sorted({name for name in names if names.count(name) > 1})}")
    made = [entry for entry in entries if entry.files and all((base / file).is_file() for file in entry.files)]
    order = {kind: index for index, kind in enumerate(dict.fromkeys(entry.kind for entry in made))}
    shown: dict[str, list[Entry]] = {
        kind: [entry for entry in made if entry.kind == kind] for kind in ("table", "figure", "notebook")
    }
    fragments = {}
    for entry in shown["table"]:
        path = base / _file(entry, ".html")
        beside = posixpath.dirname(_file(entry, ".html"))
        fragments[entry.name] = Markup(fragment_of(path.read_text(encoding="utf-8"), where=str(path), folder=beside))
    pictures = {}
    for entry in shown["figure"]:
        png = (base / _file(entry, ".png")).read_bytes()
        pictures[entry.name] = {
            "source": f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}",
            "width": _width(png),
        }
    codes = {entry.name: entry.numbers for entry in made if entry.kind == "codes"}
    coders = {name.split("-")[0] for name, seed in map(seed_of, codes) if seed == 1}  # without the numbers of parts
    curves = {
        entry.name: read_curves(base / _file(entry, "curves.jsonl"))
        for entry in made
        if entry.kind == "tokenizer" and entry.name in coders
    }
    lineage = next((entry.files[0] for entry in made if entry.kind == "lineage"), "")

    def origin(entry: Entry) -> str:
        linked = lineage and entry.kind != "lineage"
        return f"{lineage}#{anchor(f'{entry.kind}/{entry.name}')}" if linked else ""

    times = [entry.seconds for entry in made if entry.seconds is not None]
    content = template(INDEX).render(
        heading=heading,
        scale=scale,
        lead=lead,
        made=sorted(made, key=lambda entry: order[entry.kind]),
        missing=[entry for entry in entries if entry not in made],
        remarks=remarks,
        tables=shown["table"],
        figures=shown["figure"],
        notebooks=shown["notebook"],
        fragments=fragments,
        pictures=pictures,
        forecast=Markup(forecast),
        codebooks=Markup(codebooks.section(codes, curves, scale=scale)),
        verdicts=verdicts,
        lineage=lineage,
        origin=origin,
        total=duration(sum(times)) if times else "",
        duration=duration,
        suffix=_suffix,
        numbers=_numbers,
    )
    path = Path(folder) / "index.html"
    path.write_text(page(f"{heading}: {scale}", content), encoding="utf-8", newline="\n")
    return path


def show(path: "str | Path | Figure") -> Any:
    """What a notebook cell displays for a file that a stage made: a table (.html), a picture (.png) or Markdown (.md).

    A file that is not there gives a line that says so: what was not run must be seen, not fail. A matplotlib figure
    is shown as it would be saved.
    """
    from IPython.display import HTML, Markdown
    from matplotlib.figure import Figure

    if isinstance(path, Figure):
        return _picture(render(path, "png"))
    path = Path(path)
    if not path.is_file():
        return Markdown(f"*Not made at this scale:* `{path.as_posix()}`")
    if path.suffix == ".html":
        table = fragment_of(path.read_text(encoding="utf-8"), where=str(path))
        return HTML(f"<style>\n{TABLE_CSS}\n</style>\n{table}")
    if path.suffix == ".png":
        return _picture(path.read_bytes())
    if path.suffix == ".md":
        return Markdown(path.read_text(encoding="utf-8"))
    raise ValueError(f"{path}: shows .html, .png and .md files only")


def _picture(png: bytes) -> Any:
    from IPython.display import Image

    return Image(data=png, width=min(900, _width(png)))


def _width(png: bytes) -> int:
    """How wide a screen shows a picture so that its text has the size it was given: 96 of its dots are an inch."""
    return int.from_bytes(png[16:20], "big") * 96 // int(RC["savefig.dpi"])


def _file(entry: Entry, suffix: str) -> str:
    for file in entry.files:
        if file.endswith(suffix):
            return file
    raise ValueError(f"{entry.kind} {entry.name!r} has no {suffix} file, only {', '.join(entry.files)}")


def _suffix(file: str) -> str:
    """What a link to the file is called: its name's end, or its name if that says more."""
    name = Path(file).name
    return Path(file).suffix.lstrip(".") if name.startswith(("table.", "figure.")) else name


def _numbers(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number:.4g}" for name, number in numbers.items())
