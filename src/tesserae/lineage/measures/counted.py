"""Kind `counted`: numbers of a network's parts, which no image and no training changes."""

from collections.abc import Mapping
from typing import Any, Literal

from tesserae.lineage.measures.base import Measure


class Counted(Measure):
    kind: Literal["counted"] = "counted"

    counted: str  # what is counted, and on what

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return record["counted"]
