"""Kind `images`: numbers of sampled or reconstructed images through the features of a network (FID, IS, rFID, ...)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted, setting


class Images(Measure):
    kind: Literal["images"] = "images"
    instrument: ClassVar[str] = "extractor"
    instruments: ClassVar[str] = "feature extractors"
    words: ClassVar[str] = "extractor {}"

    extractor: str
    layer: str
    reference: str
    samples: int
    rounding: str
    splits: int
    weights: str | None = None
    # of reconstructed images
    latents: str | None = None
    prompt: str | None = None
    # of sampled images
    labels: str | None = None
    sampler: dict[str, Any] | None = None
    seed: int | None = None
    selection: dict[str, Any] | None = None
    guidance: float | None = None
    temperature: float | None = None
    precision_recall_reference: str | None = None
    neighbourhood: int | None = None

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        text = cls.named(record)
        text += f" (layer {record['layer']})" if "layer" in record else ""
        text += counted(record)
        for name in ("reference", "rounding", "seed"):
            text += f", {name} {setting(record[name])}" if name in record else ""
        return text
