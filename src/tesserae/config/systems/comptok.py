"""Settings of CompTok (arXiv 2602.03339) and of Semanticist (arXiv 2503.08685), which is CompTok without its losses."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from tesserae.config.files import Strict
from tesserae.config.latents import Components
from tesserae.config.parts import Tokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens

# Keywords that make the network, but for Q and the critic, which a training may begin with that continues another one.
NETWORK = (
    "image_size",
    "patch_size",
    "concept_tokens",
    "token_width",
    "concept_positions",
    "encoder",
    "decoder",
    "decoder_patch",
    "first_stage",
    "latent_scale",
    "prediction",
    "diffusion_steps",
    "aligned_block",
    "projector_width",
    "teacher",
)
OFFICIAL = "tesserae.tokenizers.comptok_weights"  # reads Semanticist's published weights

Teacher = Literal["dinov2_vitb14", "lite2"]


class LossWeights(Strict):
    variance: float = Field(1.0, ge=0, description="of what teaches the variance, which only `ddpm` draws with")
    representation: float = Field(ge=0, description="of REPA")
    information: float = Field(ge=0, description="of L_MI; 0 leaves this term out, and so for the others")
    swapped_information: float = Field(ge=0, description="of L_MI^swap")
    adversarial: float = Field(ge=0, description="of L_AFM")


class Auxiliary(Strict):
    start_fraction: float = Field(ge=0, lt=1, description="fraction of the steps before the three losses begin")
    batch_fraction: float = Field(gt=0, le=1, description="fraction of a batch that has them")
    steps: int = Field(gt=0, description="in which images are decoded for them")
    x0_limit: float = Field(gt=0, description="clamp of the predicted clean latents, in their standard deviations")
    encoder_gradient: bool = Field(description="whether the encoder learns from them")


class Adversarial(Strict):
    transport: float = Field(ge=0, description="lambda_OT at the first step; then half a cosine")
    transport_end: float = Field(ge=0, description="and at the last")
    penalty: float = Field(ge=0, description="weight of each gradient penalty of the critic")
    penalty_fraction: float = Field(gt=0, le=1, description="fraction of the pairs that have them")
    penalty_noise: float = Field(gt=0, description="step over which a gradient is a difference")
    centring: float = Field(ge=0, description="of the squared sum of both logits")
    normaliser_decay: float = Field(ge=0, lt=1, description="of the measure that the critic's gradient is divided by")


class CriticTraining(Strict):
    lr: float = Field(gt=0, description="constant")
    betas: list[float] = Field(min_length=2, max_length=2)
    weight_decay: float = Field(ge=0, description="of all parameters")
    clip: float | None = Field(gt=0)


class Sampling(Strict):
    method: Literal["ddpm", "ddim"] = Field(description="ancestral with the learned variance, or deterministic")
    steps: int = Field(gt=1)
    guidance: float = Field(gt=0, description="1: none")
    x0_limit: float | None = Field(None, gt=0, description="clamp of the predicted clean latents; null: none")


class Recipe(Tokenizer):
    """CompTok, Sec. 3; what it says nothing of is Semanticist's."""

    system: Literal["comptok"]
    latents_of: str = Field(description="recipe of the frozen autoencoder in whose latents the decoder draws")
    latent_scale: float | Literal["computed"] = Field(
        description="what latents are multiplied by; computed: such that those of training images have variance 1"
    )
    encoder: str = Field(description="size, by its name in the scale's sizes.comptok")
    decoder: str = Field(description="size, by its name in the scale's sizes.comptok")
    recogniser: str | None = Field(None, description="size of Q, likewise; null where no term needs it")
    critic: str | None = Field(None, description="size of the critic, likewise; null where no term needs it")
    patch_size: int = Field(gt=0, description="of the encoder, in pixels")
    decoder_patch: int = Field(gt=0, description="of the decoder and the critic, in latents")
    concept_tokens: int = Field(gt=1)
    token_width: int = Field(gt=1)
    concept_positions: bool = Field(False, description="whether the decoder learns positions of concept tokens")
    drop_path: float = Field(ge=0, lt=1, description="stochastic depth of the encoder's last block")
    null_probability: float = Field(ge=0, lt=1, description="of an image whose tokens the decoder does not get")
    nested_start_epoch: float | None = Field(
        None, ge=0, description="epoch from which the decoder gets the first tokens alone; null: never"
    )
    prediction: Literal["noise", "velocity", "clean"]
    diffusion_steps: int = Field(gt=1)
    teacher: Teacher
    teacher_side: int = Field(gt=0, description="places along a side of the teacher's features")
    aligned_block: int = Field(gt=0, description="of the decoder, from 1 on")
    projector_width: int = Field(gt=0)
    loss_weights: LossWeights
    auxiliary: Auxiliary
    adversarial: Adversarial
    critic_training: CriticTraining
    sampling: Sampling

    @model_validator(mode="after")
    def _networks_of_terms(self) -> "Recipe":
        informs = self.loss_weights.information > 0 or self.loss_weights.swapped_information > 0
        for network, wanted in (("recogniser", informs), ("critic", self.loss_weights.adversarial > 0)):
            if wanted != (getattr(self, network) is not None):
                weights = "information, swapped_information" if network == "recogniser" else "adversarial"
                raise ValueError(f"`{network}` and loss_weights ({weights}): give both, or null and 0")
        return self


class ScaledWeights(Strict):
    variance: float | None = Field(None, ge=0)


class ScaledAuxiliary(Strict):
    start_fraction: float | None = Field(None, ge=0, lt=1)
    batch_fraction: float | None = Field(None, gt=0, le=1)
    steps: int | None = Field(None, gt=0)
    x0_limit: float | None = Field(None, gt=0)


class ScaledCriticTraining(Strict):
    lr: float | None = Field(None, gt=0)


class Scaled(Strict):
    first_stage: Components | None = Field(None, description="instead of the one that a recipe names (`latents_of`)")
    latent_scale: Literal["computed"] | None = None
    patch_size: int | None = Field(None, gt=0, description="where the scale's own does not suit it")
    decoder_patch: int | None = Field(None, gt=0)
    concept_tokens: dict[int, int] = Field({}, description="the paper's value -> ours")
    token_width: int | None = Field(None, gt=1)
    concept_positions: bool | None = None
    drop_path: float | None = Field(None, ge=0, lt=1)
    prediction: Literal["noise", "velocity", "clean"] | None = None
    teacher: Teacher | None = None
    teacher_side: int | None = Field(None, gt=0)
    aligned_block: int | None = Field(None, gt=0)
    projector_width: int | None = Field(None, gt=0)
    loss_weights: ScaledWeights = ScaledWeights()
    auxiliary: ScaledAuxiliary = ScaledAuxiliary()
    critic_training: ScaledCriticTraining = ScaledCriticTraining()
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of CompTok, but for a `first_stage` that is trained (latents.py) and what `schedule`
    fills.

    Raises ConfigError for sizes that do not fit one another.
    """
    ours = context.scale.systems.comptok
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    patch = context.mapped("patch_size", recipe["patch_size"])
    spec.set("model.patch_size", context.either(ours.patch_size, patch, "systems.comptok.patch_size"))
    paper = recipe["concept_tokens"]
    mapped = ours.concept_tokens.get(paper.value)
    spec.set("model.concept_tokens", context.either(mapped, paper, f"systems.comptok.concept_tokens.{paper.value}"))
    if ours.first_stage is not None:
        for key, value in ours.first_stage.model_dump().items():
            path = f"systems.comptok.first_stage.{key}"
            spec.set(f"model.first_stage.{key}", context.either(value, recipe["latents_of"], path))
    for part in ("encoder", "decoder", "recogniser", "critic"):
        if recipe[part].value is None:
            spec.set(f"model.{part}", None, recipe[part].origin)
            continue
        for key, value in context.size("comptok", recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
    scale = context.scaled("comptok", recipe, "latent_scale")
    spec.set("model.latent_scale", scale if scale.value != "computed" else Sourced(None, scale.origin))
    for key in (
        "decoder_patch",
        "token_width",
        "concept_positions",
        "drop_path",
        "prediction",
        "teacher_side",
        "aligned_block",
        "projector_width",
    ):
        spec.set(f"model.{key}", context.scaled("comptok", recipe, key))
    for key in ("null_probability", "diffusion_steps"):
        spec.set(f"model.{key}", recipe[key])
    aligned = teacher(recipe, context)
    spec.set("model.teacher", aligned or Sourced(None, recipe["loss_weights.representation"].origin))
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled("comptok", recipe, f"loss_weights.{term}"))
    for key in Auxiliary.model_fields:
        if key != "start_fraction":
            spec.set(f"model.auxiliary.{key}", context.scaled("comptok", recipe, f"auxiliary.{key}"))
    for key in Adversarial.model_fields:
        spec.set(f"model.adversarial.{key}", recipe[f"adversarial.{key}"])
    for key in Sampling.model_fields:
        spec.set(f"model.sampling.{key}", context.scaled("comptok", recipe, f"sampling.{key}"))
    start = context.scaled("comptok", recipe, "auxiliary.start_fraction")
    spec.set("model.auxiliary_start_step", start if _composes(recipe) else Sourced(None, start.origin))
    spec.set("model.nested_start_step", recipe["nested_start_epoch"])
    spec.set("model.transport_steps", None, recipe["adversarial.transport_end"].origin)
    for key in CriticTraining.model_fields:
        if recipe.typed.critic is not None and recipe.typed.source == "training":
            value = context.scaled("comptok", recipe, f"critic_training.{key}")
            spec.set(f"training.groups.critic.{key}", value)
    context.check(spec, recipe, _faults(spec.values["model"]))


def schedule(spec: Spec, recipe: ResolvedRecipe) -> None:
    """Turn what `describe` left as fractions of the steps and as epochs into steps; without a training, into none."""
    model, training = spec.values["model"], spec.values.get("training")
    if training is None:
        for key in ("auxiliary_start_step", "nested_start_step"):
            spec.set(f"model.{key}", None, spec.origins[f"model.{key}"])
        return
    steps, origin = training["steps"], spec.origins["training.steps"]
    if model["auxiliary_start_step"] is not None:
        spec.set(
            "model.auxiliary_start_step",
            round(model["auxiliary_start_step"] * steps),
            spec.origins["model.auxiliary_start_step"],
        )
        spec.set("model.transport_steps", steps, origin)
    if model["nested_start_step"] is not None:
        per_epoch = steps / recipe["training.epochs"].value
        spec.set(
            "model.nested_start_step",
            round(model["nested_start_step"] * per_epoch),
            spec.origins["model.nested_start_step"],
        )
    if "groups" in training:
        fixed = {"decay": "constant", "warmup_steps": 0, "muon": None}
        for key, value in fixed.items():  # DECISION (D21): adversarial flow models' code
            spec.set(f"training.groups.critic.{key}", value, recipe["critic_training.lr"].origin)


def teacher(recipe: ResolvedRecipe, context: Context) -> Sourced | None:
    """The frozen network whose features the decoder's patches align with; None if they align with none."""
    if not recipe.typed.loss_weights.representation:
        return None
    return context.scaled("comptok", recipe, "teacher")


def tokens(model: dict) -> Tokens:
    """Concept tokens: they stand nowhere on the image."""
    return Tokens(model["concept_tokens"], model["token_width"], "sequence")


def _composes(recipe: ResolvedRecipe) -> bool:
    """Whether it has one of CompTok's three losses."""
    return recipe.typed.critic is not None or recipe.typed.recogniser is not None


def _faults(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, problem and remedy of what a network of these settings cannot be."""
    side, patch = model["image_size"], model["patch_size"]
    if side % patch:
        yield "patch_size", f"an image side of {side} is not divisible by patches of {patch}", "choose a divisor"
    if stage := model.get("first_stage"):
        covered = stage["patch"] * model["decoder_patch"]
        if side % covered:
            problem = f"{side} pixels are no multiple of the {covered} of a patch of latents"
            yield "first_stage.patch", problem, "choose another one, or another decoder_patch"
        if stage["components"] > (values := 3 * stage["patch"] ** 2):
            problem = f"{stage['components']} components of patches of {values} values"
            yield "first_stage.components", problem, "choose no more components than values"
    blocks = model["decoder"]["blocks"]
    if model["loss_weights"]["representation"] and model["aligned_block"] > blocks:
        problem = f"block {model['aligned_block']} is aligned, and the decoder has {blocks}"
        yield "aligned_block", problem, "choose one of them"
    if model["sampling"]["method"] == "ddpm" and not model["loss_weights"]["variance"]:
        yield "loss_weights.variance", "ddpm draws with a variance that nothing teaches", "say more than 0, or use ddim"
    if model["sampling"]["guidance"] != 1 and not model["null_probability"]:
        yield "null_probability", "guidance, and a decoder that never learns to do without tokens", "say more than 0"
