"""Kind `features`: how well an autoencoder rebuilds the features of a frozen encoder."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Features(Measure):
    kind: Literal["features"] = "features"
    instrument: ClassVar[str] = "encoder"
    instruments: ClassVar[str] = "encoders"
    words: ClassVar[str] = "features of {}"

    encoder: str
    feature: str  # which of its features
    side: int  # of the images that it reads
    shape: str  # patches x channels
    samples: int
    held_out: str
    weights: str

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return f"{cls.named(record)} ({record['feature']}){counted(record)}"
