"""Kind `task`: how well a fixed network does its task on images that a tokenizer encoded and decoded."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Task(Measure):
    kind: Literal["task"] = "task"
    instrument: ClassVar[str] = "task_network"
    instruments: ClassVar[str] = "task networks"
    words: ClassVar[str] = "{}"

    task_network: str  # not `network`, which is how it is set up: a number is held against settings of its field's name
    reference: str  # the original images, and what is right of them
    samples: int
    # of distances between sets of images
    disjoint: str | None = None  # other originals, as many
    extractor: str | None = None
    layer: str | None = None
    rounding: str | None = None
    latents: str | None = None  # of a control: what is left of an image
    prompt: Literal["constant"] | None = None  # of a tokenizer that reads one

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        text = f"{cls.named(record)}{counted(record)}, reference {record['reference']}"
        if "extractor" in record:
            text += (
                f"; rFID by {record['extractor']} (layer {record['layer']}), {record['rounding']}, against the "
                f"originals of the same images"
            )
        return text
