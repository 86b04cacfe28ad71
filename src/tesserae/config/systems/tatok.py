"""Settings of TaTok (arXiv 2605.16384): global tokens beside patches, of which an image keeps those it needs."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from tesserae.config import parts
from tesserae.config.files import Strict
from tesserae.config.first_stage import Network
from tesserae.config.parts import AdversarialTokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OFFICIAL = None  # nothing is published
CODES = "tesserae.tokenizers.tatok_codes"  # what its codes stand for


class LossWeights(Strict):
    reconstruction: float = Field(ge=0, description="of mean squared errors in [-1, 1]")
    commitment: float = Field(ge=0, description="lambda_1, of both codebooks")
    glob: float = Field(ge=0, description="lambda_2, of what global tokens say of the image")
    perceptual: float = Field(ge=0)
    gan: float = Field(ge=0)


class Filtering(Strict):
    length: Literal["epsilon", "budget", "all", "rest", "truncated"] = Field(
        description="how many patches an image keeps: all but epsilon of their scores; a budget on average; all; what "
        "global tokens leave of a sequence as long as patches; in training a random part, at use all"
    )
    epsilon: float | None = Field(ge=0, lt=1, description="information loss rate, for the length epsilon")
    budget: float | None = Field(gt=0, description="tokens of an image on average, global ones included")
    threshold: float = Field(ge=0, description="the paper's constant C, in units of scores; 0: none")
    order: Literal["score", "random", "uniform", "first", "last"] = Field(description="which patches are kept (Fig. 5)")
    complexity: Literal["patch_rate", "token_var", "one"] = Field(
        description="second factor of a score: bits of the patch's pixels, variance of its token, or none"
    )
    straight_through: bool = Field(description="scores learn, as if they weighed the patches that are kept")
    settling_images: int = Field(gt=0, description="training images behind a budget's final epsilon")

    @model_validator(mode="after")
    def _wanted(self) -> "Filtering":
        if self.length in ("epsilon", "budget") and getattr(self, self.length) is None:
            raise ValueError(f"the length {self.length!r} needs a number: give filtering.{self.length}")
        if self.threshold and self.length != "epsilon":
            raise ValueError("threshold belongs to the length epsilon: set it to 0")
        return self


class Recipe(AdversarialTokenizer):
    """TaTok, Secs. 3 and 4.1: patches and global tokens in one encoder, two codebooks, Dynamic Token Filtering."""

    system: Literal["tatok"]
    encoder: str = Field(description="size, by its name in the scale's sizes.tatok; both stacks together")
    decoder: str = Field(description="size, by its name in the scale's sizes.tatok")
    patch_size: int = Field(gt=0)
    global_tokens: int = Field(ge=0, description="k; 0: patches alone")
    codebook_size: int = Field(gt=1, description="of each of the two")
    patch_code_width: int = Field(gt=0)
    global_code_width: int = Field(gt=0)
    substrate: Literal["vit", "hita_cnn"] = Field(description="around the transformers: linear maps or convolutions")
    network: Network = Field(description="the convolutions of hita_cnn")
    layout: Literal["grid", "literal"] = Field(description="what the decoder reads: patches in their places, or packed")
    filtering: Filtering
    global_target: Literal["thumbnail", "vfm"] = Field(description="what global tokens learn to say: G(x)")
    thumbnail: int = Field(gt=0, description="side of G(x) in pixels")
    commitment: float = Field(ge=0, description="weight of the commitment loss beside the codebook's")
    losses: Literal["literal", "hita_gan"] = Field(description="the three printed terms; or Hita's two more")
    perceptual: Literal["lpips", "lite2", "none"] = Field(description="of hita_gan")
    loss_weights: LossWeights


class ScaledWeights(parts.ScaledWeights):
    commitment: float | None = Field(None, ge=0)
    glob: float | None = Field(None, ge=0)
    gan: float | None = Field(None, ge=0)


class ScaledFiltering(Strict):
    budget: float | None = Field(None, gt=0)
    settling_images: int | None = Field(None, gt=0)


class Scaled(Strict):
    patch_size: int | None = Field(None, gt=0, description="where the scale's own does not suit it")
    global_tokens: dict[int, int] = Field({}, description="the paper's value -> ours")
    codebook_size: int | None = Field(None, gt=1)
    patch_code_width: int | None = Field(None, gt=0)
    global_code_width: int | None = Field(None, gt=0)
    network: Network | None = None
    filtering: ScaledFiltering = ScaledFiltering()
    thumbnail: int | None = Field(None, gt=0)
    losses: Literal["literal", "hita_gan"] | None = None
    perceptual: Literal["lpips", "lite2", "none"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of TaTok, but for what depends on the training's steps.

    Raises ConfigError for sizes that do not fit one another.
    """
    ours = context.scale.systems.tatok
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    patch = context.mapped("patch_size", recipe["patch_size"])
    spec.set("model.patch_size", context.either(ours.patch_size, patch, "systems.tatok.patch_size"))
    paper = recipe["global_tokens"]
    mapped = context.either(ours.global_tokens.get(paper.value), paper, f"systems.tatok.global_tokens.{paper.value}")
    spec.set("model.global_tokens", mapped)
    for part in ("encoder", "decoder"):
        for key, value in context.size("tatok", recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
    for key in ("codebook_size", "patch_code_width", "global_code_width", "thumbnail", "losses", "perceptual"):
        spec.set(f"model.{key}", context.scaled("tatok", recipe, key))
    for key in ("substrate", "layout", "global_target", "commitment"):
        spec.set(f"model.{key}", recipe[key])
    if recipe.typed.substrate == "hita_cnn":
        for key in Network.model_fields:
            spec.set(f"model.network.{key}", context.scaled("tatok", recipe, f"network.{key}"))
    else:
        spec.set("model.network", None, recipe["substrate"].origin)
    for key in Filtering.model_fields:
        spec.set(f"model.filtering.{key}", context.scaled("tatok", recipe, f"filtering.{key}"))
    for key, used in (("epsilon", "epsilon"), ("budget", "budget"), ("settling_images", "budget")):
        if recipe.typed.filtering.length != used:  # else what is not used would make it another tokenizer
            spec.set(f"model.filtering.{key}", None, recipe["filtering.length"].origin)
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled("tatok", recipe, f"loss_weights.{term}"))
    context.check(spec, recipe, _faults(spec.values["model"]))


def tokens(model: dict) -> Tokens:
    """Global codes, then those of patches in raster order; where patches are left out, rows have gaps or ends."""
    patches, k, length = (
        (model["image_size"] // model["patch_size"]) ** 2,
        model["global_tokens"],
        model["filtering"]["length"],
    )
    literal = model["layout"] == "literal"
    whole = length in ("all", "truncated") or (length == "rest" and literal)
    count, places = (patches, 0) if literal else (k + patches, 0 if whole else patches)
    return Tokens(
        count,
        model["patch_code_width"],
        "sequence",
        model["codebook_size"],
        not whole,
        mean=model["filtering"]["budget"] if length == "budget" else None,
        places=places,
    )


def _faults(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, problem and remedy of what a network of these settings cannot be."""
    side, patch, k, filtering = (model[key] for key in ("image_size", "patch_size", "global_tokens", "filtering"))
    if side % patch:
        yield "patch_size", f"an image side of {side} is not divisible by patches of {patch}", "choose a divisor"
        return
    patches = (side // patch) ** 2
    if model["network"] is not None and 2 ** (len(model["network"]["multipliers"]) - 1) != patch:
        levels = len(model["network"]["multipliers"])
        yield "network.multipliers", f"{levels} levels do not make patches of {patch} pixels", "one halves the side"
    if model["encoder"]["width"] != model["decoder"]["width"]:
        yield "decoder", "encoder and decoder are of different width", "give sizes of one width"
    length, budget = filtering["length"], filtering["budget"]
    if length == "budget" and not k + 1 <= budget <= k + patches:
        problem = (
            f"a budget of {budget} tokens, and an image has from {k + 1} ({k} global ones and a patch) to {k + patches}"
        )
        yield "filtering.budget", problem, "choose one between them"
    if length == "rest" and k >= patches:
        yield "global_tokens", f"{k} leave none of {patches} patches to the length rest", "choose fewer"
    if model["layout"] == "literal":
        # The most that scores can keep are all but epsilon of the patches: where all weigh the same.
        share = 0.0 if filtering["threshold"] else filtering["epsilon"] or 0.0
        fits = {"rest": True, "budget": length == "budget" and budget <= patches, "epsilon": k <= share * patches}
        if not fits.get(length, k == 0):
            problem = (
                f"{k} global tokens and the patches of some images do not fit into the {patches} slots of `literal`"
            )
            yield "layout", problem, "use the layout grid, a larger epsilon, a smaller budget or fewer global tokens"
