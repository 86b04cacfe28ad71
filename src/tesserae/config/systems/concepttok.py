"""Settings of ConceptTok and of its relatives: TiTok's one-stage tokenizer with and without text (arXiv 2406.07550)."""

from typing import Literal

from pydantic import Field, model_validator

from tesserae.config import parts
from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.parts import AdversarialTokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Text, Tokens

OFFICIAL = "tesserae.tokenizers.concepttok_weights"  # reads published weights
OWN_SCHEDULE = ("discriminator",)  # groups whose learning rate counts steps from their own start (official code)

WIDTHS = {"clip": 768, "minilm": 384}  # of the text encoders' features
TEXT_TOWER = {"clip": 123_650_304, "minilm": 22_565_376}  # parameters, frozen


class LossWeights(Strict):
    mse: float = Field(ge=0)
    perceptual: float = Field(ge=0)
    quantizer: float = Field(ge=0)
    gan: float = Field(ge=0)
    lecam: float = Field(ge=0, description="of the discriminator's LeCAM term")
    concept: float = Field(ge=0)


class Recipe(AdversarialTokenizer):
    """ConceptTok, Sec. 4: one-dimensional codes, an encoder that reads a prompt, latents that name concepts."""

    system: Literal["concepttok"]
    encoder: str = Field(description="size, by its name in the scale's sizes.concepttok")
    decoder: str = Field(description="size, by its name in the scale's sizes.concepttok")
    patch_size: int = Field(gt=0)
    latent_tokens: int = Field(gt=0)
    codebook_size: int = Field(gt=0)
    code_width: int = Field(gt=0)
    text: Literal["none", "encoder", "decoder"] = Field(description="who reads the prompt (decoder: TA-TiTok)")
    text_encoder: Literal["clip", "minilm"]
    text_tokens: int = Field(gt=0, description="tokens of a prompt, padding included")
    sae: str | None = Field(description="recipe whose concepts the latents learn to name; null: none")
    clustering: bool = Field(description="codes that are not used move to latents (CVQ-VAE)")
    commitment: float = Field(ge=0)
    init_std: float = Field(gt=0, description="deviation of the first weights of linear layers and convolutions")
    perceptual: Literal["lpips+convnext", "lite2", "none"]
    loss_weights: LossWeights

    @model_validator(mode="after")
    def _concepts_have_weight(self) -> "Recipe":
        if (self.sae is None) == (self.loss_weights.concept > 0):
            raise ValueError("`sae` and a positive loss_weights.concept: give both, or neither")
        return self


class ScaledWeights(parts.ScaledWeights):
    mse: float | None = Field(None, ge=0)
    gan: float | None = Field(None, ge=0)


class Scaled(Strict):
    patch_size: int | None = Field(None, gt=0, description="where the scale's own does not suit it")
    latent_tokens: dict[int, int] = Field({}, description="the paper's value -> ours")
    codebook_size: int | None = Field(None, gt=0)
    code_width: int | None = Field(None, gt=0)
    text_encoder: Literal["clip", "minilm"] | None = None
    text_tokens: int | None = Field(None, gt=0)
    init_std: float | None = Field(None, gt=0)
    loss_weights: ScaledWeights = ScaledWeights()
    perceptual: Literal["lpips+convnext", "lite2", "none"] | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of ConceptTok, but for what depends on the training's steps and for `concepts`."""
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    ours = context.scale.systems.concepttok.patch_size
    paper = context.mapped("patch_size", recipe["patch_size"])
    spec.set("model.patch_size", context.either(ours, paper, "systems.concepttok.patch_size"))
    for part in ("encoder", "decoder"):
        for key, value in context.size("concepttok", recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
    paper = recipe["latent_tokens"]
    ours = context.scale.systems.concepttok.latent_tokens.get(paper.value)
    spec.set("model.latent_tokens", context.either(ours, paper, f"systems.concepttok.latent_tokens.{paper.value}"))
    for key in ("codebook_size", "code_width", "init_std", "perceptual"):
        spec.set(f"model.{key}", context.scaled("concepttok", recipe, key))
    read = text(recipe, context)
    spec.set("model.text", recipe["text"])
    origin = context.scaled("concepttok", recipe, "text_encoder").origin
    spec.set("model.text_width", read and read.width, origin)
    spec.set("model.text_tokens", read and read.tokens, origin)
    spec.set("model.concepts", None, recipe["sae"].origin)  # the graph knows the SAE's dictionary
    for key in ("clustering", "commitment"):
        spec.set(f"model.{key}", recipe[key])
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled("concepttok", recipe, f"loss_weights.{term}"))
    size, patch = spec.values["model"]["image_size"], spec.values["model"]["patch_size"]
    if size % patch:
        raise ConfigError(
            context.scale_file,
            "patch_size",
            f"image side {size} is not divisible by patch {patch}",
            "choose a patch size that divides the image side",
        )


def text(recipe: ResolvedRecipe, context: Context) -> Text | None:
    """The prompts' features that the tokenizer reads; None if it reads none."""
    if recipe.typed.text == "none":
        return None
    encoder = context.scaled("concepttok", recipe, "text_encoder").value
    return Text(encoder, context.scaled("concepttok", recipe, "text_tokens").value, WIDTHS[encoder])


def tokens(model: dict) -> Tokens:
    """One-dimensional codes: they stand nowhere on the image."""
    return Tokens(model["latent_tokens"], model["code_width"], "sequence", model["codebook_size"])
