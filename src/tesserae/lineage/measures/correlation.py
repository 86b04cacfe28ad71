"""Kind `correlation`: how numbers of some tokenizers go together."""

from collections.abc import Mapping
from typing import Any, Literal

from tesserae.lineage.measures.base import Measure


class Correlation(Measure):
    kind: Literal["correlation"] = "correlation"

    of: Literal["printed cells", "measured numbers"]
    level: float  # of intervals
    resamples: int | None = None  # of measured numbers: draws of tokenizers and of seeds

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        text = f"correlations of {record['of']}"
        if record.get("resamples"):
            text += f", {record['level']:.0%} intervals of {record['resamples']} draws of tokenizers and seeds"
        return text
