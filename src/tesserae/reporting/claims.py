"""What a paper claims about its numbers, and what measured numbers say to that.

A claim is a plain dict: id, claim, where, relation, margin, holds_in_print, and `cells`, the (table, row, column) of
its numbers: left and right (lt, le, gt, ge), the rows of a series (increasing, decreasing), or all rows of a column,
of the column it is correlated with, and of its rival (stronger_correlation). Every difference is signed so that
positive supports the claim, and is taken seed by seed. K seeds, n numbers that differ.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.reporting import published as published_numbers
from tesserae.reporting.links import LINEAGE, anchor
from tesserae.reporting.style import page, template
from tesserae.reporting.tables import CHOSEN, escape_markdown, same_measure

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
FULL = ("paper", "released")  # scales whose numbers may be held against the paper's own
MARKS = {"reproduced": "✓", "contradicted": "✗", "inconclusive": "?", "not run": "–"}  # in the order of counts
SIGNS = {"lt": 1, "le": 1, "increasing": 1, "gt": -1, "ge": -1, "decreasing": -1}  # of (next - previous)
WORDS = {
    "lt": "is below",
    "le": "is at most",
    "gt": "is above",
    "ge": "is at least",
    "increasing": "rises at every step",
    "decreasing": "falls at every step",
}
ORDERS = ("lt", "le", "gt", "ge")
EQUAL = ("le", "ge")  # here no difference supports the claim


class ClaimError(ValueError):
    """Numbers that cannot be set against a claim."""


# ---------------------------------------------------------------------------------------------------------- statistics
def interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Student's t interval of the mean of paired differences (n,) at LEVEL; None for fewer than two."""
    from scipy.stats import t

    if len(differences) < 2:
        return None
    mean = statistics.fmean(differences)
    half = t.ppf((1 + LEVEL) / 2, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
    return mean - float(half), mean + float(half)


def verdict(bounds: tuple[float, float] | None, equal: bool) -> str:
    """reproduced if the whole interval supports a claim, contradicted if none of it does, else inconclusive.

    equal: whether zero supports the claim (le, ge).
    """
    if bounds is None:
        return "inconclusive"
    low, high = bounds
    if low > 0 or (equal and low == 0):
        return "reproduced"
    return "contradicted" if high < 0 or (not equal and high == 0) else "inconclusive"


def estimate(differences: Sequence[float], equal: bool) -> dict[str, Any]:
    """Differences (n,) with mean, sd, interval, standardised effect (mean / sd; None where it is not) and verdict."""
    mean, bounds = statistics.fmean(differences), interval(differences)
    sd = statistics.stdev(differences) if bounds else None
    return {
        "differences": list(differences),
        "mean": mean,
        "sd": sd,
        "interval": list(bounds) if bounds else None,
        "standardised": mean / sd if sd else None,
        "verdict": verdict(bounds, equal),
    }


def steps(relation: str, numbers: Sequence[Sequence[float]]) -> list[list[float]]:
    """Numbers (cells, n) in the order of a claim's cells -> its steps (steps, n): positive supports the claim.

    A correlation has one step, the difference of |Pearson r|. Raises statistics.StatisticsError where a column does
    not vary, so that nothing correlates with it.
    """
    if relation == "stronger_correlation":
        ours, theirs = correlations(numbers)
        return [[a - b for a, b in zip(ours, theirs, strict=True)]]
    sign = SIGNS[relation]
    return [
        [sign * (b - a) for a, b in zip(before, after, strict=True)]
        for before, after in zip(numbers, numbers[1:], strict=False)
    ]


def correlations(numbers: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Numbers (3 R, n) of column, against and rival over R rows -> |Pearson r| of column and of rival, each (n,)."""
    rows = len(numbers) // 3
    column, against, rival = (list(zip(*numbers[i * rows : (i + 1) * rows], strict=True)) for i in range(3))
    ours, theirs = (
        [abs(statistics.correlation(a, b)) for a, b in zip(one, against, strict=True)] for one in (column, rival)
    )
    return ours, theirs


def _effect(relation: str, numbers: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """The whole of the steps (n,), and the number that makes it relative: right, first of a series, rival's |r|."""
    whole = [sum(parts) for parts in zip(*steps(relation, numbers), strict=True)]
    base = numbers[-1 if relation in ORDERS else 0]
    base = correlations(numbers)[1] if relation == "stronger_correlation" else base
    return whole, abs(statistics.fmean(base))


# ---------------------------------------------------------------------------------------------------------- evaluation
def evaluate(
    claim: Mapping[str, Any], cells: Mapping[tuple[str, str, str], Mapping[str, Any]], printed: "pd.DataFrame"
) -> dict[str, Any]:
    """The record of one claim: what was printed, what was measured, the effect, and a verdict with its reason.

    cells: (table, row, column) -> {"values": (K,), "artifacts": (K,), "measures": (K,)} in the order of the seeds, or
    {"reason": why there is no number}; printed: from `published.load`.

    A cell of one number, or of K equal ones (released weights, a count), varies with no seed: it stands beside each
    seed's number of the others, and a claim about such cells alone has no interval. Nothing is corrected for the
    number of claims; a series needs every step, and one contradicted step contradicts it.

    Raises ClaimError for cells of different numbers of seeds, TableError for measures that differ within a column,
    PublishedError for a cell that the published file does not have.
    """
    relation, equal = claim["relation"], claim["relation"] in EQUAL
    keys = [tuple(key) for key in claim["cells"]]
    lines = [published_numbers.find(printed, *key) for key in keys]
    told = [_cell(key, line, cells[key]) for key, line in zip(keys, lines, strict=True)]
    record: dict[str, Any] = {**claim, "cells": told, "published": _published(relation, lines), "steps": []}
    record |= {"n": 0, "effect": None, "relative": None, "measure": _measured_alike(claim["id"], keys, cells)}
    if missing := [cell for cell in told if cell["reason"]]:
        why = {cell["reason"]: None for cell in missing}
        named = [f"{reason} ({', '.join(_rows(missing, reason))})" for reason in why]
        return record | {"verdict": "not run", "reason": "; ".join(named)}
    numbers = _paired(claim["id"], told)
    try:
        whole, base = _effect(relation, numbers)
        found = [estimate(differences, equal) for differences in steps(relation, numbers)]
    except statistics.StatisticsError:
        return record | {"verdict": "inconclusive", "reason": "a column does not vary: nothing correlates with it"}
    if relation == "stronger_correlation":
        record["correlations"] = correlations(numbers)
    else:
        labels = _labels(told)
        found = [step | {"from": a, "to": b} for step, a, b in zip(found, labels, labels[1:], strict=False)]
    effect = estimate(whole, equal)
    word, reason = _judged(found, equal, seeds=max(len(cell["values"]) for cell in told))
    relative = effect["mean"] / base if base else None
    return record | {
        "n": len(whole),
        "steps": found,
        "effect": effect,
        "relative": relative,
        "verdict": word,
        "reason": reason,
    }


def evaluate_all(
    claims: Iterable[Mapping[str, Any]],
    cells: Mapping[tuple[str, str, str], Mapping[str, Any]],
    printed: "pd.DataFrame",
    *,
    paper: str,
    title: str,
    scale: str,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """All claims of a paper at a scale: what claims.json holds and all writers show."""
    records = [evaluate(claim, cells, printed) for claim in claims]
    about = {"paper": paper, "title": title, "scale": scale, "seeds": list(seeds)}
    return about | {"summary": summary(records), "claims": records}


def summary(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many records have each verdict."""
    found = [record["verdict"] for record in records]
    return {word: found.count(word) for word in MARKS}


def badge_rows(found: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row per paper for the first lines of a report: paper, scale and verdicts, from `evaluate_all`."""
    return [
        {"paper": one["paper"], "scale": one["scale"], "verdicts": f"{_counts(one['summary'])} ({_seeds(one)})"}
        for one in found
    ]


def _cell(key: tuple[str, ...], line: "pd.Series", measured: Mapping[str, Any]) -> dict[str, Any]:
    values = [float(value) for value in measured.get("values", ())]
    told = dict(zip(("table", "row", "column"), key, strict=True))
    return told | {
        "printed": line["printed"],
        "values": values,
        "artifacts": list(measured.get("artifacts", ())),
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "reason": "" if values else measured["reason"],
    }


def _published(relation: str, lines: "Sequence[pd.Series]") -> dict[str, Any] | None:
    """Effect and relative effect of the printed numbers, signed as measured ones; None if some are only plotted."""
    if not all(line["printed"] for line in lines):
        return None
    (effect,), base = _effect(relation, [[float(line["value"])] for line in lines])
    return {"effect": effect, "relative": effect / base if base else None}


def _paired(name: str, told: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """The cells' numbers (cells, n)."""
    # DECISION: numbers that are equal for all seeds to the last bit (released weights, a metric at its bound) count as
    # one: an interval of width nought would turn what was measured once into certainty.
    numbers = [cell["values"] if len(set(cell["values"])) > 1 else cell["values"][:1] for cell in told]
    counts = sorted({len(values) for values in numbers} - {1})
    if len(counts) > 1:
        raise ClaimError(f"{name}: cells of {' and '.join(map(str, counts))} seeds cannot be paired")
    n = counts[0] if counts else 1
    return [values * n if len(values) == 1 else values for values in numbers]


def _judged(found: Sequence[Mapping[str, Any]], equal: bool, *, seeds: int) -> tuple[str, str]:
    """Verdict over all steps, and why."""
    words = [step["verdict"] for step in found]
    if found[0]["interval"] is None:
        signs = [step["mean"] > 0 or (equal and step["mean"] == 0) for step in found]
        why = "one seed" if seeds == 1 else "the numbers are the same for every seed"
        sign = ("supports" if signs[0] else "opposes") if len(signs) == 1 else f"supports {sum(signs)} of {len(signs)}"
        return "inconclusive", f"{why}: no interval; the sign {sign} {'the claim' if len(signs) == 1 else 'steps'}"
    if len(found) == 1:
        why = {
            "reproduced": "the whole interval supports the claim",
            "contradicted": "the whole interval opposes the claim",
            "inconclusive": "the interval reaches both sides of zero",
        }
        return words[0], why[words[0]]
    word = next((word for word in ("contradicted", "inconclusive") if word in words), "reproduced")
    counted = [f"{words.count(word)} {word}" for word in MARKS if word in words]
    return word, f"of {len(found)} steps {', '.join(counted)}"


def _measured_alike(name: str, keys: Sequence[tuple], cells: Mapping[tuple, Mapping[str, Any]]) -> str:
    """How the numbers were measured, e.g. "extractor embedded, 500 samples"; numbers of a column must agree in it."""
    sampled = {"sampler", "selection", "seed", *CHOSEN}  # may differ: how each generator is sampled at its best
    texts, columns = {}, {}
    for key in keys:
        for number, measure in enumerate(cells[key].get("measures", ()), start=1):
            shared = {field: value for field, value in measure.items() if field not in sampled}
            columns.setdefault(key[2], {})[f"{key[1]}, seed {number}"] = shared
            shown = [("extractor {}", "extractor"), ("{} samples", "samples")]
            texts[", ".join(text.format(shared[field]) for text, field in shown if field in shared)] = None
    for column, measures in columns.items():
        with_extractor = {label: {"extractor": None, **measure} for label, measure in measures.items()}
        same_measure(with_extractor, where=f"claim {name}, column {column!r}")
    return " / ".join(filter(None, texts))


def _rows(cells: Sequence[Mapping[str, Any]], reason: str) -> list[str]:
    return list(dict.fromkeys(cell["row"] for cell in cells if cell["reason"] == reason))


def _labels(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells the cells apart: the row, and table and column where they differ."""
    parts = [part for part in ("table", "row", "column") if part == "row" or len({cell[part] for cell in cells}) > 1]
    return [", ".join(cell[part] for part in parts) for cell in cells]


# ------------------------------------------------------------------------------------------------------------- writers
def write(found: Mapping[str, Any], folder: str | Path) -> None:
    """Write claims.json, claims.md, claims.html, and metrics.json: counts, and the effect of each claim, for DVC."""
    folder = Path(folder)
    effects = {record["id"]: record["effect"]["mean"] for record in found["claims"] if record["effect"]}
    for name, content in (("claims", found), ("metrics", {"verdicts": found["summary"], "effects": effects})):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    for suffix, text in (("md", to_markdown), ("html", to_html)):
        (folder / f"claims.{suffix}").write_text(text(found), encoding="utf-8", newline="\n")


def notes(found: Mapping[str, Any]) -> list[str]:
    """What a reader must know: how verdicts come about, and what they do not say."""
    lines = [
        "A claim is reproduced if the whole 95 % interval of its effect (Student's t, differences paired by seed, "
        "positive where they support the claim) supports it, contradicted if the whole interval opposes it, and "
        "inconclusive otherwise; a series needs every step, and one contradicted step contradicts it.",
        "Where there is no effect at all, about one interval in forty lies wholly on either side: nothing is widened "
        "for the number of claims.",
    ]
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
        return f"{column} correlates with {against} more strongly than {rival} does, over {rows} rows"
    labels, word = _labels(cells), WORDS[record["relation"]]
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
    if record["relation"] != "stronger_correlation":
        return [{**cell, "label": label} for cell, label in zip(record["cells"], _labels(record["cells"]), strict=True)]
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
            "; ".join(one["printed"] or "–" for one in numbers),
            "; ".join(_mean(one) or "–" for one in numbers),
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
    drawn = [value for one in record["steps"] for value in (*one["differences"], *(one["interval"] or ()))]
    reach = max(map(abs, drawn)) or 1.0

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
<p class="quiet">Scale <b>{{ found.scale }}</b>, {{ seeds }}. <a href="../../index.html">To the report</a></p>
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
<p>{{ step['from'] }} → {{ step.to }}</p>
{%- endif %}
{{ plot(step, record) }}
<p><b>{{ signed(step.mean) }}</b> {{ bracket(step) }}
{%- if record.steps | length > 1 and step.interval %} <span class="{{ step.verdict }}">{{ marks[step.verdict] }}
{{ step.verdict }}</span>{% endif %}</p>
{%- endfor %}
{%- if record.effect %}
<p>
{%- if record.steps | length > 1 %}
<small>first to last {{ signed(record.effect.mean) }} {{ bracket(record.effect) }}</small>
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
    """A page of its own that needs no network; measured numbers lead to the scale's lineage page."""
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
        link=lambda artifact: f"../../{LINEAGE}#{anchor(artifact)}",
        width=WIDTH,
        height=HEIGHT,
    )
    return page(f"Claims of {found['title']} ({found['scale']})", content)
