"""Numbers over seeds: a scale with K seeds makes every artifact K times, and what is shown is their mean and spread."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tesserae.config.seeds import of_seeds, seed_of
from tesserae.lineage import cells
from tesserae.lineage.measures.base import identity
from tesserae.reporting.tables import same_measure


class SeedError(ValueError):
    """Results that are not those of one recipe with several seeds."""


def folders(inputs: Mapping[str, Path], artifact: str, seeds: Sequence[int]) -> list[Path]:
    """Where an artifact lies, once for each of the seeds (from 1) that a job reads; nothing if it reads none."""
    return [inputs[name] for name in of_seeds(artifact, seeds) if name in inputs]


def numbers_of(artifacts: Iterable[str]) -> list[int]:
    """Which seed each of the artifacts is of, by its id."""
    return [seed_of(artifact)[1] for artifact in artifacts]


def over_seeds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One metrics.json for those of all seeds of a recipe: the mean of each value.

    Two more fields: "seeds", how many there are, and "sd" {name: sample standard deviation over them}, empty for one.
    "deviation", over the splits of one seed's samples, is kept for one seed only. "without", names of numbers that some
    seed could not measure -> why, where there are any: of these there is no mean. Fields of measure and selection in
    which seeds may differ (`cells.OWN`) become lists in the order of the seeds where they do. Raises TableError, naming
    the field, if measures differ in any other, SeedError if the values are not of the same names.
    """
    first = found[0]
    without = {name: why for metrics in reversed(found) for name, why in (metrics.get("without") or {}).items()}
    told = [metrics["values"].keys() | (metrics.get("without") or {}).keys() for metrics in found]
    if any(said != told[0] for said in told):
        raise SeedError(f"seeds measured different values: {[sorted(metrics['values']) for metrics in found]}")
    measures = [metrics["measure"] for metrics in found]
    same_measure(
        {f"seed {number}": _without_seed(measure) for number, measure in enumerate(measures, 1)}, where="one recipe"
    )
    names = [name for name in first["values"] if name not in without]
    joined = {name: cells.over_seeds([metrics["values"][name] for metrics in found]) for name in names}
    measure = _join(measures)
    same = all(metrics["measure_id"] == first["measure_id"] for metrics in found)
    return {
        "values": {name: summary.mean for name, summary in joined.items()},
        "sd": {name: summary.sd for name, summary in joined.items() if summary.sd is not None},
        "deviation": (first.get("deviation") or {}) if len(found) == 1 else {},
        "without": without,
        "seeds": len(found),
        "measure": measure,
        "measure_id": first["measure_id"] if same else identity(measure),
        "selection": first.get("selection") and _join([metrics["selection"] for metrics in found]),
    }


def spread(measured: Iterable[Mapping[str, Any] | None]) -> str:
    """What the reader of a figure must know of chance, given what `over_seeds` made of its numbers (None: not run)."""
    counts = sorted({metrics["seeds"] for metrics in measured if metrics is not None})
    if counts in ([], [1]):
        return "one seed: differences may be chance"
    return f"means over {' or '.join(map(str, counts))} seeds ± their sample standard deviation"


def _without_seed(measure: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in measure.items() if name != "seed"}


def _join(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first record, with a list of all values in each field of `cells.OWN` that is not the same in all."""
    joined = dict(records[0])
    for name in joined.keys() & set(cells.OWN):
        values = [record[name] for record in records]
        joined[name] = values[0] if all(value == values[0] for value in values) else values
    return joined
