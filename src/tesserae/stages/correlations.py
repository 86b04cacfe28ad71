"""Stage `correlations`: what numbers of tokenizers say beforehand of another number (CompTok, Tables 1 and 2).

Of the cells of a printed table, or of what this project measured; there of tokenizers with one and the same generator.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tesserae.correlating import AHEAD, KINDS, LEAST, RIVAL, TOLD, too_few
from tesserae.lineage.measures.correlation import Correlation
from tesserae.lineage.work import Work
from tesserae.metrics import correlation
from tesserae.reporting import published, seeds
from tesserae.reporting.tables import same_measure
from tesserae.stages.shared.files import read_json
from tesserae.stages.shared.numbers import write_numbers


class Row(NamedTuple):
    """A tokenizer, its kind (2D or 1D), and its numbers over K seeds, by key: `against` and each predictor."""

    name: str
    kind: str
    numbers: dict[str, list[float]]


@dataclass
class Told:
    """Numbers by name, and why others are not there."""

    values: dict[str, float] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)

    def put(self, names: Sequence[str], make: Callable[[], Sequence[float]]) -> None:
        """What `make` gives, or, for all of it, why there is nothing."""
        try:
            self.values |= {name: float(value) for name, value in zip(names, make(), strict=True)}
        except correlation.Unfit as why:
            self.without |= dict.fromkeys(names, str(why))


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json: for each predictor `<predictor>_<number>` (tesserae/correlating.py says which), and how many
    `tokenizers` there are.

    Beside the numbers stand `without`, why one is not there; `rows`, what was correlated; `left_out`, which tokenizers
    were not and why; `by_seed`, of each predictor how far |r| is ahead of the rival's in each seed.
    """
    spec = work.spec
    if "tokenizers" not in spec:
        measure = Correlation(of="printed cells", level=correlation.LEVEL)
        rows, left_out, units = _printed(work)
        told = told_of(rows, spec["predictors"])
        _tell_of_print(told, rows, units, work)
        return _write(work, told, measure, rows, left_out)
    measure = Correlation(of="measured numbers", level=correlation.LEVEL, resamples=spec["resamples"])
    if work.inputs:
        rows, left_out = _measured(work)
    else:  # too few: of these nothing is made for this alone
        rows, left_out = [Row(one["name"], one["kind"], {}) for one in spec["tokenizers"]], spec["left_out"]
    if len(rows) < LEAST:
        reasons = {*left_out.values()}
        why = reasons.pop() if not rows and len(reasons) == 1 else too_few(len(rows))
        told = Told({TOLD[0]: float(len(rows))}, dict.fromkeys(TOLD[1:], why))
        return _write(work, told, measure, rows, left_out)
    told = told_of(rows, spec["predictors"])
    by_seed = tell_of_others(told, rows, spec["predictors"], resamples=spec["resamples"], seed=spec["seed"])
    return _write(work, told, measure, rows, left_out, by_seed=by_seed)


def _write(
    work: Work, told: Told, measure: Correlation, rows: list[Row], left_out: Mapping[str, str], **more: Any
) -> dict[str, float]:
    shown = [row._asdict() for row in rows]
    return write_numbers(work, told.values, measure, without=told.without, rows=shown, left_out=left_out, **more)


# ---- what is correlated -----------------------------------------------------------------------------------------


def _measured(work: Work) -> tuple[list[Row], dict[str, str]]:
    """Numbers of the artifacts that the spec names, of all seeds, and why some tokenizers are left out.

    TableError where numbers of one column were measured in two ways.
    """
    spec, left_out = work.spec, dict(work.spec["left_out"])
    keys = ("against", *spec["predictors"])
    measures: dict[str, dict[str, Any]] = {key: {} for key in keys}
    rows = []
    for tokenizer in spec["tokenizers"]:
        numbers: dict[str, list[float]] = {}
        for key in keys:
            artifact, value = tokenizer["numbers"][key]
            said = [
                read_json(folder / "metrics.json") for folder in seeds.folders(work.inputs, artifact, spec["seeds"])
            ]
            measures[key][tokenizer["name"]] = seeds.over_seeds(said)["measure"]
            if missing := [one["without"][value] for one in said if value in one.get("without", {})]:
                left_out[tokenizer["name"]] = f"{artifact}: {missing[0]}"
            else:
                each = [one["values"][value] for one in said]
                numbers[key] = (
                    each if len(each) > 1 else each * len(spec["seeds"])
                )  # what no seed changes is there once
        if tokenizer["name"] not in left_out:
            rows.append(Row(tokenizer["name"], tokenizer["kind"], numbers))
    for key, found in measures.items():
        same_measure(found, where=f"{work.title}, {key}", but=spec["varies"])
    return rows, left_out


def _printed(work: Work) -> tuple[list[Row], dict[str, str], dict[str, np.ndarray]]:
    """The rows of a table that have all numbers in print, why others are left out, and by key the units (n,) to which
    the numbers are rounded.
    """
    spec = work.spec
    lines = published.load(work.sources["published"]).to_dict("records")
    inside = [line for line in lines if line["table"] == spec["table"] and line["printed"]]
    cells = {(line["row"], line["column"]): line for line in inside}
    columns = {"against": spec["against"], **spec["predictors"]}
    rows, left_out, units = [], {}, []
    for name in dict.fromkeys(line["row"] for line in inside):
        missing = [column for column in columns.values() if (name, column) not in cells]
        if not missing:
            found = {key: cells[name, column] for key, column in columns.items()}
            group = found["against"]["group"]
            kind = next((kind for kind in KINDS.values() if group.startswith(kind)), group)
            rows.append(Row(name, kind, {key: [line["value"]] for key, line in found.items()}))
            units.append({key: unit_of(line["printed"]) for key, line in found.items()})
        elif len(missing) < len(columns):
            left_out[name] = f"no {', '.join(missing)} in print"
    return rows, left_out, {key: np.array([each[key] for each in units]) for key in columns}


def unit_of(printed: str) -> float:
    """To what a printed number is rounded: 0.01 of "0.70"."""
    return 10.0 ** -len(printed.partition(".")[2])


# ---- what is told of it -----------------------------------------------------------------------------------------


def told_of(rows: Sequence[Row], predictors: Iterable[str]) -> Told:
    """Of means over seeds of LEAST tokenizers at least: what is told of printed and of measured numbers alike."""
    told, kinds = Told({TOLD[0]: float(len(rows))}), [row.kind for row in rows]
    for key in predictors:
        x, y = _means(rows, key), _means(rows, "against")
        told.put([f"{key}_pearson", f"{key}_p"], lambda x=x, y=y: correlation.pearson(x, y))
        told.put([f"{key}_spearman"], lambda x=x, y=y: correlation.spearman(x, y)[:1])
        told.put([f"{key}_fewer_low", f"{key}_fewer_high"], lambda x=x, y=y: correlation.leave_one_out(x, y))
        told.put([f"{key}_centred"], lambda x=x, y=y: [correlation.centred(x, y, kinds)])
        for kind in KINDS.values():
            inside = np.array([one == kind for one in kinds], dtype=bool)
            told.put(
                [f"{key}_in_{kind.lower()}"],
                lambda x=x, y=y, inside=inside: correlation.pearson(x[inside], y[inside])[:1],
            )
    return told


def tell_of_others(
    told: Told, rows: Sequence[Row], predictors: Collection[str], *, resamples: int, seed: int
) -> dict[str, list[float]]:
    """Add what r would be of other tokenizers and other seeds, and how far |r| is ahead of the rival's.

    Returns the latter for each seed alone, by predictor; of a predictor without it nothing.
    """
    against, drawn = _by_seed(rows, "against"), {}

    def draws(key: str) -> np.ndarray:
        """With the same seed the same tokenizers and seeds are drawn of every predictor."""
        if key not in drawn:
            found = correlation.resampled({key: _by_seed(rows, key)}, against, resamples=resamples, seed=seed)
            drawn.update(found)
        return drawn[key]

    by_seed: dict[str, list[float]] = {}
    for key in predictors:
        told.put([f"{key}_low", f"{key}_high"], lambda key=key: correlation.bounds(draws(key)))
        if key == RIVAL or RIVAL not in predictors:
            continue
        told.put(
            [f"{key}_{name}" for name in AHEAD],
            lambda key=key: (
                _ahead(*(_means(rows, name) for name in (key, RIVAL, "against"))),
                *correlation.bounds(np.abs(draws(key)) - np.abs(draws(RIVAL))),
            ),
        )
        each = zip(*(_by_seed(rows, name).T for name in (key, RIVAL, "against")), strict=True)
        with suppress(correlation.Unfit):
            by_seed[key] = [_ahead(*columns) for columns in each]
    return by_seed


def _ahead(own: np.ndarray, rival: np.ndarray, against: np.ndarray) -> float:
    """|r| of a predictor less that of its rival, all (n,)."""
    return abs(correlation.pearson(own, against).r) - abs(correlation.pearson(rival, against).r)


def _tell_of_print(told: Told, rows: Sequence[Row], units: Mapping[str, np.ndarray], work: Work) -> None:
    """Add r as it is printed, and which r the rounding of the cells leaves possible."""
    frame = published.load(work.sources["published"])
    for key in work.spec["predictors"]:
        if key in work.spec["r"]:
            told.values[f"{key}_printed"] = published.lookup(frame, work.spec["table"], *work.spec["r"][key])
        else:
            told.without[f"{key}_printed"] = "not in print"
        x, y = _means(rows, key), _means(rows, "against")
        told.put(
            [f"{key}_rounded_low", f"{key}_rounded_high"],
            lambda x=x, y=y, key=key: correlation.within_rounding(x, y, units[key], units["against"]),
        )


def _by_seed(rows: Sequence[Row], key: str) -> np.ndarray:
    """(n, K)."""
    return np.array([row.numbers[key] for row in rows], dtype=float)


def _means(rows: Sequence[Row], key: str) -> np.ndarray:
    """Over seeds: (n,)."""
    return _by_seed(rows, key).mean(axis=1)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("correlations")
