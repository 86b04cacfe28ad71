"""Kind `mixtures`: images in which tokens of another one take the place of their own (CompTok, Figs. 3 to 8)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Mixtures(Measure):
    kind: Literal["mixtures"] = "mixtures"
    instrument: ClassVar[str] = "critic"
    instruments: ClassVar[str] = "critics"
    words: ClassVar[str] = "judged by the critic of {}"

    critic: str  # recipe of the tokenizer whose critic judges
    encoder: str  # of the features by which a picture is like an image
    reference: str  # the images
    samples: int  # pairs
    sensitivity_pairs: int  # of which one token after another is replaced
    weights: str
    columns: int  # of a row from no token to all
    drawing_steps: int  # of decoders that draw
    real_images: int  # that say where the critic's zero is

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return (
            f"{cls.named(record)}, alike by {record['encoder']}, pairs of images of {record['reference']}"
            f"{counted(record)}, {record['columns']} columns; single tokens in {record['sensitivity_pairs']} pairs; "
            f"decoders that draw do so in {record['drawing_steps']} steps"
        )
