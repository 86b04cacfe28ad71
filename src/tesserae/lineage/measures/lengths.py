"""Kind `lengths`: how many tokens images take, counted on a set of images."""

from collections.abc import Mapping
from typing import Any, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Lengths(Measure):
    kind: Literal["lengths"] = "lengths"

    reference: str  # the images
    samples: int
    weights: str
    prompt: Literal["given", "none"]  # whether the tokenizer read one

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return f"tokens of images of {record['reference']}{counted(record)}"
