"""Settings of the TopK sparse autoencoder (arXiv 2406.04093) as ConceptTok App. B.1 trains it."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import Training
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

WIDTHS = {"siglip": 768, "lite2": 120, "embedded": 112}  # of the semantic encoders' features


class Recipe(Strict):
    """ConceptTok, Sec. 3.2 and App. B.1."""

    system: Literal["topk_sae"]
    dataset: str = Field(description="role of the data set; the scale says which data play it")
    image_size: int = Field(gt=0)
    encoder: Literal["siglip", "lite2", "embedded"] = Field(description="frozen network whose features it learns")
    feature: Literal["block_out", "last_hidden_state", "pooled"] = Field(description="where they are taken")
    side: int = Field(gt=0, description="to which images are resized for the encoder")
    dictionary: int = Field(gt=0, description="d_c: how many concepts there are")
    top_k: int = Field(gt=0, description="K: concepts that a patch may activate")
    concept_set: int = Field(gt=0, description="size of an image's set of concepts")
    frequency: list[float] = Field(
        min_length=2, max_length=2, description="fractions of images with a concept that is shown"
    )
    dense: float = Field(gt=0, le=1, description="concepts that fire in a larger fraction of images are not shown")
    tied_init: bool = Field(description="start with the encoder as the decoder's transpose")
    ghost_gradients: bool
    dead_window: int = Field(gt=0, description="steps without firing after which a concept is dead")
    normalise: Literal["none", "patchsae"] = Field(description="none: Eq. 4; patchsae: as the public trainer")
    chunk: int = Field(gt=0, description="patches at a time: memory, no number depends on it")
    training: Training


class Scaled(Strict):
    encoder: Literal["siglip", "lite2", "embedded"] | None = None
    side: int | None = Field(None, gt=0)
    dictionary: int | None = Field(None, gt=0)
    top_k: int | None = Field(None, gt=0)
    concept_set: int | None = Field(None, gt=0)
    frequency: list[float] | None = Field(None, min_length=2, max_length=2)
    dense: float | None = Field(None, gt=0, le=1)
    tied_init: bool | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of TopKSAE."""
    encoder = context.scaled("topk_sae", recipe, "encoder")
    spec.set("model.width", WIDTHS[encoder.value], encoder.origin)
    for key in ("dictionary", "top_k", "tied_init"):
        spec.set(f"model.{key}", context.scaled("topk_sae", recipe, key))
    for key in ("ghost_gradients", "dead_window", "normalise", "chunk"):
        spec.set(f"model.{key}", recipe[key])


def features(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill what says which features of an image are meant."""
    for key in ("encoder", "side"):
        spec.set(key, context.scaled("topk_sae", recipe, key))
    spec.set("feature", recipe["feature"])
