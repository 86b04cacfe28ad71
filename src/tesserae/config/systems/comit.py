"""Settings of COMiT (arXiv 2602.20731): one transformer that looks at an image piece by piece, and draws it."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tesserae.config.files import Strict
from tesserae.config.parts import Tokenizer
from tesserae.config.policies import Policy, unfit
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens

OFFICIAL = "tesserae.tokenizers.comit_weights"  # reads published weights
POLICIES = True  # images can be looked at in several ways

# Losses that a teacher has a part in; where they weigh nothing, no scale gives them a weight.
ALIGNED = ("srepa", "repa")
PIXELS = {"pixels": 1, "sd_vae_mse": 8, "sd_vae_ema": 8}  # of a latent's side

Levels = list[Annotated[int, Field(gt=1)]]


class LossWeights(Strict):
    srepa: float = Field(ge=0, description="lambda_S, of the message's states against the teacher's pooled features")
    repa: float = Field(ge=0, description="lambda_R, of the image's states against the teacher's features of patches")
    perceptual: float = Field(ge=0, description="of the image as it is foreseen; the paper has no such loss")
    spread: float = Field(ge=0, description="of values before rounding, from mean 0 and deviation 1; nor this one")


class Looks(Strict):
    """How many looks a training step takes: 1 + Poisson(LogNormal), at most `most`."""

    rate: float = Field(gt=0, description="mean of the Poisson law's rate")
    spread: float = Field(ge=0, description="standard deviation of the rate's logarithm")
    most: int = Field(gt=0)
    uniform: bool = Field(description="1 ... most alike, instead")
    whole_probability: float = Field(ge=0, le=1, description="that the first look is at the whole image")
    unconditional_probability: float = Field(ge=0, le=1, description="that an image is drawn from the empty message")


class Times(Strict):
    """Of training: the sigmoid of a normal distribution; 0 is noise."""

    mean: float
    std: float = Field(gt=0)


class Sampling(Strict):
    steps: int = Field(gt=0, description="NFE of Euler's method; the midpoint method evaluates twice as often")
    guidance: float = Field(ge=1, description="w of adaptive projected guidance; 1: none")
    solver: Literal["euler", "midpoint"]
    momentum: float = Field(gt=-1, lt=1, description="beta")
    norm_limit: float = Field(ge=0, description="r, largest norm of the update; 0: none")
    parallel: float = Field(ge=0, description="eta, how much of the part along the velocity stays")


class Recipe(Tokenizer):
    """COMiT, Secs. 3 and 4: crops, messages of codes, flow matching, alignment with a frozen network's features."""

    system: Literal["comit"]
    first_stage: Literal["pixels", "sd_vae_mse", "sd_vae_ema"] = Field(description="what latents are drawn in")
    posterior: Literal["sample", "mean"] = Field(description="which latents of an image are taken")
    patch_size: int = Field(gt=0, description="in latents")
    size: str = Field(description="by its name in the scale's sizes.comit")
    message_tokens: int = Field(gt=0)
    codebook_size: int = Field(gt=1)
    levels: Levels = Field(min_length=1, description="of each value of a code's vector; their product is codebook_size")
    crop: int = Field(gt=0, description="side of a crop in pixels")
    mask: Literal["causal", "additive_one"] = Field(description="as the paper says, or as its code does")
    predicts: Literal["velocity", "image"]
    gate_start: float = Field(description="first bias of the blocks' gates")
    representation_layer: int = Field(ge=0, description="block, from 0, after which states are aligned")
    projector_width: int = Field(gt=0, description="of the hidden layers between states and the teacher's features")
    looks: Looks
    times: Times
    perceptual: Literal["lpips", "lite2", "none"] = Field(
        description="network of that loss; only where pixels are drawn"
    )
    teacher: Literal["dinov2_vitb14", "lite2"] = Field(description="frozen network whose features states resemble")
    loss_weights: LossWeights
    policy: Policy = Field(description="at use")
    sampling: Sampling

    @model_validator(mode="after")
    def _codes(self) -> "Recipe":
        if (found := math.prod(self.levels)) != self.codebook_size:
            raise ValueError(f"levels {self.levels} make {found} codes: write codebook_size: {found}, or other levels")
        return self


class ScaledLooks(Strict):
    rate: float | None = Field(None, gt=0)
    most: int | None = Field(None, gt=0)
    whole_probability: dict[float, float] = Field({}, description="the paper's value -> ours")
    unconditional_probability: dict[float, float] = Field({}, description="the paper's value -> ours")


class ScaledTimes(Strict):
    mean: dict[float, float] = Field({}, description="the paper's value -> ours")
    std: float | None = Field(None, gt=0)


class ScaledWeights(Strict):
    srepa: float | None = Field(None, ge=0, description="of recipes that have such a loss")
    repa: float | None = Field(None, ge=0, description="likewise")
    perceptual: float | None = Field(None, ge=0)
    spread: float | None = Field(None, ge=0)


class ScaledSampling(Strict):
    steps: int | None = Field(None, gt=0)
    guidance: float | None = Field(None, ge=1)


class Scaled(Strict):
    first_stage: Literal["pixels", "sd_vae_mse", "sd_vae_ema"] | None = None
    patch_size: int | None = Field(None, gt=0)
    message_tokens: dict[int, int] = Field({}, description="the paper's value -> ours")
    levels: dict[int, Levels] = Field({}, description="the paper's codebook size -> our levels")
    crop: int | None = Field(None, gt=0)
    predicts: Literal["velocity", "image"] | None = None
    gate_start: float | None = None
    representation_layer: int | None = Field(None, ge=0)
    projector_width: int | None = Field(None, gt=0)
    looks: ScaledLooks = ScaledLooks()
    times: ScaledTimes = ScaledTimes()
    perceptual: Literal["lpips", "lite2", "none"] | None = None
    teacher: Literal["dinov2_vitb14", "lite2"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()
    sampling: ScaledSampling = ScaledSampling()


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of COMiT. Raises ConfigError for sizes and policies that do not fit one another."""
    ours = context.scale.systems.comit
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    for key in (
        "first_stage",
        "patch_size",
        "crop",
        "predicts",
        "gate_start",
        "representation_layer",
        "projector_width",
        "perceptual",
    ):
        spec.set(f"model.{key}", context.scaled("comit", recipe, key))
    for key in ("posterior", "mask"):
        spec.set(f"model.{key}", recipe[key])
    for key, value in context.size("comit", recipe, "size").items():
        spec.set(f"model.transformer.{key}", value)
    paper = recipe["message_tokens"]
    where = f"systems.comit.message_tokens.{paper.value}"
    spec.set("model.message_tokens", context.either(ours.message_tokens.get(paper.value), paper, where))
    codes = recipe["codebook_size"].value
    levels = context.either(ours.levels.get(codes), recipe["levels"], f"systems.comit.levels.{codes}")
    spec.set("model.levels", levels)
    spec.set("model.codebook_size", math.prod(levels.value), levels.origin)
    for key in Looks.model_fields:
        spec.set(f"model.looks.{key}", _looks(recipe, context, key))
    spec.set("model.times.mean", _mapped(recipe, context, "times", "mean"))
    spec.set("model.times.std", context.scaled("comit", recipe, "times.std"))
    for key in LossWeights.model_fields:
        weight = recipe[f"loss_weights.{key}"]
        spec.set(
            f"model.loss_weights.{key}",
            weight if key in ALIGNED and not weight.value else context.scaled("comit", recipe, f"loss_weights.{key}"),
        )
    found = teacher(recipe, context)
    spec.set("model.teacher", found if found else Sourced(None, recipe["loss_weights.srepa"].origin))
    for key in Policy.model_fields:
        spec.set(f"model.policy.{key}", recipe[f"policy.{key}"])
    for key in Sampling.model_fields:
        path = f"projection.{key}" if key in ("momentum", "norm_limit", "parallel") else key
        spec.set(f"model.sampling.{path}", context.scaled("comit", recipe, f"sampling.{key}"))
    context.check(spec, recipe, _faults(spec.values["model"]))


def _mapped(recipe: ResolvedRecipe, context: Context, group: str, key: str) -> Sourced:
    """What a scale puts in the place of the paper's value; a recipe that varies it keeps its own."""
    paper = recipe[f"{group}.{key}"]
    ours = getattr(getattr(context.scale.systems.comit, group), key).get(paper.value)
    return context.either(ours, paper, f"systems.comit.{group}.{key}.{paper.value}")


def _looks(recipe: ResolvedRecipe, context: Context, key: str) -> Sourced:
    """What a scale says of the number of looks is of recipes that take more than one."""
    if key.endswith("_probability"):
        return _mapped(recipe, context, "looks", key)
    paper = recipe[f"looks.{key}"]
    return paper if recipe["looks.most"].value == 1 else context.scaled("comit", recipe, f"looks.{key}")


def teacher(recipe: ResolvedRecipe, context: Context) -> Sourced | None:
    """The network whose features a recipe aligns with; None where both losses weigh nothing."""
    weights = [context.scaled("comit", recipe, f"loss_weights.{key}").value for key in ALIGNED]
    paper = [recipe[f"loss_weights.{key}"].value for key in ALIGNED]
    aligns = any(ours and theirs for ours, theirs in zip(weights, paper, strict=True))
    return context.scaled("comit", recipe, "teacher") if aligns else None


def tokens(model: dict) -> Tokens:
    """A message: a sequence of codes."""
    return Tokens(model["message_tokens"], len(model["levels"]), "sequence", model["codebook_size"])


def _faults(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, problem and remedy of what a network of these settings cannot be."""
    side, crop, policy = model["image_size"], model["crop"], model["policy"]
    patch = model["patch_size"] * PIXELS[model["first_stage"]]
    for key, size, what in (("patch_size", side, "an image side"), ("crop", crop, "a crop's side")):
        if size % patch:
            yield key, f"{what} of {size} is not divisible by the {patch} pixels of a patch", "choose a multiple"
    if crop > side - 2:  # of 3 x 3 crops no two are alike
        yield "crop", f"3 x 3 crops of {crop} pixels do not fit into images of {side}", f"choose {side - 2} at most"
    if model["perceptual"] != "none" and model["loss_weights"]["perceptual"] and model["first_stage"] != "pixels":
        yield "perceptual", f"a loss between images, and {model['first_stage']} draws latents", "choose none, or pixels"
    width, heads = model["transformer"]["width"], model["transformer"]["heads"]
    if width % heads or width % 4:
        yield "size", f"a width of {width} is not divisible by {heads} heads and by 4", "choose another width"
    layer, blocks = model["representation_layer"], model["transformer"]["blocks"]
    if layer >= blocks:
        yield "representation_layer", f"block {layer} of {blocks}, counted from 0", f"choose {blocks - 1} at most"
    if problem := unfit(policy):
        yield "policy.crops", problem, "give as many as there are"
    if policy["order"] in ("random", "adaptive"):
        problem = f"with the order {policy['order']} codes alone do not say where the last crop was"
        yield "policy.order", problem, "choose global or raster; other policies belong to measures.policies"
