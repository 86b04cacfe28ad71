"""The first page of a scale's report: what was reproduced, a picture and a table of each paper, what it would cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tesserae.reporting import changes, pieces
from tesserae.reporting.entries import Entry, Remark
from tesserae.reporting.paper_page import About
from tesserae.reporting.site import INCOMPARABLE, Heading, frame, paper_page, start_bar
from tesserae.reporting.style import template
from tesserae.words import duration, seeds_in_words


@dataclass(frozen=True)
class Summary:
    """What the first page tells of a paper. Counts are words -> numbers, e.g. {"tokenizer": 27}."""

    about: About
    tables: int
    numbers: int  # measured ones in its tables
    figures: int
    trained: Mapping[str, int]
    seconds: float  # that its jobs took
    verdicts: Mapping[str, int] | None  # None: it has no claims
    table: Entry  # the one shown here
    figure: Entry


MAIN = """
<header>
<h1>{{ summaries | length }} {{ 'paper' if summaries | length == 1 else 'papers' }} at scale {{ scale }}</h1>
<p>{{ lead }}</p>
<p class="quiet">{{ seeds }}. All jobs together took {{ total }}; the last one ended {{ finished }} UTC.
{{ incomparable }}</p>
</header>
<section id="papers">
<h2>What was reproduced</h2>
<div class="wide" tabindex="0" role="region" aria-label="What was reproduced"><table class="list papers">
<thead><tr><th scope="col">Paper</th><th scope="col">Claims</th><th scope="col" class="time">Tables</th>
<th scope="col" class="time">Measured numbers</th><th scope="col" class="time">Figures</th>
<th scope="col">Trained</th><th scope="col" class="time">Took</th></tr></thead>
<tbody>
{%- for one in summaries %}
<tr><th scope="row"><a href="{{ paper_page(one.about.paper) }}">{{ one.about.name }}</a></th>
<td>
{%- if one.verdicts is none %}none evaluated{% else %}{{ pieces.verdicts(one.verdicts) }}{% endif %}</td>
<td class="time">{{ one.tables }}</td><td class="time">{{ one.numbers }}</td><td class="time">{{ one.figures }}</td>
<td>
{%- for kind, count in one.trained.items() %}{{ count }}&nbsp;{{ kind }}
{{- 's' if count != 1 }}{{ ', ' if not loop.last }}{% endfor %}</td>
<td class="time">{{ duration(one.seconds) }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
{%- if together %}
<p class="quiet">{{ together }}</p>
{%- endif %}
</section>
<section id="changes">
<h2>What the last run changed</h2>
<object class="run" type="text/html" data="{{ changes }}" title="What the last run changed">
<p class="quiet">Nothing is known of the last run: {{ changes }} is written beside this page when a run has ended.</p>
</object>
</section>
{%- for one in summaries %}
<section id="paper-{{ one.about.paper }}">
<h2><a href="{{ paper_page(one.about.paper) }}">{{ one.about.name }}</a></h2>
<p>{{ one.about.title }}
{%- if one.about.arxiv %} (<a href="https://arxiv.org/abs/{{ one.about.arxiv }}">arXiv {{ one.about.arxiv }}</a>)
{%- endif %}. Its page has all {{ one.tables }} tables, {{ one.figures }} figures
{%- if one.verdicts is not none %} and {{ one.verdicts.values() | sum }} claims{% endif %}.</p>
{{ pieces.picture(one.figure, base) }}
<p class="quiet">{{ one.figure.heading }}</p>
{{ pieces.table(one.table, base) }}
</section>
{%- endfor %}
{{ forecast }}
{%- if remarks %}
<section id="remarks">
<h2>Decisions and departures of the scale</h2>
<p class="quiet">DECISION: the paper is silent and we chose. DEPARTS: we knowingly differ. Those of a paper and of its
code stand on its page.</p>
{{ pieces.remarks(remarks) }}
</section>
{%- endif %}
""".strip()


def write_start(
    folder: str | Path,
    summaries: Sequence[Summary],
    *,
    scale: str,
    seeds: Sequence[int],
    finished: str,
    lead: str = "",
    remarks: Sequence[Remark] = (),
    forecast: str = "",
    together: str = "",
    base: str | Path | None = None,
) -> Path:
    """Write `folder`/index.html, the first page; returns the path.

    seeds: how often recipes are trained, the fewest of one and the most; lead: a sentence under the heading; finished:
    when the last job ended; together: what becomes of the verdicts of all papers together (claims_files.over_papers);
    forecast: a section (reporting/forecast.py); base: the folder where the page will lie (results/<scale>), if it is
    not written there at once: links are relative to it. What the last run changed is shown if `changes.html` lies
    beside the page (workflow/last_run.py).
    Raises TableError if a table's .html file holds no table.
    """
    from markupsafe import Markup

    base = Path(folder if base is None else base)
    content = template(MAIN).render(
        summaries=summaries,
        scale=scale,
        lead=lead,
        seeds="One seed: a difference between two rows may be chance" if max(seeds) == 1 else seeds_in_words(seeds),
        total=duration(sum(one.seconds for one in summaries)),
        finished=finished,
        incomparable=INCOMPARABLE,
        changes=changes.PAGE,
        forecast=Markup(forecast),
        together=together,
        remarks=remarks,
        base=base,
        pieces=pieces,
        paper_page=paper_page,
        duration=duration,
    )
    contents = [
        Heading("papers", "What was reproduced"),
        Heading("changes", "The last run"),
        *(Heading(f"paper-{one.about.paper}", one.about.name) for one in summaries),
    ]
    contents += [Heading("forecast", "Forecast")] if forecast else []
    contents += [Heading("remarks", "Decisions and departures")] if remarks else []
    papers = [(one.about.paper, one.about.name) for one in summaries]
    path = Path(folder) / "index.html"
    text = frame(f"tesserae: {scale}", content, bar=start_bar(scale, papers), contents=contents)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
