"""Kind `concepts`: numbers of the concepts that a sparse autoencoder finds in images (ConceptTok)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Concepts(Measure):
    kind: Literal["concepts"] = "concepts"
    instrument: ClassVar[str] = "concept_set"
    instruments: ClassVar[str] = "sets of concepts"
    words: ClassVar[str] = "concepts of {}"

    concept_set: str  # the artifact that says which concepts an image has
    reference: str
    samples: int
    weights: str
    prompt: Literal["given", "none"]  # whether the tokenizer read one
    # of the concepts that a tokenizer names
    concepts: int | None = None
    # of images found by concept
    frequency: list[float] | None = None
    first: int | None = None
    # of clusters of latents
    clusters: int | None = None
    components: int | None = None

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return f"{cls.named(record)}{counted(record)}, reference {record['reference']}"
