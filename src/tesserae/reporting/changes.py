"""What the last run changed, as a page: shown inside the report's first page, or alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tesserae.reporting.claims import MARKS
from tesserae.reporting.claims_files import number
from tesserae.reporting.links import anchor, lineage_page
from tesserae.reporting.site import paper_page
from tesserae.reporting.style import page, template
from tesserae.words import duration, moment

PAGE = "changes.html"  # beside the report
FILES = (PAGE, "changes.json")  # what a run leaves among the results that is no artifact
MOST = 40  # numbers that are listed of a table; the record has all

STYLE = """
body.tesserae.part { max-width: none; padding: .7rem 1rem 1rem; font-size: .9rem; }
body.tesserae.part p { max-width: none; }
body.tesserae.part h2 { margin: 1.1rem 0 .2rem; padding: 0; border: 0; font-size: 1rem; }
.part .list { width: auto; min-width: min(100%, 30rem); font-variant-numeric: tabular-nums; }
.part ul { margin: .2rem 0; padding-left: 1.1rem; }
.part li { overflow-wrap: anywhere; }
.part summary { cursor: pointer; }
""".strip()

HTML = """
<style>
{{ style }}
</style>
<main>
<p><b>{{ run.made.values() | map('length') | sum }} artifacts</b> made or restored,
{{ run.again }} of them in the place of earlier ones; their jobs took {{ duration(run.seconds) }}.
{{ moment(run.started) }} to {{ moment(run.ended) }}
{%- if not run.finished %}. <b>The run did not finish</b>; what it did not reach is as before{% endif %}.</p>
<p class="quiet">{% for stage, recipes in run.made.items() -%}
{{ stage }}&nbsp;{{ recipes | length }}{{ ' · ' if not loop.last }}
{%- endfor %}</p>
{%- if run.verdicts %}
<h2>Verdicts</h2>
<ul>
{%- for one in run.verdicts %}
<li>{{ one.paper }}, <a href="claims/{{ one.paper | urlencode }}/claims.html#{{ one.claim | urlencode }}">
{{- one.claim }}</a>: {{ verdict(one.old) }} → <b>{{ verdict(one.new) }}</b></li>
{%- endfor %}
</ul>
{%- endif %}
<h2>Numbers</h2>
{%- if not run.tables %}
<p>None moved in any table.</p>
{%- endif %}
{%- for table in run.tables %}
{%- if table.first %}
<p>{{ linked(table) }}: {{ table.numbers }} numbers, for the first time</p>
{%- else %}
<details{% if run.tables | length <= 3 %} open{% endif %}><summary>{{ linked(table) }}: {{ table.moved | length }} of
{{ table.numbers }} moved</summary>
<div class="wide" tabindex="0" role="region" aria-label="{{ table.source }}"><table class="list">
<thead><tr><th scope="col">Row</th><th scope="col">Column</th><th scope="col" class="time">Before</th>
<th scope="col" class="time">Now</th><th scope="col" class="time">Change</th></tr></thead>
<tbody>
{%- for row, column, old, new in table.moved[:most] %}
<tr><td>{{ row }}</td><td>{{ column }}</td><td class="time">{{ shown(old) }}</td>
<td class="time"><a href="{{ origin(table, row, column) }}">{{ shown(new) }}</a></td>
<td class="time">{{ change(old, new) }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
{%- if table.moved | length > most %}
<p class="quiet">and {{ table.moved | length - most }} more: changes.json has all</p>
{%- endif %}
</details>
{%- endif %}
{%- endfor %}
{%- if run.reasons %}
<h2>Why</h2>
<ul>
{%- for names, lines in run.reasons %}
<li>{{ names }}: {{ lines | join('; ') }}</li>
{%- endfor %}
</ul>
{%- endif %}
</main>
""".strip()


def write(folder: Path, run: Mapping[str, Any]) -> Path:
    """Write `folder`/changes.html from the record of a run (workflow/last_run.py); returns its path.

    folder: results/<scale>. Its links open in the whole window, not inside the report's first page.
    """
    from markupsafe import Markup

    def linked(table: Mapping[str, Any]) -> Markup:
        address = f"{paper_page(table['paper'])}#{table['table'].replace('/', '-')}"
        return Markup('<a href="{}">{}, {}</a>').format(address, table["paper"], f"{table['source']}: {table['title']}")

    content = template(HTML).render(
        style=Markup(STYLE),
        run=run,
        most=MOST,
        origin=lambda table, *cell: f"{lineage_page(table['paper'])}#{anchor(table['table'], *cell)}",
        linked=linked,
        shown=lambda value: "–" if value is None else number(value),
        change=_change,
        verdict=lambda word: f"{MARKS.get(word, '')} {word}".strip() if word else "new",
        duration=duration,
        moment=moment,
    )
    path = folder / PAGE
    text = page(f"What the last run changed ({run['scale']})", content, kind="part")
    path.write_text(text.replace("<head>", '<head>\n<base target="_top">', 1), encoding="utf-8", newline="\n")
    return path


def _change(old: float | None, new: float | None) -> str:
    """The relative change in percent, "" where one of the two is missing or there is nothing to relate it to."""
    if old is None or new is None or old == 0:
        return ""
    return f"{100 * (new - old) / abs(old):+.3g} %".replace("-", "−")
