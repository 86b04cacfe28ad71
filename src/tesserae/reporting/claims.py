"""What a paper claims about its numbers, and what measured numbers say to that.

A claim is a plain dict: id, claim, where, relation, margin, holds_in_print, absent_within, absent_below, and `cells`,
the (table, row, column) of its numbers: left and right (lt, le, gt, ge), the rows of a series (increasing, decreasing),
or all rows of a column, of the column it is correlated with, and of its rival (stronger_correlation). One that studies
measure, generator by generator, has `studies` as well: study_claims.py. Every difference is signed so that positive
supports the claim, and is taken seed by seed. K seeds, n of them by which a claim is judged (sequential.py).
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tesserae.lineage.cells import beats
from tesserae.lineage.measures.base import CHOSEN
from tesserae.lineage.measures.registry import MeasureError, kind_of
from tesserae.reporting import published as published_numbers
from tesserae.reporting import study_claims
from tesserae.reporting.sequential import ERROR, look
from tesserae.reporting.study_claims import correlations
from tesserae.reporting.tables import same_measure
from tesserae.reporting.verdicts import (
    MARKS,
    bound_of,
    estimate,
    holm,
    judged,
    of_size,
    p_of,
    p_within,
    relative_bounds,
)

__all__ = ["MARKS", "ClaimError", "correlations", "evaluate", "evaluate_all"]

if TYPE_CHECKING:  # half a second that who only shows a table need not wait for
    import pandas as pd

FULL = ("paper", "released")  # scales whose numbers may be held against the paper's own
SIGNS = {"lt": 1, "le": 1, "increasing": 1, "gt": -1, "ge": -1, "decreasing": -1}  # of (next - previous)
ORDERS = ("lt", "le", "gt", "ge")
NOTHING_BEATS = "; none of its numbers beats its control, so that they carry no information"
EQUAL = ("le", "ge")  # here no difference supports the claim


class ClaimError(ValueError):
    """Numbers that cannot be set against a claim."""


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


def _effect(relation: str, numbers: Sequence[Sequence[float]]) -> tuple[list[float], Sequence[float]]:
    """The whole of the steps (n,), and the numbers (n,) that make it relative: right, a series' first, rival's |r|."""
    whole = [sum(parts) for parts in zip(*steps(relation, numbers), strict=True)]
    base = numbers[-1 if relation in ORDERS else 0]
    return whole, correlations(numbers)[1] if relation == "stronger_correlation" else base


def evaluate(
    claim: Mapping[str, Any], cells: Mapping[tuple[str, str, str], Mapping[str, Any]], printed: "pd.DataFrame"
) -> dict[str, Any]:
    """The record of one claim: what was printed, what was measured, the effect, and a verdict with its reason.

    cells: (table, row, column) -> {"values": (K,), "seeds": (K,), "artifacts": (K,), "measures": (K,)}, or {"reason":
    why there is no number}; "controls" as well where numbers have some. Without "seeds", one number is one that no seed
    changes, and several are those of the seeds from 1. printed: from `published.load`.

    A claim is judged by the seeds that all of its numbers have, and of these by the first ones up to a look. A cell
    that no seed changes, or of equal numbers (released weights, a count), stands beside each seed's number of the
    others, and a claim about such cells alone has no interval. A series needs every step, and one contradicted step
    contradicts it. Cells that share no seed, as when a scale was run in part, say nothing of each other yet: not run.

    Raises TableError for measures that differ within a column, PublishedError for a cell that the published file does
    not have.
    """
    relation, equal = claim["relation"], claim["relation"] in EQUAL
    keys = [tuple(key) for key in claim["cells"]]
    lines = [published_numbers.find(printed, *key) for key in keys]
    found_cells = [_cell(key, line, cells[key]) for key, line in zip(keys, lines, strict=True)]
    record: dict[str, Any] = {**claim, "cells": found_cells, "published": _published(relation, lines)}
    record |= study_claims.NOTHING | {"measure": _measured_alike(claim["id"], keys, cells)}
    if missing := [cell for cell in found_cells if cell["reason"]]:
        why = {cell["reason"]: None for cell in missing}
        named = [f"{reason} ({', '.join(_rows(missing, reason))})" for reason in why]
        return record | {"verdict": "not run", "reason": "; ".join(named)}
    seeds = _seeds_of_all(found_cells)
    if not seeds and any(cell["seeds"] for cell in found_cells):
        return record | {"verdict": "not run", "reason": "its numbers have no seed in common"}
    numbers = _paired(found_cells, seeds)
    shared = len(seeds) or 1  # by so many it could be judged
    at = look(shared) or shared
    # DECISION: numbers that are equal for all seeds to the last bit (released weights, a metric at its bound) count as
    # one: an interval of width nought would turn what was measured once into certainty.
    alike = all(len(set(values)) == 1 for values in numbers)
    numbers = [values[: 1 if alike else at] for values in numbers]
    record |= {"n": len(numbers[0]), "seeds": seeds[: len(numbers[0])]}
    if relation == "stronger_correlation":
        record |= study_claims.of_rows(record, numbers, shared)
    else:
        record |= _judge(record, numbers, shared, lines, equal)
    unused = "" if alike or at == shared else f"; judged by {at} of {shared} seeds, as far as its last look"
    behind = NOTHING_BEATS if _all_behind(found_cells, lines) else ""
    return record | {"reason": record["reason"] + unused + behind}


def _judge(
    record: Mapping[str, Any],
    numbers: Sequence[Sequence[float]],
    shared: int,
    lines: "Sequence[pd.Series]",
    equal: bool,
) -> dict[str, Any]:
    """Of an order or a series: steps, effect, trend, and the verdict with its reason and its p value.

    shared: how many seeds all numbers have.
    """
    relation, labels = record["relation"], labels_of(record["cells"])
    printed = [[float(line["value"])] for line in lines] if record["published"] else None
    in_print = [step for (step,) in steps(relation, printed)] if printed else [None] * (len(labels) - 1)
    apart = steps(relation, numbers)
    found = [
        estimate(differences, equal, among=len(apart)) | {"from": a, "to": b, "published": step}
        for differences, a, b, step in zip(apart, labels, labels[1:], in_print, strict=False)
    ]
    whole, base = _effect(relation, numbers)
    effect, mean = estimate(whole, equal), abs(statistics.fmean(base))
    word, reason = judged(found, equal, seeds=shared)
    told = {
        "steps": found,
        "effect": effect,
        "relative": effect["mean"] / mean if mean else None,
        "trend": _trend(relation, numbers, printed) if len(numbers) > 2 else None,
        "verdict": word,
        "reason": reason,
        "p": p_of(found),
    }
    bound = bound_of(record)
    if effect["interval"] is None or not mean:
        return told
    between = relative_bounds(whole, base)
    told["relative_interval"] = list(between) if between else None
    if bound is None:
        return told
    p = p_within(whole, base, bound)
    small = between is not None and -bound < between[0] and between[1] < bound
    return told | of_size({**record, **told}, bound=bound, reach=bound * mean, p=p, small=small)


def _trend(
    relation: str, numbers: Sequence[Sequence[float]], printed: Sequence[Sequence[float]] | None
) -> dict[str, Any]:
    """Of a series (cells, n): the slope over the order of its rows by least squares, per step, with interval and p.

    A straight line through all rows: steps that are each too small to tell add up in it, and a step back weighs as much
    as one on. `published` is that of the printed numbers.
    """

    def slopes(series: Sequence[Sequence[float]]) -> list[float]:
        places = [place - (len(series) - 1) / 2 for place in range(len(series))]
        weights = [SIGNS[relation] * place / sum(place * place for place in places) for place in places]
        return [sum(w * x for w, x in zip(weights, seed, strict=True)) for seed in zip(*series, strict=True)]

    found = estimate(slopes(numbers), False)
    return found | {"p": p_of([found]), "published": slopes(printed)[0] if printed else None}


def _all_behind(cells: Sequence[Mapping[str, Any]], lines: "Sequence[pd.Series]") -> bool:
    """Whether every number has a control and does not beat it. It changes no verdict, and a reader must know it."""
    return all(
        cell["control"] is not None and not beats(cell["mean"], cell["control"], line["direction"])
        for cell, line in zip(cells, lines, strict=True)
    )


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
    records = [
        study_claims.evaluate(claim, printed) if "studies" in claim else evaluate(claim, cells, printed)
        for claim in claims
    ]
    about = {"paper": paper, "title": title, "scale": scale, "seeds": list(seeds)}
    records = after_holm(records)
    kept = counts(record["holm"]["verdict"] if record["holm"] else record["verdict"] for record in records)
    return about | {"summary": counts(record["verdict"] for record in records), "after_holm": kept, "claims": records}


def counts(verdicts: Iterable[str]) -> dict[str, int]:
    """How many claims have each verdict."""
    found = list(verdicts)
    return {word: found.count(word) for word in MARKS}


def after_holm(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records, each with `holm`: the p value of its verdict and the verdict that stays, adjusted for all of them.

    None for those without a p value, of which none was tested. Of all verdicts that stay, not one is wrong with a
    chance of 95 %, however often one looked.
    """
    records = list(records)
    tested = [place for place, record in enumerate(records) if record["p"] is not None]
    adjusted = dict(zip(tested, holm([records[place]["p"] for place in tested]), strict=True))
    return [
        {**record, "holm": _kept(record["verdict"], adjusted[place]) if place in adjusted else None}
        for place, record in enumerate(records)
    ]


def _kept(word: str, p: float) -> dict[str, Any]:
    return {"p": p, "verdict": word if p <= ERROR else "inconclusive"}


def _cell(key: tuple[str, ...], line: "pd.Series", measured: Mapping[str, Any]) -> dict[str, Any]:
    values = [float(value) for value in measured.get("values", ())]
    place = dict(zip(("table", "row", "column"), key, strict=True))
    return place | {
        "printed": line["printed"],
        "values": values,
        "seeds": measured.get("seeds", list(range(1, len(values) + 1)) if len(values) > 1 else None),
        "artifacts": list(measured.get("artifacts", ())),
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "control": statistics.fmean(measured["controls"]) if measured.get("controls") else None,
        "reason": "" if values else measured["reason"],
    }


def _published(relation: str, lines: "Sequence[pd.Series]") -> dict[str, Any] | None:
    """Effect and relative effect of the printed numbers, signed as measured ones; None if some are only plotted."""
    if not all(line["printed"] for line in lines):
        return None
    (effect,), (base,) = _effect(relation, [[float(line["value"])] for line in lines])
    return {"effect": effect, "relative": effect / abs(base) if base else None}


def _seeds_of_all(cells: Sequence[Mapping[str, Any]]) -> list[int]:
    """The seeds that all of the cells have that any seed changes."""
    of_seeds = [set(cell["seeds"]) for cell in cells if cell["seeds"]]
    return sorted(set.intersection(*of_seeds)) if of_seeds else []


def _paired(cells: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[list[float]]:
    """The cells' numbers (cells, n) of n seeds; (cells, 1) without any."""
    return [
        [dict(zip(cell["seeds"], cell["values"], strict=True))[seed] for seed in seeds]
        if cell["seeds"]
        else cell["values"] * (len(seeds) or 1)
        for cell in cells
    ]


def _measured_alike(name: str, keys: Sequence[tuple], cells: Mapping[tuple, Mapping[str, Any]]) -> str:
    """With what the numbers were measured, e.g. "extractor embedded, 500 samples"; those of a column must agree."""
    sampled = {"sampler", "selection", "seed", *CHOSEN}  # may differ: how each generator is sampled at its best
    texts, columns = {}, {}
    for key in keys:
        for number, measure in enumerate(cells[key].get("measures", ()), start=1):
            apart = sampled | {*cells[key].get("varies", ())}
            shared = {field: value for field, value in measure.items() if field not in apart}
            columns.setdefault(key[2], {})[f"{key[1]}, seed {number}"] = shared
            try:
                instrument = kind_of(measure).named(measure)
            except MeasureError as error:
                raise ClaimError(f"claim {name}, {', '.join(key)}: {error}") from None
            samples = f"{measure['samples']} samples" if "samples" in measure else ""
            texts[", ".join(filter(None, (instrument, samples)))] = None
    for column, measures in columns.items():
        same_measure(measures, where=f"claim {name}, column {column!r}")
    return " / ".join(filter(None, texts))


def _rows(cells: Sequence[Mapping[str, Any]], reason: str) -> list[str]:
    return list(dict.fromkeys(cell["row"] for cell in cells if cell["reason"] == reason))


def labels_of(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells the cells apart: the row, and table and column where they differ."""
    parts = [part for part in ("table", "row", "column") if part == "row" or len({cell[part] for cell in cells}) > 1]
    return [", ".join(cell[part] for part in parts) for cell in cells]
