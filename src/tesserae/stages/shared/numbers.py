"""metrics.json: the numbers of a stage, and how they were measured. The one place that writes it."""

from collections.abc import Mapping
from typing import Any

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.work import Work
from tesserae.stages.shared.files import write_json


def write_numbers(
    work: Work,
    values: Mapping[str, float],
    measure: Measure,
    *,
    deviation: Mapping[str, float] | None = None,
    selection: Mapping[str, Any] | None = None,
    without: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, float]:
    """Write metrics.json into the job's folder; returns the values, which are the job's own metrics.

    deviation: over the splits or subsets of one number, by its name, where there are any. selection: what a search
    chose for these numbers, and on which statistic. without: names of numbers that could not be measured, with the
    reason, which stands in their cells. more: what else the file holds, such as a histogram.
    """
    content = {
        "values": values,
        "deviation": deviation or {},
        "measure": measure.record(),
        "measure_id": measure.identity,
        "selection": selection,
    }
    content |= {"without": without} if without else {}
    write_json(work.out / "metrics.json", content | more)
    return dict(values)
