"""What a paper claims about its numbers, and what measured numbers say to that.

A claim is a plain dict: id, claim, where, relation, margin, holds_in_print, and `cells`, the (table, row, column) of
its numbers: left and right (lt, le, gt, ge), the rows of a series (increasing, decreasing), or all rows of a column,
of the column it is correlated with, and of its rival (stronger_correlation). One that studies measure, generator by
generator, has `studies` as well: study_claims.py. Every difference is signed so that
positive supports the claim, and is taken seed by seed. K seeds, n numbers that differ.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tesserae.lineage.cells import beats
from tesserae.lineage.measures.base import CHOSEN
from tesserae.lineage.measures.registry import MeasureError, kind_of
from tesserae.reporting import published as published_numbers
from tesserae.reporting import study_claims
from tesserae.reporting.study_claims import correlations
from tesserae.reporting.tables import same_measure
from tesserae.reporting.verdicts import LEVEL, MARKS, estimate, interval, judged, verdict

__all__ = ["LEVEL", "MARKS", "ClaimError", "correlations", "evaluate", "evaluate_all", "interval", "verdict"]

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


def _effect(relation: str, numbers: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """The whole of the steps (n,), and the number that makes it relative: right, first of a series, rival's |r|."""
    whole = [sum(parts) for parts in zip(*steps(relation, numbers), strict=True)]
    base = numbers[-1 if relation in ORDERS else 0]
    base = correlations(numbers)[1] if relation == "stronger_correlation" else base
    return whole, abs(statistics.fmean(base))


def evaluate(
    claim: Mapping[str, Any], cells: Mapping[tuple[str, str, str], Mapping[str, Any]], printed: "pd.DataFrame"
) -> dict[str, Any]:
    """The record of one claim: what was printed, what was measured, the effect, and a verdict with its reason.

    cells: (table, row, column) -> {"values": (K,), "artifacts": (K,), "measures": (K,)} in the order of the seeds, or
    {"reason": why there is no number}; "controls" as well where numbers have some. printed: from `published.load`.

    A cell of one number, or of K equal ones (released weights, a count), varies with no seed: it stands beside each
    seed's number of the others, and a claim about such cells alone has no interval. Nothing is corrected for the
    number of claims; a series needs every step, and one contradicted step contradicts it.

    Raises ClaimError for cells of different numbers of seeds, TableError for measures that differ within a column,
    PublishedError for a cell that the published file does not have.
    """
    relation, equal = claim["relation"], claim["relation"] in EQUAL
    keys = [tuple(key) for key in claim["cells"]]
    lines = [published_numbers.find(printed, *key) for key in keys]
    found_cells = [_cell(key, line, cells[key]) for key, line in zip(keys, lines, strict=True)]
    record: dict[str, Any] = {**claim, "cells": found_cells, "published": _published(relation, lines), "steps": []}
    record |= {"n": 0, "effect": None, "relative": None, "measure": _measured_alike(claim["id"], keys, cells)}
    if missing := [cell for cell in found_cells if cell["reason"]]:
        why = {cell["reason"]: None for cell in missing}
        named = [f"{reason} ({', '.join(_rows(missing, reason))})" for reason in why]
        return record | {"verdict": "not run", "reason": "; ".join(named)}
    numbers = _paired(claim["id"], found_cells)
    try:
        whole, base = _effect(relation, numbers)
        found = [estimate(differences, equal) for differences in steps(relation, numbers)]
    except statistics.StatisticsError:
        return record | {"verdict": "inconclusive", "reason": "a column does not vary: nothing correlates with it"}
    if relation == "stronger_correlation":
        record["correlations"] = correlations(numbers)
    else:
        labels = labels_of(found_cells)
        found = [step | {"from": a, "to": b} for step, a, b in zip(found, labels, labels[1:], strict=False)]
    effect = estimate(whole, equal)
    word, reason = judged(found, equal, seeds=max(len(cell["values"]) for cell in found_cells))
    reason += NOTHING_BEATS if _all_behind(found_cells, lines) else ""
    relative = effect["mean"] / base if base else None
    return record | {
        "n": len(whole),
        "steps": found,
        "effect": effect,
        "relative": relative,
        "verdict": word,
        "reason": reason,
    }


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
    return about | {"summary": summary(records), "claims": records}


def summary(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many records have each verdict."""
    found = [record["verdict"] for record in records]
    return {word: found.count(word) for word in MARKS}


def _cell(key: tuple[str, ...], line: "pd.Series", measured: Mapping[str, Any]) -> dict[str, Any]:
    values = [float(value) for value in measured.get("values", ())]
    place = dict(zip(("table", "row", "column"), key, strict=True))
    return place | {
        "printed": line["printed"],
        "values": values,
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
    (effect,), base = _effect(relation, [[float(line["value"])] for line in lines])
    return {"effect": effect, "relative": effect / base if base else None}


def _paired(name: str, cells: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """The cells' numbers (cells, n)."""
    # DECISION: numbers that are equal for all seeds to the last bit (released weights, a metric at its bound) count as
    # one: an interval of width nought would turn what was measured once into certainty.
    numbers = [cell["values"] if len(set(cell["values"])) > 1 else cell["values"][:1] for cell in cells]
    counts = sorted({len(values) for values in numbers} - {1})
    if len(counts) > 1:
        raise ClaimError(f"{name}: cells of {' and '.join(map(str, counts))} seeds cannot be paired")
    n = counts[0] if counts else 1
    return [values * n if len(values) == 1 else values for values in numbers]


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
