"""Claims and their verdicts as JSON, Markdown and a page."""

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tesserae.reporting import study_claims
from tesserae.reporting.claims import FULL, MARKS, ORDERS, correlations, labels_of
from tesserae.reporting.escape import escape_markdown
from tesserae.reporting.links import anchor, lineage_page
from tesserae.reporting.site import paper_page
from tesserae.reporting.style import page, template

WORDS = {
    "lt": "is below",
    "le": "is at most",
    "gt": "is above",
    "ge": "is at least",
    "increasing": "rises at every step",
    "decreasing": "falls at every step",
}


def write(found: Mapping[str, Any], folder: str | Path) -> None:
    """Write claims.json, claims.md, claims.html, and metrics.json: counts, and the effect of each claim, for DVC."""
    folder = Path(folder)
    effects = {record["id"]: record["effect"]["mean"] for record in found["claims"] if record["effect"]}
    for name, content in (("claims", found), ("metrics", {"verdicts": found["summary"], "effects": effects})):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for suffix, text in (("md", to_markdown), ("html", to_html)):
        (folder / f"claims.{suffix}").write_text(text(found), encoding="utf-8", newline="\n")


def badge_rows(found: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row per paper for the first lines of a report: paper, scale and verdicts, from `evaluate_all`."""
    return [
        {"paper": one["paper"], "scale": one["scale"], "verdicts": f"{_counts(one['summary'])} ({_seeds(one)})"}
        for one in found
    ]


def notes(found: Mapping[str, Any]) -> list[str]:
    """What a reader must know: how verdicts come about, and what they do not say."""
    lines = [
        "A claim is reproduced if the whole 95 % interval of its effect (Student's t, differences paired by seed, "
        "positive where they support the claim) supports it, contradicted if the whole interval opposes it, and "
        "inconclusive otherwise; a series needs every step, and one contradicted step contradicts it.",
        "Where there is no effect at all, about one interval in forty lies wholly on either side: nothing is widened "
        "for the number of claims.",
    ]
    if any("studies" in record for record in found["claims"]):
        lines.append(
            "That one number predicts better than another is asked within one generator, or one task, at a time: no "
            "correlation mixes two. Its interval is over draws of tokenizers and of seeds, and of one study alone."
        )
    if len(found["seeds"]) == 1:
        lines.append(
            "One seed was run: there is no interval, so every claim that was run is inconclusive and only the sign of "
            "its effect is shown."
        )
    if found["scale"] not in FULL:
        lines.append(
            f"Numbers of the small scale {found['scale']} do not speak about the paper's: a verdict here says what "
            "small networks, trained briefly on little data, do."
        )
    return lines


def says(record: Mapping[str, Any]) -> str:
    """The claim as the relation that is tested, e.g. "l-DeTok is below MAR-VAE"."""
    cells = record["cells"]
    if record["relation"] == "stronger_correlation":
        rows = len(cells) // 3
        column, against, rival = (cells[i * rows]["column"] for i in range(3))
        if "studies" in record:
            return f"{column} correlates with {against} more strongly than {rival} does, in each study"
        return f"{column} correlates with {against} more strongly than {rival} does, over {rows} rows"
    labels, word = labels_of(cells), WORDS[record["relation"]]
    if record["relation"] in ORDERS:
        return f"{labels[0]} {word} {labels[1]}"
    return f"{_head(record)} {word} from {labels[0]} to {labels[-1]}"


def _head(record: Mapping[str, Any]) -> str:
    """What the numbers beside a claim are: their column, if it is one."""
    columns = dict.fromkeys(cell["column"] for cell in record["cells"])
    return "Correlation" if record["relation"] == "stronger_correlation" else " / ".join(columns)


def number(value: float) -> str:
    """A measured number: four digits, more only before the point."""
    return f"{value:.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def signed(value: float | None, percent: bool = False) -> str:
    """An effect with its sign in three digits, "" for None."""
    if value is None:
        return ""
    value *= 100 if percent else 1
    text = f"{value:+.0f}" if abs(value) >= 100 else f"{value:+.3g}"
    return text.replace("-", "−") + (" %" if percent else "")


def shown(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lines of numbers to print beside a claim: label, printed, values, mean, sd, artifacts, reason.

    Of a correlation: its two |r|, unless they were not run.
    """
    if "studies" in record:
        return study_claims.shown(record)
    if record["relation"] != "stronger_correlation":
        return [
            {**cell, "label": label} for cell, label in zip(record["cells"], labels_of(record["cells"]), strict=True)
        ]
    rows = len(record["cells"]) // 3
    cells = record["cells"]
    printed = [[float(cell["printed"])] for cell in cells] if all(cell["printed"] for cell in cells) else None
    texts = [f"{r:.3f}" for (r,) in correlations(printed)] if printed else ["", ""]
    columns = [cells[i * rows]["column"] for i in range(3)]
    return [
        {
            "label": f"|r| of {column} with {columns[1]}",
            "printed": text,
            "values": values,
            "artifacts": [],
            "mean": statistics.fmean(values) if values else None,
            "sd": statistics.stdev(values) if len(values) > 1 else None,
            "reason": "" if values else record["verdict"],
        }
        for column, text, values in zip(columns[::2], texts, record.get("correlations", ([], [])), strict=True)
    ]


def bracket(one: Mapping[str, Any]) -> str:
    """The interval of an estimate, "" for none."""
    return f"[{signed(one['interval'][0])}, {signed(one['interval'][1])}]" if one["interval"] else ""


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[word]} {word}" for word in MARKS)


def _seeds(found: Mapping[str, Any]) -> str:
    return "1 seed" if len(found["seeds"]) == 1 else f"{len(found['seeds'])} seeds"


def to_markdown(found: Mapping[str, Any]) -> str:
    """A pipe table, one line per claim, under counts and notes."""
    lines = [
        f"**Claims of {escape_markdown(found['title'])}, scale {escape_markdown(found['scale'])}, {_seeds(found)}: "
        f"{_counts(found['summary'])}**",
        "",
        *(f"- {escape_markdown(note)}" for note in notes(found)),
        "",
        "| Verdict | Claim | Where | Published | Measured | Effect | Relative (published) |",
        "| :--- | :--- | :--- | ---: | ---: | ---: | ---: |",
    ]
    for record in found["claims"]:
        numbers = shown(record)
        effect = f"{signed(record['effect']['mean'])} {bracket(record['effect'])}" if record["effect"] else "–"
        printed = signed(record["published"]["relative"], percent=True) if record["published"] else "plotted"
        fields = [
            f"{MARKS[record['verdict']]} {record['verdict']}: {record['reason']}",
            record["claim"],
            record["where"],
            "; ".join(one["printed"] or "–" for one in numbers if one["printed"] or "studies" not in record),
            "; ".join(_mean(one) or "–" for one in numbers if one["mean"] is not None or "studies" not in record),
            effect.strip(),
            f"{signed(record['relative'], percent=True) or '–'} ({printed})",
        ]
        lines.append(f"| {' | '.join(map(escape_markdown, fields))} |")
    return "\n".join([*lines, ""])


def _mean(one: Mapping[str, Any]) -> str:
    """ "27.99 ± 1.2", with the deviation where there are several seeds; "" for nothing measured."""
    if one["mean"] is None:
        return ""
    deviation = "" if one["sd"] is None else f" ± {one['sd']:.2g}" if one["sd"] < 10 else f" ± {one['sd']:.0f}"
    return number(one["mean"]) + deviation


WIDTH, HEIGHT, EDGE = 220, 22, 8  # of a plot, in pixels


def _plot(step: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Where a plot's marks lie: zero in the middle, support to the right, all steps of a claim on one axis."""
    bounds = step["interval"]
    plotted = [value for one in record["steps"] for value in (*one["differences"], *(one["interval"] or ()))]
    reach = max(map(abs, plotted)) or 1.0

    def x(value: float) -> float:
        return round(WIDTH / 2 + value / reach * (WIDTH / 2 - EDGE), 1)

    return {
        "ticks": [x(value) for value in step["differences"]] if bounds else [],
        "ends": [x(value) for value in bounds] if bounds else None,
        "dot": x(step["mean"]),
        "text": f"effect {signed(step['mean'])}, {f'interval {bracket(step)}' if bounds else 'no interval'}",
    }


STYLE = """
.claims { --yes: #17713a; --no: #b3261e; --open: #5c6570; }
@media (prefers-color-scheme: dark) { .claims { --yes: #58c785; --no: #ff8a80; --open: #9aa4b0; } }
.claims .reproduced { color: var(--yes); } .claims .contradicted { color: var(--no); }
.claims .inconclusive, .claims .not-run { color: var(--open); }
.claims .counts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; padding: 0; list-style: none; }
.claims .counts li { border: 1px solid var(--rule); border-radius: 6px; background: var(--card);
  padding: .35rem .9rem; }
.claims .counts b { font-size: 1.25rem; margin-right: .35rem; font-variant-numeric: tabular-nums; }
.claims article { display: grid; grid-template-columns: minmax(15rem, 5fr) minmax(17rem, 6fr) 18rem; gap: .3rem 1.8rem;
  padding: .9rem 0; border-bottom: 1px solid var(--rule); font-size: .9rem; }
.claims article h3 { font-size: 1rem; font-weight: 500; line-height: 1.4; margin: .1rem 0 .3rem; }
.claims article p { margin: .15rem 0; }
.claims .verdict { font-weight: 650; }
body .claims .list { font-size: .85rem; font-variant-numeric: tabular-nums; }
body .claims .list th[scope=row] { font-weight: 500; color: inherit; }
body .claims .list td { white-space: nowrap; }
body .claims .list td.why { white-space: normal; color: var(--quiet); text-align: right; }
body .claims .list td a { color: inherit; text-decoration: underline dotted; text-decoration-color: var(--quiet); }
body .claims .list td small, .claims .effect small { color: var(--quiet); font-size: .8rem; display: block; }
.claims .effect { font-variant-numeric: tabular-nums; }
.claims svg { display: block; margin: .15rem 0; max-width: 100%; }
.claims svg .zero { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 2 2; }
.claims svg .bar { stroke: currentColor; stroke-width: 2; fill: none; }
.claims svg .seed { stroke: currentColor; stroke-width: 1; opacity: .55; }
.claims svg .dot { stroke: currentColor; stroke-width: 1.6; fill: currentColor; }
.claims svg .dot.alone { fill: none; }
@media (max-width: 60rem) { .claims article { grid-template-columns: minmax(0, 1fr); } }
""".strip()
HTML = """
<style>
{{ style }}
</style>
<div class="claims">
<header>
<h1>Claims of {{ found.title }}</h1>
<p class="quiet">Scale <b>{{ found.scale }}</b>, {{ seeds }}.
<a href="../../{{ paper_page(found.paper) }}">To the paper's page</a></p>
<ul class="counts">
{%- for word, count in found.summary.items() %}
<li class="{{ word | replace(' ', '-') }}"><b>{{ count }}</b><span aria-hidden="true">{{ marks[word] }}</span>
 {{ word }}</li>
{%- endfor %}
</ul>
{%- for note in notes %}
<p>{{ note }}</p>
{%- endfor %}
<p class="quiet">Plots: zero in the middle, support to the right; a bar is the interval, a tick each seed, the dot the
mean (hollow: one number). ± is the standard deviation over seeds. The standardised effect is mean / sd. Relative
effects are relative to the number compared with, a series' to its first.</p>
</header>
<main>
{%- macro plot(step, record) -%}
{%- set p = place(step, record) -%}
<svg class="{{ step.verdict }}" width="{{ width }}" height="{{ height }}"
 viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ p.text }}">
<path class="zero" d="M{{ width / 2 }} 1V{{ height - 1 }}"/>
{%- for x in p.ticks %}<path class="seed" d="M{{ x }} 5v12"/>{% endfor %}
{%- if p.ends %}<path class="bar" d="M{{ p.ends[0] }} 7v8m0 -4H{{ p.ends[1] }}m0 -4v8"/>{% endif -%}
<circle class="dot{{ '' if p.ends else ' alone' }}" cx="{{ p.dot }}" cy="11" r="3.5"/></svg>
{%- endmacro %}
{%- for where, records in sections %}
<section>
<h2>{{ where }}</h2>
{%- for record in records %}
<article id="{{ record.id }}">
<div>
<p><span class="verdict {{ record.verdict | replace(' ', '-') }}"><span aria-hidden="true">{{ marks[record.verdict] }}
</span>{{ record.verdict }}:</span> <span class="quiet">{{ record.reason }}</span></p>
<h3>{{ record.claim }}</h3>
{%- if record.holds_in_print == False %}
<p class="quiet">The printed numbers do not bear it out.</p>
{%- endif %}
<p class="quiet"><a href="#{{ record.id }}">{{ record.id }}</a></p>
</div>
<div class="wide"><table class="list">
<thead><tr><th scope="col">{{ head(record) }}</th>
<th scope="col" class="time">Published</th><th scope="col" class="time">Measured</th></tr></thead>
<tbody>
{%- for one in shown(record) %}
<tr><th scope="row">{{ one.label }}</th><td class="time">{{ one.printed or '–' }}</td>
{%- if one.mean is none %}<td class="why">{{ one.reason }}</td>
{%- else %}<td class="time">
{%- if one['values'] | length == 1 and one.artifacts %}<a href="{{ link(one.artifacts[0]) }}">{{ mean(one) }}</a>
{%- else %}{{ mean(one) }}{% endif %}
{%- if one['values'] | length > 1 %}
<small>{% for value in one['values'] -%}
{%- if one.artifacts %}<a href="{{ link(one.artifacts[loop.index0]) }}">{{ number(value) }}</a>
{%- else %}{{ number(value) }}{% endif %}{{ ' · ' if not loop.last }}
{%- endfor %}</small>{% endif %}</td>{% endif %}</tr>
{%- endfor %}
</tbody>
</table>
{%- if record.measure %}
<p class="quiet">{{ record.measure }}</p>
{%- endif %}
</div>
<div class="effect">
<p class="quiet">{{ says(record) }}</p>
{%- for step in record.steps %}
{%- if record.steps | length > 1 %}
<p>{% if 'label' in step %}{{ step.label }}{% else %}{{ step['from'] }} → {{ step.to }}{% endif %}</p>
{%- endif %}
{{ plot(step, record) }}
<p><b>{{ signed(step.mean) }}</b> {{ bracket(step) }}
{%- if record.steps | length > 1 and step.interval %} <span class="{{ step.verdict }}">{{ marks[step.verdict] }}
{{ step.verdict }}</span>{% endif %}</p>
{%- endfor %}
{%- if record.effect %}
<p>
{%- if record.steps | length > 1 %}
<small>{{ 'mean' if 'studies' in record else 'first to last' }} {{ signed(record.effect.mean) }}
 {{ bracket(record.effect) }}</small>
{%- endif %}
{%- if record.relative is not none %}<small>relative {{ signed(record.relative, True) }}
{%- if record.effect.standardised is not none %}, standardised {{ signed(record.effect.standardised) }}{% endif -%}
</small>{% endif %}</p>
{%- endif %}
{%- if record.published %}
<p><small>published {{ signed(record.published.effect) }}
{%- if record.published.relative is not none %}, relative {{ signed(record.published.relative, True) }}{% endif -%}
</small></p>
{%- else %}
<p><small>published as a plot only</small></p>
{%- endif %}
</div>
</article>
{%- endfor %}
</section>
{%- endfor %}
</main>
</div>
""".strip()


def to_html(found: Mapping[str, Any]) -> str:
    """A page of its own that needs no network; measured numbers lead to the paper's lineage page."""
    from markupsafe import Markup

    sections: dict[str, list] = {}
    for record in found["claims"]:
        sections.setdefault(record["where"], []).append(record)
    content = template(HTML).render(
        found=found,
        style=Markup(STYLE),
        sections=sections.items(),
        seeds=f"{_seeds(found)} ({', '.join(map(str, found['seeds']))})",
        notes=notes(found),
        marks=MARKS,
        head=_head,
        shown=shown,
        says=says,
        mean=_mean,
        number=number,
        signed=signed,
        bracket=bracket,
        place=_plot,
        paper_page=paper_page,
        link=lambda artifact: f"../../{lineage_page(found['paper'])}#{anchor(artifact)}",
        width=WIDTH,
        height=HEIGHT,
    )
    return page(f"Claims of {found['title']} ({found['scale']})", content)
