"""Kind `paths`: how real images stay on the lines between the tokens of two (CompTok's MC)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Paths(Measure):
    kind: Literal["paths"] = "paths"
    instrument: ClassVar[str] = "critic"
    instruments: ClassVar[str] = "critics"
    words: ClassVar[str] = "judged by the critic of {}"

    critic: str  # recipe of the tokenizer whose critic judges
    other_critic: str | None  # another one, of the numbers `..._other`; None where the scale has none
    encoder: str  # of the features of the numbers `..._features`
    reference: str  # the images
    samples: int  # pairs
    weights: str
    points: int
    drawing_steps: int  # of decoders that draw
    real_images: int  # that say where a critic's zero is

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return (
            f"{cls.named(record)}, pairs of images of {record['reference']}, nearest by {record['encoder']}"
            f"{counted(record)}, {record['points']} points; decoders that draw do so in {record['drawing_steps']} steps"
        )
