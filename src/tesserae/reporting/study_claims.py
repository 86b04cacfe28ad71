"""Claims that one number predicts better than another, over rows of a table or in studies, generator by generator.

The interval of how far |r| is ahead of the rival's is over draws of tokenizers and of seeds together, with replacement
(metrics/correlation.py): with other tokenizers, r would be another. A claim that studies measure has `studies`, each
with its `title` and either `reason`, why nothing was measured, or what the stage `correlations` says of the claim's
predictor: `tokenizers`, how many; `r` and `rival`, correlations with what is predicted; `ahead`, |r| less |rival|;
`by_seed`, that of each seed (K,), and `numbers`: those of column, against and rival, each (tokenizers, K).
"""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tesserae.correlating import LEAST, too_few
from tesserae.metrics.correlation import Unfit, resampled
from tesserae.reporting import published as published_numbers
from tesserae.reporting.sequential import ERROR, level, look
from tesserae.reporting.verdicts import bound_of, judged, of_draws, of_size, p_of, p_of_draws, quantile_of

if TYPE_CHECKING:  # half a second that who only shows a table need not wait for
    import pandas as pd

# What a claim has of which nothing was measured.
NOTHING = {"steps": [], "n": 0, "seeds": [], "effect": None, "relative": None, "relative_interval": None}
NOTHING |= {"absent": None, "small": False, "trend": None, "p": None}
RESAMPLES = 10_000  # the second digit of an interval's ends stays


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

    With too few seeds there is no interval. What is printed is over the rows of the paper, whatever their generators.
    PublishedError for a cell that the published file does not have.
    """
    lines = [published_numbers.find(printed, *key) for key in claim["cells"]]
    cells = [_cell(key, line) for key, line in zip(claim["cells"], lines, strict=True)]
    record: dict[str, Any] = {**claim, "cells": cells, "published": _published(lines), "measure": ""} | NOTHING
    run = [study for study in claim["studies"] if not study.get("reason")]
    others = [f"{study['title']} ({study['reason']})" for study in claim["studies"] if study.get("reason")]
    record["studies"] = [{key: study[key] for key in study if key != "numbers"} for study in claim["studies"]]
    if not run:
        return record | {"verdict": "not run", "reason": "; ".join(others)}
    columns = [[np.asarray(each, dtype=float) for each in study["numbers"]] for study in run]
    shared = min(column.shape[1] for three in columns for column in three)
    at = look(shared)
    n = at or shared
    steps, drawn = [], []
    for study, three in zip(run, columns, strict=True):
        some = [column[:, :n] for column in three]
        ahead, draws = study["ahead"], None
        with suppress(statistics.StatisticsError, Unfit):  # then this study has no interval
            (own,), (rival,) = correlations([[value] for column in some for value in column.mean(axis=1).tolist()])
            ahead, draws = own - rival, _draws(some) if at else None
        step = of_draws(draws, ahead, study["by_seed"][:n], at, among=len(run))
        steps.append(step | {"label": study["title"]})
        drawn.append(draws)
    record |= {"n": n, "seeds": list(range(1, n + 1))}
    word, reason = judged(steps, False, seeds=shared, called="studies")
    mean = statistics.fmean(step["mean"] for step in steps)
    base = statistics.fmean(abs(study["rival"]) for study in run)
    effect = steps[0] if len(steps) == 1 else {**steps[0], "mean": mean, "interval": None, "standardised": None}
    record |= {
        "steps": steps,
        "effect": effect,
        "relative": mean / base if base else None,
        "verdict": word,
        "reason": reason,
        "p": p_of(steps),
    }
    if record["p"] is not None:
        record |= _size(record, drawn, at)
    unused = f"; judged by {n} of {shared} seeds, as far as its last look" if n < shared else ""
    wrong = "".join(
        f"; r = {study['r']:+.2f} of {study['title']} points the wrong way"
        for study in run
        if study["r"] * _helpful(lines) < 0
    )
    not_run = f"; not run: {', '.join(others)}" if others else ""
    return record | {"reason": record["reason"] + unused + wrong + not_run}


def of_rows(record: Mapping[str, Any], numbers: Sequence[Sequence[float]], shared: int) -> dict[str, Any]:
    """Of a claim over rows of a table, numbers (3 R, n): correlations by seed, effect, verdict, reason and p value.

    shared: how many seeds all numbers have.
    """
    count, n = len(numbers) // 3, len(numbers[0])
    three = [np.asarray(numbers[place * count : (place + 1) * count], dtype=float) for place in range(3)]
    at = look(n) if count >= LEAST else None
    try:
        ours, theirs = correlations(numbers)
        (own,), (rival,) = correlations([[statistics.fmean(values)] for values in numbers])
        draws = _draws(three) if at else None
    except (statistics.StatisticsError, Unfit):
        return {"verdict": "inconclusive", "reason": "a column does not vary: nothing correlates with it"}
    step = of_draws(draws, own - rival, [a - b for a, b in zip(ours, theirs, strict=True)], at)
    word, reason = judged([step], False, seeds=shared)
    told = {
        "correlations": (ours, theirs),
        "steps": [step],
        "effect": step,
        "relative": (own - rival) / rival if rival else None,
        "verdict": word,
        "reason": reason if count >= LEAST else f"rows with numbers: {too_few(count)} for an interval",
        "p": p_of([step]),
    }
    return told | _size({**record, **told}, [draws], at) if at else told


def _draws(three: Sequence[np.ndarray]) -> np.ndarray:
    """How far |r| of a column is ahead of the rival's in draws of tokenizers and seeds: (RESAMPLES,).

    three: column, against, rival, each (tokenizers, n). Unfit for too few tokenizers, or where one does not vary.
    """
    column, against, rival = three
    found = resampled({"own": column, "rival": rival}, against, resamples=RESAMPLES, seed=0)
    ahead = np.abs(found["own"]) - np.abs(found["rival"])
    if not np.isfinite(ahead).any():
        raise Unfit("no draw varies")
    return ahead


def _size(record: Mapping[str, Any], drawn: Sequence[np.ndarray | None], at: int) -> dict[str, Any]:
    """`of_size` of correlations: in every study the draws (R,) have to lie within ± bound; none is sure without any."""
    bound = bound_of(record)
    if bound is None:
        return {}
    if any(one is None for one in drawn):
        return of_size(record, bound=bound, reach=bound, p=1.0, small=False)
    share = level(at, ERROR)
    small = all(-bound < quantile_of(one, share) and quantile_of(one, 1 - share) < bound for one in drawn)
    p = max(p_of_draws(at, bound + side * one) for one in drawn for side in (1, -1))
    return of_size(record, bound=bound, reach=bound, p=p, small=small)


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
