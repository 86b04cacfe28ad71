"""Kind `probe`: how well a small network reads something from the frozen tokens of an image."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Probe(Measure):
    kind: Literal["probe"] = "probe"
    instrument: ClassVar[str] = "probe"
    instruments: ClassVar[str] = "probes"
    words: ClassVar[str] = "{}"

    probe: str  # the network, and what it is asked
    reference: str  # the images
    samples: int
    chance: str  # percent of answers that are right without looking
    negatives: int | None = None  # of relations
    phrases: str | None = None  # of relations: the text encoder
    latents: str  # what stands for a token
    weights: str
    prompt: Literal["constant", "none"]  # of a tokenizer that reads one

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        text = f"{cls.named(record)}{counted(record)}, reference {record['reference']}, chance {record['chance']} %"
        if record.get("negatives"):
            text += f", {record['negatives']} negatives of each image, phrases by {record['phrases']}"
        return text
