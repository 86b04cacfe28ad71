"""Specs: a recipe under a scale, resolved to the plain numbers a stage gets, each with its origin.

Mapping rules stand here once for all systems; what is particular to a system is in its module of `config/systems`.
"""

from tesserae.config.errors import ConfigError
from tesserae.config.registry import GENERATORS, SAES, TOKENIZERS, tokens_of
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Text
from tesserae.config.types import Dataset, EmojiData, Evaluation, TrainingScale

SAE = "tesserae.sae.topk"  # the module of every sparse autoencoder there is


def sae(recipe: ResolvedRecipe, context: Context) -> Spec:
    """Spec of a sparse autoencoder: `module`, `model` (keywords of its `build`) and `training`."""
    spec, system = Spec(), SAES[recipe.typed.system]
    spec.set("module", SAE, recipe["system"].origin)
    system.describe(spec, recipe, context)
    system.features(spec, recipe, context)
    _training(spec, recipe, context.scale.sae_training, context.images(recipe)[1], context)
    return spec


def features(recipe: ResolvedRecipe, context: Context) -> Spec:
    """Which frozen features of an image a sparse autoencoder learns: `encoder`, `feature`, `side`."""
    spec = Spec()
    SAES[recipe.typed.system].features(spec, recipe, context)
    return spec


def tokenizer(recipe: ResolvedRecipe, context: Context) -> Spec:
    """Spec of a tokenizer: `module`, `model` (keywords of its `build`) and `training`, or `official` weights."""
    spec, system = Spec(), recipe.typed.system
    spec.set("module", f"tesserae.tokenizers.{system}", recipe["system"].origin)
    TOKENIZERS[system].describe(spec, recipe, context)
    if recipe.typed.source == "official":
        _official(spec, recipe, TOKENIZERS[system].OFFICIAL)
    else:
        _training(spec, recipe, context.scale.tokenizer_training, context.dataset(recipe)[1], context)
    if "gan_start_epoch" in recipe.leaves:
        _adversarial(spec, recipe, context)
    if (schedule := getattr(TOKENIZERS[system], "schedule", None)) is not None:
        schedule(spec, recipe)
    return spec


def text(recipe: ResolvedRecipe, context: Context) -> Text | None:
    """The prompts' features that a tokenizer reads; None if it reads none."""
    described = getattr(TOKENIZERS[recipe.typed.system], "text", None)
    return described and described(recipe, context)


def teacher(recipe: ResolvedRecipe, context: Context) -> Sourced | None:
    """Name of the frozen network whose features a tokenizer aligns with, with its origin; None if with none."""
    described = getattr(TOKENIZERS[recipe.typed.system], "teacher", None)
    return described and described(recipe, context)


def frozen(recipe: ResolvedRecipe, context: Context) -> int:
    """Parameters of networks that a tokenizer uses and does not train: its text encoder."""
    read = text(recipe, context)
    return TOKENIZERS[recipe.typed.system].TEXT_TOWER[read.encoder] if read else 0


def _adversarial(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    start = recipe["gan_start_epoch"]
    if start.value is None or "training" not in spec.values:
        spec.set("model.gan_start_step", None, start.origin)
    else:
        steps_per_epoch = spec.values["training"]["steps"] // recipe["training.epochs"].value
        spec.set("model.gan_start_step", start.value * steps_per_epoch, start.origin)
    scaled = context.scale.tokenizer_training.discriminator
    for group in getattr(TOKENIZERS[recipe.typed.system], "OWN_SCHEDULE", ()):
        if spec.values["model"]["gan_start_step"] is not None:
            spec.set(f"training.starts.{group}", spec.values["model"]["gan_start_step"], start.origin)
    for key in ("channels", "layers"):
        ours = getattr(scaled, key, None)
        found = context.either(ours, recipe[f"discriminator.{key}"], f"tokenizer_training.discriminator.{key}")
        spec.set(f"model.discriminator.{key}", found)


def _official(spec: Spec, recipe: ResolvedRecipe, importer: str) -> None:
    spec.set("official.file", recipe["file"])
    spec.set("official.importer", importer, recipe["system"].origin)


def generator(recipe: ResolvedRecipe, tokenizer_spec: Spec, data: Dataset, context: Context) -> Spec:
    """Spec of a generator. It never learns which tokenizer feeds it, only what its tokens look like."""
    spec, system = Spec(), recipe.typed.system
    tokens = tokens_of(tokenizer_spec.values["module"], tokenizer_spec.values["model"])
    origin = recipe["tokenizer"].origin
    spec.set("module", f"tesserae.generators.{system}", recipe["system"].origin)
    spec.set("model.token_length", tokens.length, f"{origin} (how many tokens it makes of an image)")
    discrete = getattr(GENERATORS[system], "DISCRETE", False)
    if discrete != (tokens.vocabulary is not None):
        file, key = recipe.where("tokenizer")
        kinds = "codes", "continuous tokens"
        raise ConfigError(
            file,
            key,
            f"{system} learns {kinds[not discrete]}, {recipe['tokenizer'].value} makes {kinds[discrete]}",
            "name a tokenizer, or a generator, of the other kind",
        )
    if tokens.ragged and not getattr(GENERATORS[system], "RAGGED", False):
        file, key = recipe.where("tokenizer")
        problem = f"{system} learns as many codes of every image, {recipe['tokenizer'].value} makes more of some"
        raise ConfigError(file, key, problem, "name a generator of sequences that vary in length, or another tokenizer")
    if discrete:
        spec.set("model.vocabulary", tokens.vocabulary, f"{origin} (its codes)")
    else:
        spec.set("model.token_width", tokens.width, f"{origin} (values of a token)")
    if getattr(GENERATORS[system], "RAGGED", False):
        spec.set("model.ragged", tokens.ragged, f"{origin} (whether images differ in how many they have)")
        spec.set("model.places", tokens.places, f"{origin} (of the grid on which its codes stand)")
    if getattr(GENERATORS[system], "LAYOUTS", False):
        spec.set("model.layout", tokens.layout, f"{origin} (how its tokens stand)")
    spec.set("model.classes", data.classes, f"{context.datasets_file}: classes")
    GENERATORS[system].describe(spec, recipe, context)
    spec.set("model.label_dropout", recipe["label_dropout"])
    if recipe.typed.source == "official":
        _official(spec, recipe, getattr(GENERATORS[system], "OFFICIAL", "tesserae.nn.official"))
    else:
        _training(spec, recipe, context.scale.generator_training, data, context)
    return spec


def sampling(recipe: ResolvedRecipe, context: Context) -> Spec:
    """Sampler settings of a generator: `module`, `settings` (keywords of `sample`), and the scales to search."""
    spec, system = Spec(), recipe.typed.system
    spec.set("module", f"tesserae.generators.{system}_sampler", recipe["system"].origin)
    for key in type(recipe.typed.sampling).model_fields:
        value = context.scaled(system, recipe, f"sampling.{key}")
        if key in ("guidance", "temperature"):
            spec.set(f"search.{key}", value)
        elif key != "guided_temperature":
            spec.set(f"settings.{key}", value)
        elif value.value is not None:
            spec.set(f"search.{key}", value)
    return spec


def evaluation(context: Context, *keys: str) -> Spec:
    """The named settings of the scale's `evaluation`."""
    settings: Evaluation = context.scale.evaluation
    spec = Spec()
    for key in keys:
        spec.set(key, getattr(settings, key), f"{context.scale_file}: evaluation.{key}")
    return spec


def _training(spec: Spec, recipe: ResolvedRecipe, scaled: TrainingScale, data: Dataset, context: Context) -> None:
    section = f"{recipe.section[:-1]}_training"
    where = f"{context.scale_file}: {section}"
    epochs, paper_batch = recipe["training.epochs"], recipe["training.batch"]
    system = recipe.typed.system
    batch = context.either(scaled.batch, paper_batch, f"{section}.batch")
    if system in scaled.batches:
        batch = context.either(scaled.batches[system], paper_batch, f"{section}.batches.{system}")
    per_epoch = scaled.steps_per_epochs.get(system, scaled.steps_per_epoch)
    if epochs.value is None:
        counted = context.either(scaled.steps, recipe["training.steps"], f"{section}.steps")
    else:
        if per_epoch is None:
            per_epoch = _images(data, section, context) // batch.value
        said = f"{epochs.origin} ({epochs.value} epochs of {per_epoch} steps)"
        counted = Sourced(epochs.value * per_epoch, said)
    steps = counted.value
    spec.set("training.steps", counted)
    spec.set("training.batch", batch)
    if system in scaled.lrs:
        lr = Sourced(scaled.lrs[system], f"{where}.lrs.{system}")
    elif scaled.lr is not None:
        lr = Sourced(scaled.lr, f"{where}.lr")
    elif recipe["training.lr"].value is not None:
        lr = recipe["training.lr"]
    else:
        base = recipe["training.base_lr"]
        lr = Sourced(base.value * batch.value / 256, f"{base.origin} x batch {batch.value} / 256")
    rate = scaled.continued_rate if getattr(recipe.typed, "continues", None) else 1.0
    if rate != 1:
        lr = Sourced(rate * lr.value, f"{lr.origin} x {where}.continued_rate")
    spec.set("training.lr", lr)
    warmup = recipe["training.warmup_epochs"]
    if scaled.warmup_fraction is None and recipe["training.warmup_steps"].value is not None:
        spec.set("training.warmup_steps", recipe["training.warmup_steps"])
    elif scaled.warmup_fraction is None:
        spec.set("training.warmup_steps", round(warmup.value * (per_epoch or 0)), warmup.origin)
    else:
        spec.set("training.warmup_steps", round(scaled.warmup_fraction * steps), f"{where}.warmup_fraction")
    spec.set("training.decay", context.either(scaled.decay, recipe["training.decay"], f"{section}.decay"))
    ema = recipe["training.ema"]
    if scaled.ema_window is not None and ema.value:
        ema = Sourced(max(0.0, 1 - scaled.ema_window / steps), f"{where}.ema_window (the paper: {ema.value})")
    spec.set("training.ema", ema)
    spec.set(
        "training.precision", context.either(scaled.precision, recipe["training.precision"], f"{section}.precision")
    )
    for key in ("warmup", "final", "decay_fraction", "ema_warmup", "betas", "weight_decay", "clip", "seed"):
        spec.set(f"training.{key}", recipe[f"training.{key}"])
    if scaled.muon is not None:
        key = f"lrs.{system}" if system in scaled.muon.lrs else "lr"
        spec.set("training.muon.lr", rate * scaled.muon.lrs.get(system, scaled.muon.lr), f"{where}.muon.{key}")
        spec.set("training.muon.momentum", scaled.muon.momentum, f"{where}.muon.momentum")
    if scaled.first_weights is not None:
        spec.set("training.first_weights", scaled.first_weights, f"{where}.first_weights")
    if batch.value % scaled.microbatches:
        raise ConfigError(
            context.scale_file,
            f"{section}.microbatches",
            f"a batch of {batch.value} images has no {scaled.microbatches} equal micro-batches",
            "choose a divisor of the batch",
        )
    spec.set("training.microbatches", scaled.microbatches, f"{where}.microbatches")


def _images(data: Dataset, section: str, context: Context) -> int:
    if isinstance(data, EmojiData):
        raise ConfigError(
            context.scale_file,
            f"{section}.steps_per_epoch",
            "must be given: the embedded corpus has no epoch of the paper's length",
            "a number of steps",
        )
    return data.train_images
