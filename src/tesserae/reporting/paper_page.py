"""The page of one paper: its tables, figures and claims, what is left out, what was decided and made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesserae.config.reported import address, by_difference, difference
from tesserae.config.seeds import seed_of
from tesserae.reporting import codebooks, pieces
from tesserae.reporting.claims import MARKS
from tesserae.reporting.claims_files import after, bracket, signed
from tesserae.reporting.curves import read_curves
from tesserae.reporting.entries import Entry, Remark, beside, numbers, told_apart
from tesserae.reporting.links import anchor, lineage_page
from tesserae.reporting.site import INCOMPARABLE, Heading, frame, paper_bar
from tesserae.reporting.style import template
from tesserae.words import duration, seeds_in_words

TOP = "../../"  # from the page to the folder of its scale
SHOWN = ("table", "figure")  # kinds with sections of their own


@dataclass(frozen=True)
class About:
    """A paper, as its page and the first one introduce it."""

    paper: str  # its key
    name: str  # of its method
    title: str
    arxiv: str = ""


@dataclass(frozen=True)
class Contradiction:
    """Of a paper with itself, what it cites, or what can be."""

    says: str
    at: tuple[str, ...] = ()  # artifacts of the tables and figures that it concerns


MAIN = """
<header>
<h1>{{ about.name }}: {{ about.title }}</h1>
<p class="quiet">Scale <b>{{ scale }}</b>, {{ seeds }}.
{%- if about.arxiv %} <a href="https://arxiv.org/abs/{{ about.arxiv }}">arXiv {{ about.arxiv }}</a>.{% endif %}
{%- if total %} The jobs of this page took {{ total }}.{% endif %}
{%- for entry in notebooks %} <a href="{{ entry.file('.html') | urlencode }}">The notebook</a> tells the story
 (<a href="{{ entry.file('.ipynb') | urlencode }}">ipynb</a>).{% endfor %}</p>
<p class="quiet">{{ incomparable }}</p>
{%- if claims %}
<p><a href="#claims">{{ claims.claims | length }} claims</a></p>
{{ pieces.verdicts(claims.summary) }}
{%- endif %}
</header>
{%- if tables %}
<section id="tables">
<h2>Tables</h2>
<p class="quiet">Each measured number leads to what it was made from.</p>
{%- for entry in tables %}
<h3 id="{{ entry.anchor }}">{{ entry.heading }}</h3>
{{ pieces.table(entry, base) }}
{{ pieces.files(entry, origin(entry)) }}
{%- endfor %}
</section>
{%- endif %}
{%- if figures %}
<section id="figures">
<h2>Figures</h2>
{%- for entry in figures %}
<h3 id="{{ entry.anchor }}">{{ entry.heading }}</h3>
{{ pieces.picture(entry, base) }}
{%- for number, found in contradictions_of(entry) %}
<p class="quiet"><a href="#contradiction-{{ number }}">Contradiction {{ number }}</a>. {{ found.says }}</p>
{%- endfor %}
{{ pieces.files(entry, origin(entry)) }}
{%- endfor %}
</section>
{%- endif %}
{%- if claims %}
<section id="claims">
<h2>Claims</h2>
<p class="quiet">What the paper says about its numbers, held against the measured ones. Effects are positive where they
support the claim. After Holm: which verdicts stay, adjusted for all claims of the paper.
<a href="{{ claims_page }}">Every claim with its numbers, intervals and reasons</a>.</p>
<div class="wide" tabindex="0" role="region" aria-label="Claims"><table class="list">
<thead><tr><th scope="col">Verdict</th><th scope="col">After Holm</th><th scope="col">Claim</th>
<th scope="col">Where</th>
<th scope="col" class="time">Effect</th><th scope="col" class="time">Relative</th>
<th scope="col" class="time">In print</th></tr></thead>
<tbody>
{%- for record in claims.claims %}
<tr><td class="verdict {{ record.verdict | replace(' ', '-') }}"><span aria-hidden="true">{{ marks[record.verdict] }}
</span>{{ record.verdict }}</td>
<td class="quiet">{{ after(record) }}</td>
<td class="claim"><a href="{{ claims_page }}#{{ record.id | urlencode }}">{{ record.claim }}</a></td>
<td>{{ record.where }}</td>
<td class="time">{% if record.effect %}{{ signed(record.effect.mean) }} {{ bracket(record.effect) }}{% endif %}</td>
<td class="time">{{ signed(record.relative, True) }}</td>
<td class="time">{% if record.published %}{{ signed(record.published.relative, True) }}{% else %}plotted{% endif %}</td>
</tr>
{%- endfor %}
</tbody>
</table></div>
</section>
{%- endif %}
{%- if contradictions %}
<section id="contradictions">
<h2>Contradictions in print</h2>
<p class="quiet">Where the paper contradicts itself, what it cites, or what can be. They also stand below the tables and
figures that they concern.</p>
<ol>
{%- for found in contradictions %}
<li id="contradiction-{{ loop.index }}">{{ found.says }}
{%- for entry in entries if entry.artifact in found.at %} <a href="#{{ entry.anchor }}">{{ entry.heading }}</a>
{{- ',' if not loop.last }}{% endfor %}</li>
{%- endfor %}
</ol>
</section>
{%- endif %}
{%- if reported %}
<section id="reported">
<h2>Where published numbers and reports disagree</h2>
<p class="quiet">Numbers that readers and authors told in public threads. They are neither published nor measured here,
and nobody reviewed them: settings differ, as far as they are told at all. Largest differences first; what agrees stands
last.</p>
<div class="wide" tabindex="0" role="region" aria-label="Reported numbers"><table class="list">
<thead><tr><th scope="col">What</th><th scope="col" class="time">Reported</th>
<th scope="col" class="time">Published</th><th scope="col" class="time">Difference</th><th scope="col">Settings</th>
<th scope="col">What the thread found</th><th scope="col">Thread</th></tr></thead>
<tbody>
{%- for one in reported %}
<tr><td>{{ one.system }}: {{ one.metric }}
{%- if one.table %}<br><span class="quiet">{{ one.table }}, {{ one.row }}, {{ one.column }}</span>{% endif %}</td>
<td class="time">{{ one.value }}</td>
<td class="time">
{%- if one.published %}{{ one.published }}{% elif one.against %}<span class="quiet">{{ one.against }},
 says the thread</span>{% else %}–{% endif %}</td>
<td class="time">{{ signed(difference(one)) or '–' }}</td>
<td>{{ one.settings }}</td>
<td>{{ one.found }}{% if one.read == 'part' %} <span class="quiet">(read in part)</span>{% endif %}</td>
<td><a href="{{ address(one.source) }}">{{ one.source }}</a><br><span class="quiet">{{ one.date }}, {{ one.status }}
{%- if one.by == 'authors' %}, told by the authors{% endif %}</span></td></tr>
{%- endfor %}
</tbody>
</table></div>
</section>
{%- endif %}
{{ codebooks }}
{%- if omitted or missing %}
<section id="missing">
<h2>Not made at this scale</h2>
{%- for reason, names in omitted.items() %}
<details class="folded"><summary>{{ names | length }} recipes: {{ reason }}</summary>
<p>{{ names | join(', ') }}</p></details>
{%- endfor %}
{%- if missing %}
<div class="wide" tabindex="0" role="region" aria-label="Not made"><table class="list">
<thead><tr><th scope="col">Kind</th><th scope="col">Output</th><th scope="col">Reason</th></tr></thead>
<tbody>
{%- for entry in missing %}
<tr><td>{{ entry.kind }}</td><td>{{ entry.heading }}</td><td>{{ entry.note or 'not run' }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
{%- endif %}
</section>
{%- endif %}
{%- if remarks %}
<section id="remarks">
<h2>Decisions and departures</h2>
<p class="quiet">DECISION: the paper is silent and we chose. DEPARTS: we knowingly differ. From the paper's recipes and
from all code that made what this page shows.</p>
{{ pieces.remarks(remarks) }}
</section>
{%- endif %}
{%- if made %}
<section id="artifacts">
<h2>Artifacts</h2>
<p class="quiet">What was made for this paper, with what it measured, when and how long it took.</p>
{%- for kind, entries in made.items() %}
<details class="folded"><summary>{{ kind }} <span class="quiet">{{ entries | length }}</span></summary>
<div class="wide" tabindex="0" role="region" aria-label="{{ kind }}"><table class="list">
<thead><tr><th scope="col">Artifact</th><th scope="col">Numbers</th><th scope="col">Files</th>
<th scope="col">Finished</th><th scope="col" class="time">Took</th></tr></thead>
<tbody>
{%- for entry in entries %}
<tr><td>{{ entry.name }}</td>
<td class="numbers"><a href="{{ origin(entry) }}">{{ numbers(entry.numbers) or 'lineage' }}</a></td>
<td>{% for address, text in entry.links() -%}
<a href="{{ address | urlencode }}">{{ text }}</a>{{ ' · ' if not loop.last }}
{%- endfor %}</td><td>{{ entry.finished }}</td><td class="time">{{ duration(entry.seconds) }}</td></tr>
{%- endfor %}
</tbody>
</table></div></details>
{%- endfor %}
</section>
{%- endif %}
""".strip()


def write_paper(
    folder: str | Path,
    about: About,
    entries: Sequence[Entry],
    *,
    scale: str,
    seeds: Sequence[int] = (1,),
    claims: Mapping[str, Any] | None = None,
    omitted: Mapping[str, Sequence[str]] | None = None,
    remarks: Sequence[Remark] = (),
    contradictions: Sequence[Contradiction] = (),
    reported: Sequence[Mapping[str, Any]] = (),
    base: str | Path | None = None,
) -> Path:
    """Write `folder`/index.html, the page of a paper; returns the path.

    claims: what claims.json holds, None if the paper has none; omitted: reason -> names of the recipes that the scale
    does without; contradictions: in the order of their numbers, with the artifacts of tables and figures that each
    concerns; reported: what others told of the paper's numbers, as config/reported.py has it; seeds: how often its
    recipes are trained, the fewest of one and the most; base: the folder where the page will lie
    (results/<scale>/page/<paper>), if it is not written there at once: links are relative to it. Pictures are linked,
    not copied: the page belongs with its scale's results.
    Entries are shown in the order given, artifacts grouped by kind; one with a missing file is listed as not made.
    Raises TableError if a table's .html file holds no table, ValueError for two entries of one kind and name, or for a
    table without .html, a figure without .png or a notebook without .html among its files.
    """
    base = Path(folder if base is None else base)
    made, missing = told_apart(entries, base)
    shown = {kind: [entry for entry in made if entry.kind == kind] for kind in (*SHOWN, "notebook")}
    by_kind: dict[str, list[Entry]] = {}
    for entry in made:
        if entry.kind not in SHOWN:
            by_kind.setdefault(entry.kind, []).append(entry)
    codes = _codebooks(made, base, scale)
    times = [entry.seconds for entry in made if entry.seconds is not None]
    content = template(MAIN).render(
        about=about,
        scale=scale,
        seeds=seeds_in_words(seeds),
        total=duration(sum(times)) if times else "",
        incomparable=INCOMPARABLE,
        tables=shown["table"],
        figures=shown["figure"],
        notebooks=shown["notebook"],
        claims=claims,
        claims_page=f"{TOP}claims/{about.paper}/claims.html",
        codebooks=codes,
        omitted=omitted or {},
        missing=missing,
        remarks=remarks,
        contradictions=contradictions,
        contradictions_of=lambda entry: [
            (number, found) for number, found in enumerate(contradictions, 1) if entry.artifact in found.at
        ],
        entries=[*shown["table"], *shown["figure"]],
        reported=by_difference(reported),
        difference=difference,
        address=address,
        made=by_kind,
        base=base,
        pieces=pieces,
        marks=MARKS,
        signed=signed,
        bracket=bracket,
        after=after,
        numbers=numbers,
        duration=duration,
        origin=lambda entry: f"{TOP}{lineage_page(about.paper)}#{anchor(f'{entry.kind}/{entry.name}')}",
    )
    sections = {
        "tables": ("Tables", shown["table"]),
        "figures": ("Figures", shown["figure"]),
        "claims": ("Claims", claims),
        "contradictions": ("Contradictions in print", contradictions),
        "reported": ("Reported elsewhere", reported),
        "codebooks": ("Codebooks", codes),
        "missing": ("Not made at this scale", omitted or missing),
        "remarks": ("Decisions and departures", remarks),
        "artifacts": ("Artifacts", by_kind),
    }
    contents = [
        Heading(name, label, tuple(Heading(entry.anchor, entry.heading) for entry in shown.get(name[:-1], ())))
        for name, (label, there) in sections.items()
        if there
    ]
    path = Path(folder) / "index.html"
    places = paper_bar(scale, about.paper, about.name, top=TOP)
    text = frame(f"{about.name} ({scale})", content, bar=places, contents=contents)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _codebooks(made: Sequence[Entry], base: Path, scale: str) -> Any:
    """The section on codebooks, "" without a discrete tokenizer."""
    from markupsafe import Markup

    codes = {entry.name: entry.numbers for entry in made if entry.kind == "codes"}
    coders = {name.split("-")[0] for name, seed in map(seed_of, codes) if seed == 1}  # without the numbers of parts
    curves = {
        entry.name: read_curves(beside(base, entry.file("curves.jsonl")))
        for entry in made
        if entry.kind == "tokenizer" and entry.name in coders
    }
    return Markup(codebooks.section(codes, curves, scale=scale))
