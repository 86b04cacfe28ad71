"""Claims and their verdicts as JSON, Markdown and a page."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tesserae.reporting import study_claims
from tesserae.reporting.claims import FULL, MARKS, ORDERS, after_holm, correlations, labels_of
from tesserae.reporting.escape import escape_markdown
from tesserae.reporting.links import anchor, lineage_page
from tesserae.reporting.sequential import LOOKS
from tesserae.reporting.site import paper_page
from tesserae.reporting.style import page, template
from tesserae.reporting.verdicts import bound_in_words

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
    numbers = {"verdicts": found["summary"], "after_holm": found["after_holm"], "effects": effects}
    for name, content in (("claims", found), ("metrics", numbers)):
        (folder / f"{name}.json").write_text(to_json(content), encoding="utf-8")
    for suffix, text in (("md", to_markdown), ("html", to_html)):
        (folder / f"claims.{suffix}").write_text(text(found), encoding="utf-8", newline="\n")


def to_json(content: Mapping[str, Any]) -> str:
    """The text of a JSON file: the same content gives the same bytes."""
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def badge_rows(found: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row per paper for the first lines of a report: paper, scale and verdicts, from `evaluate_all`."""
    return [
        {"paper": one["paper"], "scale": one["scale"], "verdicts": f"{_counts(one['summary'])} ({_seeds(one)})"}
        for one in found
    ]


def over_papers(found: Iterable[Mapping[str, Any]]) -> str:
    """Which verdicts stay if all claims of several papers that were tested are adjusted for together; "" for none.

    found: of each paper what `evaluate_all` gives.
    """
    records = [record for record in after_holm(record for one in found for record in one["claims"]) if record["holm"]]
    decided = [record for record in records if record["verdict"] != "inconclusive"]
    kept = [record["id"] for record in decided if record["holm"]["verdict"] != "inconclusive"]
    if not records:
        return ""
    return (
        f"{len(records)} claims have an interval, {len(decided)} of them a verdict other than inconclusive. Adjusted "
        f"for all {len(records)} together (Holm), {len(kept)} of these stay{': ' + ', '.join(kept) if kept else ''}."
    )


def after(record: Mapping[str, Any]) -> str:
    """What Holm's adjustment for all claims of the paper does to a verdict: stays, inconclusive, or "" for none."""
    if not record["holm"] or record["verdict"] == "inconclusive":
        return ""
    return "stays" if record["holm"]["verdict"] == record["verdict"] else record["holm"]["verdict"]


def p_in_words(p: float | None) -> str:
    """ "0.031", and "< 0.0001" below."""
    if p is None:
        return ""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def notes(found: Mapping[str, Any]) -> list[str]:
    """What a reader must know: how verdicts come about, and what they do not say."""
    *some, last = map(str, LOOKS)
    lines = [
        "Reproduced: the whole 95 % interval of the effect supports the claim (differences are paired by seed, and "
        "positive where they support it). Contradicted: the whole interval opposes it. Absent: neither, and the whole "
        "90 % interval of the relative effect lies within a part of the published one, a half unless the claim says "
        "otherwise (two one-sided tests). Inconclusive: none of these; more seeds may tell.",
        f"Claims are judged at {', '.join(some)} and {last} seeds, by as many as all of their numbers have, up to the "
        "last of these looks. Intervals and p values allow for all looks together (group-sequential bounds of "
        "Student's t): who adds seeds until there is a verdict has a wrong one in at most one claim of twenty.",
        "That is of each claim. After Holm: which verdicts stay if all claims of the paper that have an interval are "
        "adjusted for together, so that with a chance of 95 % not one of them is wrong.",
    ]
    if any(record["relation"] in ("increasing", "decreasing") for record in found["claims"]):
        lines.append(
            "A series needs every step, and one contradicted step contradicts it, for which each interval reaches "
            "farther to that side. Its trend is another test, beside the verdict: of the slope of a straight line "
            "through all of its numbers."
        )
    if any(record["relation"] == "stronger_correlation" for record in found["claims"]):
        lines.append(
            "The interval of a difference of correlations is over draws of tokenizers and of seeds together; absent "
            "is asked of the difference of |r| itself."
        )
    if any("studies" in record for record in found["claims"]):
        lines.append(
            "That one number predicts better than another is asked within one generator, or one task, at a time: no "
            "correlation mixes two."
        )
    if len(found["seeds"]) < LOOKS[0]:
        few = "One seed was run" if len(found["seeds"]) == 1 else f"{len(found['seeds'])} seeds were run"
        lines.append(
            f"{few}: there is no interval, so every claim that was run is inconclusive and only the sign of its effect "
            "is shown."
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
    return between(one["interval"])


def between(bounds: Sequence[float] | None, percent: bool = False) -> str:
    """ "[−1.2, +3.4]", with its unit "[−1.2, +3.4] %"; "" for no bounds."""
    if not bounds:
        return ""
    low, high = (signed(100 * bound if percent else bound) for bound in bounds)
    return f"[{low}, {high}]{' %' if percent else ''}"


def trend_in_words(record: Mapping[str, Any]) -> str:
    """ "trend −12.3 [−15, −9.4] a step, p 0.0021: contradicted; published +8.2"; "" for what is no series."""
    trend = record["trend"]
    if not trend:
        return ""
    text = " ".join(filter(None, ["trend", signed(trend["mean"]), bracket(trend), "a step"]))
    if trend["p"] is not None:
        text += f", p {p_in_words(trend['p'])}: {trend['verdict']}"
    return text + (f"; published {signed(trend['published'])}" if trend["published"] is not None else "")


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
        "| Verdict | After Holm | Claim | Where | Published | Measured | Effect | Relative (published) | p |",
        "| :--- | :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for record in found["claims"]:
        numbers = shown(record)
        effect = f"{signed(record['effect']['mean'])} {bracket(record['effect'])}".strip() if record["effect"] else "–"
        printed = signed(record["published"]["relative"], percent=True) if record["published"] else "plotted"
        fields = [
            f"{MARKS[record['verdict']]} {record['verdict']}: {record['reason']}",
            after(record),
            record["claim"],
            record["where"],
            "; ".join(one["printed"] or "–" for one in numbers if one["printed"] or "studies" not in record),
            "; ".join(_mean(one) or "–" for one in numbers if one["mean"] is not None or "studies" not in record),
            "; ".join(filter(None, [effect, trend_in_words(record)])),
            f"{signed(record['relative'], percent=True) or '–'} ({printed})",
            p_in_words(record["p"]),
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
    """Where a plot's marks lie: zero in the middle, support to the right, all steps of a claim on one axis.

    `band`: between what an effect counts as absent, of a claim that is no series.
    """
    bounds = step["interval"]
    plotted = [value for one in record["steps"] for value in (*one["differences"], *(one["interval"] or ()))]
    band = record["absent"]["reach"] if record["absent"] and not record["trend"] else None
    reach = max(map(abs, plotted)) or 1.0

    def x(value: float) -> float:
        return round(WIDTH / 2 + value / reach * (WIDTH / 2 - EDGE), 1)

    return {
        "band": band and [max(x(-band), 0), min(x(band), WIDTH)],
        "ticks": [x(value) for value in step["differences"]] if bounds else [],
        "ends": [x(value) for value in bounds] if bounds else None,
        "dot": x(step["mean"]),
        "text": f"effect {signed(step['mean'])}, {f'interval {bracket(step)}' if bounds else 'no interval'}",
    }


STYLE = """
.claims { --yes: #17713a; --no: #b3261e; --small: #6d4aa8; --open: #5c6570; }
@media (prefers-color-scheme: dark) { .claims { --yes: #58c785; --no: #ff8a80; --small: #c3a6f5; --open: #9aa4b0; } }
.claims .reproduced { color: var(--yes); } .claims .contradicted { color: var(--no); }
.claims .absent { color: var(--small); }
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
.claims svg .band { fill: var(--small); opacity: .13; }
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
<p class="quiet">After Holm: {% for word, count in found.after_holm.items() -%}
{{ count }} {{ word }}{{ ', ' if not loop.last }}{% endfor %}.</p>
<p class="quiet">Plots: zero in the middle, support to the right; a bar is the interval, a tick each seed, the dot the
mean (hollow: no interval), the shade between what an effect counts as absent. ± is the
standard deviation over seeds. The standardised effect is mean / sd. Relative effects are relative to the number
compared with, a series' to its first.</p>
</header>
<main>
{%- macro plot(step, record) -%}
{%- set p = place(step, record) -%}
<svg class="{{ (step if record.steps | length > 1 else record).verdict }}" width="{{ width }}" height="{{ height }}"
 viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ p.text }}">
{%- if p.band %}<rect class="band" x="{{ p.band[0] }}" y="1" width="{{ p.band[1] - p.band[0] }}"
 height="{{ height - 2 }}"/>{% endif %}
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
{%- if record.holm %}
<p class="quiet">p {{ p_in_words(record.p) }}; after Holm p {{ p_in_words(record.holm.p) }}
{%- if after(record) %}: {{ after(record) }}{% endif %}.</p>
{%- endif %}
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
{{ step.verdict }}</span>{% endif %}
{%- if record.steps | length > 1 and 'published' in step and step.published is not none %}
<small>published {{ signed(step.published) }}</small>{% endif %}</p>
{%- endfor %}
{%- if record.trend %}
<p class="trend"><small>{{ trend_in_words(record) }}</small></p>
{%- endif %}
{%- if record.effect %}
<p>
{%- if record.steps | length > 1 %}
<small>{{ 'mean' if 'studies' in record else 'first to last' }} {{ signed(record.effect.mean) }}
 {{ bracket(record.effect) }}</small>
{%- endif %}
{%- if record.relative is not none %}<small>relative {{ signed(record.relative, True) }}
{%- if record.relative_interval %} {{ between(record.relative_interval, True) }} (90 %){% endif %}
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
{%- if record.absent %}
<p><small>absent within {{ bound_in_words(record, record.absent.bound) }}, p {{ p_in_words(record.absent.p) }}
</small></p>
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
        between=between,
        after=after,
        p_in_words=p_in_words,
        trend_in_words=trend_in_words,
        bound_in_words=bound_in_words,
        place=_plot,
        paper_page=paper_page,
        link=lambda artifact: f"../../{lineage_page(found['paper'])}#{anchor(artifact)}",
        width=WIDTH,
        height=HEIGHT,
    )
    return page(f"Claims of {found['title']} ({found['scale']})", content)
