"""Claims that one number predicts better than another, where studies measure that: generator by generator.

A claim has `studies`, each with its `title` and either `reason`, why nothing was measured, or what the stage
`correlations` says of the claim's predictor: `tokenizers`, how many; `r` and `rival`, correlations with what is
predicted; `ahead`, |r| less |rival|, `interval`, if other tokenizers and seeds had been drawn, and `by_seed` (K,).
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tesserae.reporting import published as published_numbers
from tesserae.reporting.verdicts import judged, verdict

if TYPE_CHECKING:  # half a second that who only shows a table need not wait for
    import pandas as pd


def correlations(numbers: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Numbers (3 R, n) of column, against and rival over R rows -> |Pearson r| of column and of rival, each (n,)."""
    rows = len(numbers) // 3
    column, against, rival = (list(zip(*numbers[i * rows : (i + 1) * rows], strict=True)) for i in range(3))
    ours, theirs = (
        [abs(statistics.correlation(a, b)) for a, b in zip(one, against, strict=True)] for one in (column, rival)
    )
    return ours, theirs


def evaluate(claim: Mapping[str, Any], printed: "pd.DataFrame") -> dict[str, Any]:
    """The record of a claim that studies measure; as of claims.evaluate, with a step for each study.

    A step's interval is over draws of tokenizers and of seeds; with one seed there is none. What is printed is over
    the rows of the paper, whatever their generators. PublishedError for a cell that the published file does not have.
    """
    lines = [published_numbers.find(printed, *key) for key in claim["cells"]]
    cells = [_cell(key, line) for key, line in zip(claim["cells"], lines, strict=True)]
    record: dict[str, Any] = {**claim, "cells": cells, "published": _published(lines), "measure": ""}
    run = [study for study in claim["studies"] if not study.get("reason")]
    others = [f"{study['title']} ({study['reason']})" for study in claim["studies"] if study.get("reason")]
    if not run:
        nothing = {"steps": [], "n": 0, "effect": None, "relative": None}
        return record | nothing | {"verdict": "not run", "reason": "; ".join(others)}
    steps = [_step(study) for study in run]
    seeds = max(len(study["by_seed"]) for study in run)
    word, reason = judged(steps, False, seeds=seeds, called="studies")
    reason += "".join(
        f"; r = {study['r']:+.2f} of {study['title']} points the wrong way"
        for study in run
        if study["r"] * _helpful(lines) < 0
    )
    reason += f"; not run: {', '.join(others)}" if others else ""
    mean = statistics.fmean(step["mean"] for step in steps)
    base = statistics.fmean(abs(study["rival"]) for study in run)
    effect = steps[0] if len(steps) == 1 else {**steps[0], "mean": mean, "interval": None, "standardised": None}
    return record | {
        "steps": steps,
        "n": seeds,
        "effect": effect,
        "relative": mean / base if base else None,
        "verdict": word,
        "reason": reason,
    }


def _step(study: Mapping[str, Any]) -> dict[str, Any]:
    """How far |r| is ahead of the rival's in one study, as verdicts.estimate says differences."""
    several = len(study["by_seed"]) > 1
    bounds = tuple(study["interval"]) if several else None
    return {
        "label": study["title"],
        "differences": list(study["by_seed"]) or [study["ahead"]],
        "mean": study["ahead"],
        "sd": statistics.stdev(study["by_seed"]) if several else None,
        "interval": list(bounds) if bounds else None,
        "standardised": None,
        "verdict": verdict(bounds, False),
    }


def _helpful(lines: "Sequence[pd.Series]") -> int:
    """The sign of r with which the better of one number comes with the better of the other; 0 where neither is said."""
    signs = {"lower": -1, "higher": 1, "none": 0}
    column, against = lines[0], lines[len(lines) // 3]
    return signs[column["direction"]] * signs[against["direction"]]


def _cell(key: Sequence[str], line: "pd.Series") -> dict[str, Any]:
    """A printed number of which nothing is measured here: studies have rows of their own."""
    place = dict(zip(("table", "row", "column"), key, strict=True))
    nothing = {"values": [], "artifacts": [], "mean": None, "sd": None, "control": None, "reason": ""}
    return place | {"printed": line["printed"]} | nothing


def _published(lines: "Sequence[pd.Series]") -> dict[str, Any] | None:
    """The printed effect, None if some numbers are only plotted."""
    if not all(line["printed"] for line in lines):
        return None
    (own,), (rival,) = correlations([[float(line["value"])] for line in lines])
    return {"effect": own - rival, "relative": (own - rival) / rival if rival else None}


def shown(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lines of numbers to print beside such a claim, as of claims_files.shown: in print, and of each study."""
    cells = record["cells"]
    rows = len(cells) // 3
    column, against, rival = (cells[i * rows]["column"] for i in range(3))
    whole = all(cell["printed"] for cell in cells)
    printed = correlations([[float(cell["printed"])] for cell in cells]) if whole else None
    nothing = {"values": [], "artifacts": [], "mean": None, "sd": None, "reason": ""}
    lines = [
        nothing | {"label": f"|r| of {name} with {against}, {rows} rows", "printed": f"{r[0]:.3f}"}
        for name, r in zip((column, rival), printed or (), strict=False)
    ]
    for study in record["studies"]:
        many = "" if study.get("reason") else f", {study['tokenizers']:.0f} tokenizers"
        for name, key in ((column, "r"), (rival, "rival")):
            line = nothing | {"label": f"|r| of {name}, {study['title']}{many}", "printed": ""}
            if study.get("reason"):
                line["reason"] = study["reason"]
            else:
                line |= {"values": [abs(study[key])], "mean": abs(study[key]), "artifacts": [study["artifact"]]}
            lines.append(line)
    return lines
