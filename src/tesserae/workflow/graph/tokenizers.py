"""The graph up to tokens: data sets, sparse autoencoders, tokenizers and what they read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tesserae.config import continuing, latents, proxies
from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.parts import ProxyTokenizer
from tesserae.config.project import Project
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Sourced, Spec, Text
from tesserae.config.types import Dataset
from tesserae.workflow.graph.job import Job, gathered, home, reads_of, shards_of


def dataset_job(project: Project, recipe: Any) -> Job:
    name, data, _ = project.context.images(recipe)
    return data_job(project, name, data, project.context.mapped("image_size", recipe["image_size"]))


def data_job(project: Project, name: str, data: Dataset, side: Sourced) -> Job:
    """A data set of config/datasets.yaml at a side."""
    spec = Spec()
    _describe(spec, name, data)
    spec.set("image_size", side)
    return Job(
        "dataset",
        f"{name}-{spec.values['image_size']}",
        spec.values,
        spec.origins,
        sources=_sources(data),
        data=getattr(data, "root", None),
    )


def masks_job(project: Project, recipe: Any, dataset: Job) -> Job | None:
    """Of the images in which a recipe's paper looks for objects, at the size that the tokenizer sees; None for none.

    ConfigError if no data set plays the role, or one that has no masks.
    """
    role = project.papers[recipe.file.stem].measures.masks
    if role is None:
        return None
    name, data, origin = project.context.playing(role, recipe.file, "measures.masks")
    splits = {"emoji": "val", "ecssd": "all"}  # which nobody trained on
    if data.provider not in splits:
        raise ConfigError(
            project.context.scale_file,
            f"datasets.{role}",
            f"{name} has no masks of objects",
            f"name a data set of {' or '.join(splits)} ({project.context.datasets_file})",
        )
    spec, split = Spec(), splits[data.provider]
    _describe(spec, name, data)
    spec.set("split", split, origin)
    spec.set("image_size", dataset.spec["image_size"], dataset.origins["image_size"])
    recipe_of_it = f"{name}-{split}-{spec.values['image_size']}"
    data_at = {"sources": _sources(data), "data": getattr(data, "root", None)}
    return Job("masks", recipe_of_it, spec.values, spec.origins, **data_at)


def _describe(spec: Spec, name: str, data: Any) -> None:
    """What a data set is, and which module reads it."""
    for key, value in data.model_dump().items():
        if key not in ("corpus", "root"):  # where the bytes lie is not what they are
            spec.set(key, value, f"config/datasets.yaml: datasets.{name}.{key}")
    family = "imagenet" if data.provider.startswith("imagenet") else data.provider
    spec.set("module", f"tesserae.data.{family}", "the provider's module")


def _sources(data: Any) -> dict[str, Path]:
    """The tracked files of an embedded corpus."""
    corpus = getattr(data, "corpus", None)
    return {"corpus": Path(corpus), "checksums": Path(corpus).with_name("SHA256SUMS")} if corpus else {}


def reference_job(project: Project, recipe: Any, dataset: Job) -> Job:
    """Of the images that a recipe's samples or reconstructions are compared with, measured as its paper does."""
    spec = specs.evaluation(
        project.context, "extractor", "layer", "reference_samples", "precision_recall_reference", "batch"
    )
    name = dataset.recipe
    if (side := measured_side(project, recipe, dataset)) is not None:
        spec.set("measured_at", side)
        name += f"-at{side.value}"
    return Job("reference", name, spec.values, spec.origins, {"dataset": dataset.id})


def measured_side(project: Project, recipe: Any, dataset: Job) -> Sourced | None:
    """Side to which images are resized before they are measured; None where it is the data set's."""
    wanted = project.papers[recipe.file.stem].measures.measured_at
    if wanted is None:
        return None
    side = project.context.mapped("image_size", Sourced(wanted, f"{recipe.file}: measures.measured_at"))
    return None if side.value == dataset.spec["image_size"] else side


def tokenizer_spec_of(project: Project, recipe: Any) -> Spec:
    """Of a tokenizer that names concepts, also how many there are: its SAE says so. Of one that learns the codes of
    another, or draws in its latents, also what that one's network is; ConfigError if the two do not fit.
    """
    spec, sae = specs.tokenizer(recipe, project.context), project.sae(recipe)
    proxy = project.proxy(recipe)
    if proxy is not None:
        proxies.describe(spec, recipe, proxy, specs.tokenizer(proxy, project.context))
    if (stage := project.latents_of(recipe)) is not None:
        latents.describe(spec, recipe, stage, specs.tokenizer(stage, project.context))
    if sae is not None:
        known = specs.sae(sae, project.context)
        spec.set("model.concepts", known.values["model"]["dictionary"], known.origins["model.dictionary"])
        spec.set("concept_set", project.context.scaled("topk_sae", sae, "concept_set"))
    return spec


def side_input_jobs(project: Project, recipe: Any, dataset: Job) -> Iterator[Job]:
    """What a tokenizer reads beside images: features of the prompts, and each image's concepts."""
    if (text := specs.text(recipe, project.context)) is not None:
        spec, origin = specs.evaluation(project.context, "batch"), recipe["text_encoder"].origin
        spec.set("encoder", text.encoder, origin)
        spec.set("tokens", text.tokens, origin)
        spec.set("template", *_template(project, recipe))
        name, inputs = _prompts(text, dataset), {"dataset": dataset.id}
        yield Job("prompts", name, spec.values, spec.origins, inputs, reads_of("prompts", inputs))
    if (teacher := _teacher(project, recipe)) is not None:
        for shard in shards_of(project, "teacher_features"):
            spec = specs.evaluation(project.context, "batch")
            spec.set("teacher", teacher)
            shard.describe(spec)
            name, inputs = shard.of(f"{teacher.value}-{dataset.recipe}"), {"dataset": dataset.id}
            yield Job("teacher_features", name, spec.values, spec.origins, inputs)
    if (sae := sae_of(project, recipe)) is not None:
        spec = specs.features(sae, project.context)
        spec.set("concepts", project.context.scaled("topk_sae", sae, "concept_set"))
        spec.set("sae", specs.SAE, "the SAE's module")
        spec.set("batch", project.context.scale.evaluation.batch, f"{project.context.scale_file}: evaluation.batch")
        inputs = {"dataset": dataset.id, "sae": f"sae/{sae.name}"}
        reads = reads_of("concepts", inputs)
        yield Job(
            "concepts", f"{sae.name}-{dataset.recipe}", spec.values, spec.origins, inputs, reads, papers=home(sae)
        )


def _teacher(project: Project, recipe: Any) -> Sourced | None:
    """The network that a tokenizer aligns with; None where it does not, or is not trained."""
    return specs.teacher(recipe, project.context) if recipe.typed.source == "training" else None


def _aligning(project: Project, recipe: Any, dataset: Job) -> dict[str, str]:
    """Roles and ids of the features that a tokenizer aligns with, if it does."""
    teacher = _teacher(project, recipe)
    return (
        {}
        if teacher is None
        else gathered(project, "teacher_features", "teacher_features", f"{teacher.value}-{dataset.recipe}")
    )


def _template(project: Project, recipe: Any) -> tuple[str, str]:
    """The prompt that the recipe's paper gives, and where it says so; ConfigError if it gives none."""
    prompt = project.papers[recipe.file.stem].measures.prompt
    if prompt is None:
        problem = f"the tokenizer {recipe.name} reads prompts, and the paper gives none"
        raise ConfigError(recipe.file, "measures.prompt", problem, 'such as "A photo of a {}."')
    return prompt, f"{recipe.file}: measures.prompt"


def sae_of(project: Project, recipe: Any) -> Any:
    """The SAE that a tokenizer is looked at with: its own, or its paper's; None for tokenizers that know of none."""
    if not hasattr(recipe.typed, "sae"):
        return None
    same = [sae for sae in project.saes.values() if sae.file == recipe.file]
    return project.sae(recipe) or (same[0] if same else None)


def _prompts(text: Text, dataset: Job) -> str:
    return f"{text.encoder}{text.tokens}-{dataset.recipe}"


def prompts_of(project: Project, recipe: Any, dataset: Job) -> str | None:
    """Id of the prompts that a tokenizer reads; None if it reads none."""
    text = specs.text(recipe, project.context)
    return None if text is None else f"prompts/{_prompts(text, dataset)}"


def _reading(project: Project, recipe: Any, dataset: Job) -> dict[str, str]:
    """Role and id of the prompts that a tokenizer reads, if it does."""
    prompts = prompts_of(project, recipe, dataset)
    return {} if prompts is None else {"prompts": prompts}


def _naming(project: Project, recipe: Any, dataset: Job) -> dict[str, str]:
    """Role and id of the concepts that a tokenizer learns to name, if it does."""
    sae = project.sae(recipe)
    return {} if sae is None else {"concepts": f"concepts/{sae.name}-{dataset.recipe}"}


def _learning(project: Project, recipe: Any) -> dict[str, str]:
    """Roles and ids of the tokenizer whose codes another one learns, and of those codes, if it does."""
    proxy = project.proxy(recipe)
    if proxy is None or recipe.typed.learns != "codes":
        return {}
    return {"proxy": f"tokenizer/{proxy.name}", **gathered(project, "codes", "tokens", proxy.name)}


def made_after(project: Project, recipe: Any, chain: tuple[str, ...] = ()) -> int:
    """How many tokenizers have to be made before one, each from the one before.

    ConfigError for recipes that there are not, and for one that is made from itself, through those of `chain`.
    """
    if recipe.name in chain:
        problem = f"it is made from itself: {' from '.join([*chain, recipe.name])}"
        raise ConfigError(recipe.file, f"tokenizers.{recipe.name}", problem, "let one of them stand on its own")
    names = {key: getattr(recipe.typed, key, None) for key in ("finetune", "continues", "proxy")}
    names["latents_of"] = latents.named(recipe, project.scale)
    if recipe.typed.source == "official":
        names["proxy"] = None
    found = [project.tokenizer(name, recipe, key) for key, name in names.items() if name is not None]
    return max((1 + made_after(project, one, (*chain, recipe.name)) for one in found), default=0)


def tokenizer_job(project: Project, recipe: Any, dataset: Job) -> Job:
    spec = tokenizer_spec_of(project, recipe)
    inputs = {"dataset": dataset.id}
    if recipe.typed.source == "training":
        inputs |= _reading(project, recipe, dataset) | _naming(project, recipe, dataset) | _learning(project, recipe)
        inputs |= _aligning(project, recipe, dataset)
    if (stage := project.latents_of(recipe)) is not None:
        inputs["first_stage"] = f"tokenizer/{stage.name}"
    if recipe.typed.finetune:
        start = project.tokenizer(recipe.typed.finetune, recipe, "finetune")
        if isinstance(recipe.typed, ProxyTokenizer):
            proxies.check_start(spec, recipe, start, tokenizer_spec_of(project, start))
        inputs["start"] = f"tokenizer/{start.name}"
    if recipe.typed.continues:
        start = project.tokenizer(recipe.typed.continues, recipe, "continues")
        continuing.check(spec, recipe, start, tokenizer_spec_of(project, start))
        inputs["continued"] = f"tokenizer/{start.name}"
    return Job(
        "tokenizer",
        recipe.name,
        spec.values,
        spec.origins,
        inputs,
        reads_of("tokenizer", inputs),
        papers=home(recipe),
        weights=recipe.typed.file,
    )


def measured_as(project: Project, recipe: Any, dataset: Job, *keys: str) -> Spec:
    """The named settings of the scale's evaluation, as far as the recipe's paper does not measure otherwise.

    Among them may be "measured_at": it is set where images are resized from the data set's side before.
    """
    spec = specs.evaluation(project.context, *(key for key in keys if key != "measured_at"))
    paper = recipe.file.stem
    if "measured_at" in keys and (side := measured_side(project, recipe, dataset)) is not None:
        spec.set("measured_at", side)
    measures = project.papers[paper].measures
    if "rounding" in keys and measures.rounding is not None:
        spec.set("rounding", measures.rounding, f"{recipe.file}: measures.rounding")
    return spec


def sae_jobs(project: Project, recipe: Any) -> Iterator[Job]:
    """The frozen features of its images, in shards, and the sparse autoencoder that learns them."""
    dataset = dataset_job(project, recipe)
    yield dataset
    for shard in shards_of(project, "semantic_features"):
        spec = specs.features(recipe, project.context)
        spec.set("split", "train", "the only split of the papers' image set")
        spec.set("batch", project.context.scale.evaluation.batch, f"{project.context.scale_file}: evaluation.batch")
        shard.describe(spec)
        name = shard.of(recipe.name)
        yield Job("semantic_features", name, spec.values, spec.origins, {"dataset": dataset.id}, papers=home(recipe))
    spec = specs.sae(recipe, project.context)
    inputs = gathered(project, "semantic_features", "semantic_features", recipe.name)
    yield Job("sae", recipe.name, spec.values, spec.origins, inputs, papers=home(recipe))


def tokens_stage(project: Project, tokenizer: str) -> str:
    """The stage that makes a tokenizer's tokens: of a discrete one `codes`, or `ragged_codes` where rows have gaps."""
    spec = specs.tokenizer(project.tokenizers[tokenizer], project.context).values
    made = tokens_of(spec["module"], spec["model"])
    return "tokens" if made.vocabulary is None else "ragged_codes" if made.ragged else "codes"


def token_jobs(project: Project, recipe: Any, tokenizer: Job, dataset: Job) -> Iterator[Job]:
    inputs = {"dataset": dataset.id, "tokenizer": tokenizer.id}
    kind = tokens_stage(project, recipe.name)
    if kind != "tokens":
        inputs |= _reading(project, recipe, dataset)
    for shard in shards_of(project, "tokens"):
        spec = specs.evaluation(project.context, "batch")
        spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
        if recipe.typed.latent_mean is not None:
            spec.set("standardisation.mean", recipe["latent_mean"])
            spec.set("standardisation.std", recipe["latent_std"])
        shard.describe(spec)
        name = shard.of(tokenizer.recipe)
        yield Job(kind, name, spec.values, spec.origins, inputs, papers=tokenizer.papers)


def module_of(project: Project, tokenizer: str) -> str:
    return f"tesserae.tokenizers.{project.tokenizers[tokenizer].typed.system}"
