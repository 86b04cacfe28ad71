"""config/probes.yaml: probes in a paper's terms, and the sets of scenes that some of them look at. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tesserae.config.files import Name, Strict


class Probe(Strict):
    """A small Transformer on frozen tokens (COMiT, Table 6)."""

    task: Literal["classes", "pairs", "relations"]
    width: int = Field(gt=0)
    blocks: int = Field(gt=0)
    heads: int = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    batch: int = Field(gt=0, description="images")
    epochs: int = Field(gt=0, description="at most")
    patience: int = Field(gt=0, description="epochs without a better one before it stops")
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    precision: Literal["fp32", "bf16"]
    negatives: int | None = Field(None, gt=0, description="candidate triplets beside the right one; of relations")
    hard: int = Field(0, ge=0, description="of them, those with the same names, swapped or with another predicate")
    seed: int

    @model_validator(mode="after")
    def _possible(self) -> "Probe":
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} cannot be divided among {self.heads} heads")
        if (self.task == "relations") != (self.negatives is not None):
            raise ValueError("negatives: a probe of relations has some, and no other one has")
        if self.hard > (self.negatives or 0):
            raise ValueError(f"hard: {self.hard} of {self.negatives} negatives cannot have the same names")
        return self


class _Scenes(Strict):
    validation_fraction: float = Field(gt=0, lt=1, description="of the images")
    seed: int


class EmojiScenes(_Scenes):
    provider: Literal["emoji_pairs", "emoji_relations"]
    corpus: str = Field(description="the shipped file, below the repository")
    categories: Literal["group", "subgroup", "glyph"]
    kinds: int = Field(gt=2, description="categories, drawn by the seed")
    images: int = Field(gt=0, description="of both splits")


class CocoPairs(_Scenes):
    provider: Literal["coco_pairs"]
    root: str = Field(description="folder below data.root of config.yaml")
    expected_images: int = Field(
        gt=0, description="about how many there are, of both splits: costs are counted from it"
    )


class VisualGenomeRelations(_Scenes):
    provider: Literal["visual_genome_relations"]
    root: str = Field(description="folder below data.root of config.yaml")
    share: float = Field(ge=0, lt=1, description="of an image that both boxes fill at least")
    most_names: int = Field(gt=0)
    most_predicates: int = Field(gt=0)
    expected_images: int = Field(
        gt=0, description="about how many there are, of both splits: costs are counted from it"
    )


Scenes = Annotated[EmojiScenes | CocoPairs | VisualGenomeRelations, Field(discriminator="provider")]


class Probes(Strict):
    """config/probes.yaml."""

    probes: dict[Name, Probe]
    scenes: dict[Name, Scenes]

    @model_validator(mode="after")
    def _named(self) -> "Probes":
        for name in self.probes:
            if "-" in name or "." in name:
                raise ValueError(
                    f"probes.{name}: its name stands between hyphens in those of artifacts: write none in it"
                )
        return self


class ProbeScale(Strict):
    """How probes shrink. What is null stays the paper's."""

    data: dict[str, str] = Field({}, description="probe -> data set of datasets.yaml, or set of scenes of probes.yaml")
    encoder: Literal["minilm", "t5"] = Field("t5", description="of the phrases of relations")
    width: int | None = Field(None, gt=0)
    blocks: int | None = Field(None, gt=0)
    heads: int | None = Field(None, gt=0)
    batch: int | None = Field(None, gt=0)
    epochs: int | None = Field(None, gt=0)
    patience: int | None = Field(None, gt=0)
    lr: float | None = Field(None, gt=0)
    precision: Literal["fp32", "bf16"] | None = None
    negatives: int | None = Field(None, gt=0, description="of relations")
    hard: int | None = Field(None, ge=0, description="of relations")
    neighbours: int = Field(4, gt=0, description="of each image")
