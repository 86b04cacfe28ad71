"""Specs: a recipe under a scale, resolved to the plain numbers a stage gets, each with its origin.

A spec holds what shapes an artifact and nothing else. Mapping rules stand here once for all systems; what is
particular to a system is in the function of its name.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesserae.config.errors import ConfigError
from tesserae.config.recipes import Recipe, Sourced
from tesserae.config.types import CollectionData, Dataset, EmojiData, Evaluation, Scale, TrainingScale


@dataclass
class Spec:
    """Plain nested values and, for each leaf, where it came from."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def set(self, path: str, value: Any, origin: str | None = None) -> None:
        """Set a leaf from a Sourced, or from a value with its origin."""
        if isinstance(value, Sourced):
            value, origin = value.value, origin or value.origin
        *parents, last = path.split(".")
        at = self.values
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
        self.origins[path] = origin or ""


@dataclass(frozen=True)
class Context:
    """What every spec is resolved against."""

    scale: Scale
    scale_file: Path
    datasets: dict[str, Dataset]
    datasets_file: Path

    def mapped(self, table: str, paper: Sourced) -> Sourced:
        """The scale's value for a paper's value, or the paper's own."""
        mapping = getattr(self.scale, table)
        if paper.value not in mapping:
            return paper
        return Sourced(mapping[paper.value], f"{self.scale_file}: {table}.{paper.value} (the paper: {paper.value})")

    def size(self, system: str, recipe: Recipe, key: str) -> dict[str, Sourced]:
        """Width, blocks and heads of a named size."""
        name = recipe[key].value
        sizes = self.scale.sizes.get(system, {})
        if name not in sizes:
            file, path = recipe.where(key)
            raise ConfigError(
                file,
                path,
                f"unknown size {name!r} at scale {self.scale.scale}",
                f"add it to {self.scale_file}: sizes.{system}, or use one of {', '.join(sizes)}",
            )
        origin = f"{self.scale_file}: sizes.{system}.{name}"
        return {part: Sourced(value, origin) for part, value in sizes[name].model_dump().items()}

    def dataset(self, recipe: Recipe) -> tuple[str, Dataset, str]:
        """Name and description of the data set that plays the recipe's role, and who says so."""
        role = recipe["dataset"]
        if role.value not in self.scale.datasets:
            file, path = recipe.where("dataset")
            raise ConfigError(
                file,
                path,
                f"no data set plays the role {role.value!r} at scale {self.scale.scale}",
                f"add it to {self.scale_file}: datasets",
            )
        name = self.scale.datasets[role.value]
        if name not in self.datasets:
            raise ConfigError(
                self.scale_file,
                f"datasets.{role.value}",
                f"unknown data set {name!r}",
                f"one of {', '.join(self.datasets)} ({self.datasets_file})",
            )
        if isinstance(self.datasets[name], CollectionData):
            raise ConfigError(
                self.scale_file, f"datasets.{role.value}", f"{name} has no classes", "name a data set with classes"
            )
        return name, self.datasets[name], f"{self.scale_file}: datasets.{role.value}"


def tokenizer(recipe: Recipe, context: Context) -> Spec:
    """Spec of a tokenizer: `module`, `model` (keywords of its `build`) and `training`."""
    return {"detok": _detok}[recipe.typed.system](recipe, context)


def _detok(recipe: Recipe, context: Context) -> Spec:
    spec = Spec()
    spec.set("module", "tesserae.tokenizers.detok", recipe["system"].origin)
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    spec.set("model.patch_size", context.mapped("patch_size", recipe["patch_size"]))
    spec.set("model.latent_channels", context.mapped("latent_channels", recipe["latent_channels"]))
    for part in ("encoder", "decoder"):
        for key, value in context.size("detok", recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
    for key in ("noise", "gamma", "mask_ratio", "mask_mode"):
        spec.set(f"model.{key}", recipe[key])
    perceptual = context.scale.systems.detok.perceptual
    spec.set(
        "model.perceptual",
        recipe["perceptual"]
        if perceptual is None
        else Sourced(
            perceptual, f"{context.scale_file}: systems.detok.perceptual (the paper: {recipe['perceptual'].value})"
        ),
    )
    for term in ("mse", "perceptual", "kl", "gan"):
        spec.set(f"model.loss_weights.{term}", recipe[f"loss_weights.{term}"])
    scaled = context.scale.tokenizer_training
    _training(spec, recipe, scaled, context.dataset(recipe)[1], context)
    start = recipe["gan_start_epoch"]
    steps_per_epoch = spec.values["training"]["steps"] // recipe["training.epochs"].value
    spec.set("model.gan_start_step", None if start.value is None else start.value * steps_per_epoch, start.origin)
    for key in ("channels", "layers"):
        paper = recipe[f"discriminator.{key}"]
        ours = scaled.discriminator and Sourced(
            getattr(scaled.discriminator, key), f"{context.scale_file}: tokenizer_training.discriminator.{key}"
        )
        spec.set(f"model.discriminator.{key}", ours or paper)
    size, patch = spec.values["model"]["image_size"], spec.values["model"]["patch_size"]
    if size % patch:
        raise ConfigError(
            context.scale_file,
            "patch_size",
            f"image side {size} is not divisible by patch {patch}",
            "choose a patch size that divides the image side",
        )
    return spec


def token_grid(tokenizer_spec: Spec) -> tuple[int, int]:
    """(N tokens, C channels) that a tokenizer's spec leads to."""
    model = tokenizer_spec.values["model"]
    return (model["image_size"] // model["patch_size"]) ** 2, model["latent_channels"]


def generator(recipe: Recipe, tokenizer_spec: Spec, data: Dataset, context: Context) -> Spec:
    """Spec of a generator. It never learns which tokenizer feeds it, only length, width and number of classes."""
    spec = Spec()
    system = recipe.typed.system
    length, width = token_grid(tokenizer_spec)
    spec.set("module", f"tesserae.generators.{system}", recipe["system"].origin)
    spec.set("model.token_length", length, f"{recipe['tokenizer'].origin} (image side / patch, squared)")
    spec.set("model.token_width", width, f"{recipe['tokenizer'].origin} (latent channels)")
    spec.set("model.classes", data.classes, f"{context.datasets_file}: classes")
    size = context.size(system, recipe, "size")
    {"mar": _mar, "sit": _sit}[system](spec, recipe, size, context)
    spec.set("model.label_dropout", recipe["label_dropout"])
    _training(spec, recipe, context.scale.generator_training, data, context)
    return spec


def _mar(spec: Spec, recipe: Recipe, size: dict[str, Sourced], context: Context) -> None:
    spec.set("model.width", size["width"])
    spec.set("model.heads", size["heads"])
    for part in ("encoder_blocks", "decoder_blocks"):  # MAR's encoder and decoder are equally deep
        spec.set(f"model.{part}", size["blocks"])
    scaled = context.scale.systems.mar
    spec.set("model.buffer_size", _or(scaled.buffer_size, recipe["buffer_size"], context, "systems.mar.buffer_size"))
    for key in ("attention_dropout", "projection_dropout", "mask_ratio_min", "mask_ratio_std"):
        spec.set(f"model.{key}", recipe[key])
    for key in ("blocks", "width", "batch_multiplier", "steps", "schedule"):
        ours = getattr(scaled.diffloss, key, None) if scaled.diffloss else None
        spec.set(f"model.diffloss.{key}", _or(ours, recipe[f"diffloss.{key}"], context, f"systems.mar.diffloss.{key}"))


def _sit(spec: Spec, recipe: Recipe, size: dict[str, Sourced], context: Context) -> None:
    for key, value in size.items():
        spec.set(f"model.{key}", value)


def sampling(recipe: Recipe, context: Context) -> Spec:
    """Sampler settings of a generator: `module`, `settings` (keywords of `sample`), and the scales to search."""
    spec, system = Spec(), recipe.typed.system
    spec.set("module", f"tesserae.generators.{system}_sampler", recipe["system"].origin)
    scaled = getattr(context.scale.systems, system).sampling
    for key in type(recipe.typed.sampling).model_fields:
        ours = getattr(scaled, key) if scaled else None
        value = _or(ours, recipe[f"sampling.{key}"], context, f"systems.{system}.sampling.{key}")
        spec.set(f"search.{key}" if key in ("guidance", "temperature") else f"settings.{key}", value)
    return spec


def evaluation(context: Context, *keys: str) -> Spec:
    """The named settings of the scale's `evaluation`."""
    settings: Evaluation = context.scale.evaluation
    spec = Spec()
    for key in keys:
        spec.set(key, getattr(settings, key), f"{context.scale_file}: evaluation.{key}")
    return spec


def _training(spec: Spec, recipe: Recipe, scaled: TrainingScale, data: Dataset, context: Context) -> None:
    section = f"{recipe.section[:-1]}_training"
    where = f"{context.scale_file}: {section}"
    epochs, paper_batch = recipe["training.epochs"], recipe["training.batch"]
    batch = _or(scaled.batch, paper_batch, context, f"{section}.batch")
    per_epoch = scaled.steps_per_epoch
    if per_epoch is None:
        per_epoch = _images(data, section, context) // batch.value
    steps = epochs.value * per_epoch
    spec.set("training.steps", steps, f"{epochs.origin} ({epochs.value} epochs of {per_epoch} steps)")
    spec.set("training.batch", batch)
    if scaled.rate is not None:
        rate = Sourced(scaled.rate, f"{where}.rate")
    elif recipe["training.rate"].value is not None:
        rate = recipe["training.rate"]
    else:
        base = recipe["training.base_rate"]
        rate = Sourced(base.value * batch.value / 256, f"{base.origin} x batch {batch.value} / 256")
    spec.set("training.rate", rate)
    warmup = recipe["training.warmup_epochs"]
    if scaled.warmup_fraction is None:
        spec.set("training.warmup_steps", round(warmup.value * per_epoch), warmup.origin)
    else:
        spec.set("training.warmup_steps", round(scaled.warmup_fraction * steps), f"{where}.warmup_fraction")
    spec.set("training.decay", _or(scaled.decay, recipe["training.decay"], context, f"{section}.decay"))
    ema = recipe["training.ema"]
    if scaled.ema_window is not None:
        ema = Sourced(max(0.0, 1 - scaled.ema_window / steps), f"{where}.ema_window (the paper: {ema.value})")
    spec.set("training.ema", ema)
    spec.set("training.precision", _or(scaled.precision, recipe["training.precision"], context, f"{section}.precision"))
    for key in ("betas", "weight_decay", "clip", "seed"):
        spec.set(f"training.{key}", recipe[f"training.{key}"])
    if batch.value % scaled.shares:
        raise ConfigError(
            context.scale_file,
            f"{section}.shares",
            f"a batch of {batch.value} images has no {scaled.shares} equal shares",
            "choose a divisor of the batch",
        )
    spec.set("training.shares", scaled.shares, f"{where}.shares")


def _images(data: Dataset, section: str, context: Context) -> int:
    if isinstance(data, EmojiData):
        raise ConfigError(
            context.scale_file,
            f"{section}.steps_per_epoch",
            "must be given: the embedded corpus has no epoch of the paper's length",
            "a number of steps",
        )
    return data.train_images


def _or(ours: Any, paper: Sourced, context: Context, key: str) -> Sourced:
    if ours is None:
        return paper
    return Sourced(ours, f"{context.scale_file}: {key} (the paper: {paper.value})")
