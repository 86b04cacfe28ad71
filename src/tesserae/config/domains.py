"""config/domains.yaml: domains that tokenizers were not trained on, their tasks, and the networks that answer them.

CompTok, Table 2. Imports no torch.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tesserae.config.files import Name, Strict

READERS = ("parseq", "small_reader")  # networks of words; the others answer for pixels


class TaskTraining(Strict):
    """On original images, with AdamW; its rate rises over the first twentieth of the updates and falls as a cosine."""

    epochs: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0, description="instead of epochs: updates")
    batch: int = Field(gt=0, description="images")
    lr: float = Field(gt=0, description="at its peak")
    weight_decay: float = Field(ge=0)
    flips: bool = Field(description="whether half of the images are mirrored left to right, with their masks")
    precision: Literal["fp32", "bf16"]
    seed: int

    @model_validator(mode="after")
    def _one_length(self) -> "TaskTraining":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("say either how many epochs or how many steps")
        return self


class UNet(Strict):
    """A ResNet of timm with ImageNet's weights, and a decoder that grows its features back with all that it passed."""

    kind: Literal["unet"]
    encoder: str = Field(description="name of timm's network")
    weights: str = Field(description="file of the encoder's published weights, below $TESSERAE_WEIGHTS")
    widths: list[Annotated[int, Field(gt=0)]] = Field(min_length=2, description="of the decoder's levels, small first")
    training: TaskTraining


class SmallUNet(Strict):
    """Convolutions at three resolutions."""

    kind: Literal["small_unet"]
    widths: list[Annotated[int, Field(gt=0)]] = Field(min_length=3, max_length=3, description="full resolution first")
    training: TaskTraining


class Parseq(Strict):
    """PARSeq as published (arXiv 2207.06966); nothing of it is trained here."""

    kind: Literal["parseq"]
    weights: str = Field(description="file of the published weights, below $TESSERAE_WEIGHTS")


class SmallReader(Strict):
    """Convolutions and connectionist temporal classification."""

    kind: Literal["small_reader"]
    height: int = Field(ge=8, multiple_of=8, description="pixels to which a word's box is resized")
    width: int = Field(ge=8, multiple_of=2, description="likewise; there are half as many places for letters")
    widths: list[Annotated[int, Field(gt=0)]] = Field(min_length=3, max_length=3)
    training: TaskTraining

    @model_validator(mode="after")
    def _upright(self) -> "SmallReader":
        if self.training.flips:
            raise ValueError("training.flips: a mirrored word is none")
        return self


Network = Annotated[UNet | SmallUNet | Parseq | SmallReader, Field(discriminator="kind")]


class Domain(Strict):
    task: Literal["pixels", "region", "words"] = Field(
        description="pixels: the class of each; region: the pixels of one kind of thing; words: what is written"
    )
    network: Network = Field(description="that answers; fixed, and trained on original images alone")

    @model_validator(mode="after")
    def _fits(self) -> "Domain":
        if problem := unfit(self.task, self.network):
            raise ValueError(f"network: {problem}")
        return self


def unfit(task: str, network: Network) -> str | None:
    """Why a network cannot answer a task; None if it can."""
    if (task == "words") == (network.kind in READERS):
        return None
    known = READERS if task == "words" else ("unet", "small_unet")
    return f"{network.kind} does not answer a task of {task}: {' and '.join(known)} do"


class _Set(Strict):
    train_images: int = Field(gt=0, description="from which the network learns; as many of them as `val` are compared")
    val_images: int = Field(gt=0, description="that are scored")
    seed: int

    @model_validator(mode="after")
    def _enough(self) -> "_Set":
        if self.train_images < self.val_images:
            raise ValueError(
                f"train_images: {self.train_images} are fewer than val_images, {self.val_images}: as many training "
                "images are needed for the distance between two sets of originals"
            )
        return self


class _OfGlyphs(_Set):
    corpus: str = Field(description="the shipped file, below the repository")
    validation_fraction: float = Field(gt=0, lt=1, description="of the glyphs")


class EmojiLand(_OfGlyphs):
    provider: Literal["emoji_land"]
    groups: list[str] = Field(min_length=1, description="of glyphs; each is a class, and the background is one")
    glyphs: int = Field(gt=0, description="in an image")


class EmojiShapes(_OfGlyphs):
    provider: Literal["emoji_shapes"]
    empty: float = Field(ge=0, lt=1, description="share of images that show nothing")


class DrawnWords(_Set):
    provider: Literal["drawn_words"]
    lengths: list[int] = Field(
        min_length=2, max_length=2, description="of the shortest and the longest words, in letters"
    )

    @model_validator(mode="after")
    def _words(self) -> "DrawnWords":
        if not 0 < self.lengths[0] <= self.lengths[1]:
            raise ValueError(f"lengths: {self.lengths} is no range of lengths")
        return self


class _OfFiles(_Set):
    root: str = Field(description="folder below data.root of config.yaml")
    counts: dict[str, int] = Field(description="published numbers of the whole set")


class DeepGlobeTiles(_OfFiles):
    provider: Literal["deepglobe_tiles"]
    tile: int = Field(gt=0, description="side of a tile, in pixels of the files")


class ChestXDet(_OfFiles):
    provider: Literal["chestx_det"]


class TextOcrWords(_OfFiles):
    provider: Literal["textocr_words"]
    height: float = Field(gt=0, description="of a word's box at least, in pixels of the files")
    letters: int = Field(gt=0, description="of a word at least, digits included")


DomainSet = Annotated[
    EmojiLand | EmojiShapes | DrawnWords | DeepGlobeTiles | ChestXDet | TextOcrWords, Field(discriminator="provider")
]
TASKS = {  # provider -> what its images can be asked
    "emoji_land": "pixels",
    "deepglobe_tiles": "pixels",
    "emoji_shapes": "region",
    "chestx_det": "region",
    "drawn_words": "words",
    "textocr_words": "words",
}


class Domains(Strict):
    """config/domains.yaml."""

    image_size: int = Field(gt=0, description="side at which networks see images, before the scale's mapping")
    domains: dict[Name, Domain]
    sets: dict[Name, DomainSet]

    @model_validator(mode="after")
    def _named(self) -> "Domains":
        for name in self.domains:
            if "-" in name or "." in name:
                raise ValueError(
                    f"domains.{name}: its name stands behind a hyphen in those of artifacts: write none in it"
                )
        return self


class DomainScale(Strict):
    """How domains shrink."""

    data: dict[str, str] = Field({}, description="domain -> set of domains.yaml")
    networks: dict[str, Network] = Field({}, description="domain -> its network; of those left out the paper's")
