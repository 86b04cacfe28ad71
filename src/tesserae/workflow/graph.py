"""The graph of stages as plain data: which jobs there are, what each reads, writes and is told.

A job is `<stage>/<recipe>`; its artifact lies in results/<scale>/<stage>/<recipe>/. One small function per stage,
in the order of the road. Nothing here imports torch or runs anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.project import Project, read_project
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Spec, Text
from tesserae.config.seeds import of_seeds
from tesserae.config.types import TRAININGS, Forecast
from tesserae.costs.describe import describe
from tesserae.lineage import manifest as manifests

# stage -> the files of its artifact, beside the manifest. The rules of workflow/rules name the same (a test looks).
OUTPUTS: dict[str, tuple[str, ...]] = {
    "dataset": (
        "train_images.npy",
        "train_labels.npy",
        "val_images.npy",
        "val_labels.npy",
        "index.json",
        "captions.json",
    ),
    "reference": ("train.npz", "val.npz", "val_features.npy"),
    "semantic_features": ("features.npy",),
    "sae": ("weights.safetensors", "curves.jsonl", "metrics.json"),
    "prompts": ("features.npy", "prompts.json"),
    "concepts": (
        "train_indices.npy",
        "train_offsets.npy",
        "val_indices.npy",
        "val_offsets.npy",
        "counts.npy",
        "class_counts.npy",
    ),
    "tokenizer": ("weights.safetensors", "curves.jsonl"),
    "reconstruction": ("metrics.json", "images.npz"),
    "denoising": ("denoising.npz",),
    "concept_f1": ("metrics.json",),
    "concept_examples": ("examples.npz", "metrics.json"),
    "latent_clusters": ("clusters.npz", "metrics.json"),
    "tokens": ("moments.npy", "labels.npy", "sums.npz"),
    "codes": ("codes.npy", "labels.npy", "counts.npy"),
    "generator": ("weights.safetensors", "curves.jsonl"),
    "sizes": ("metrics.json",),
    "settings": ("metrics.json",),
    "search_samples": ("samples.npy", "index.json"),
    "search": ("search.json",),
    "samples": ("samples.npy", "labels.npy", "index.json"),
    "features": ("features.npy", "logits.npy", "preview.npy"),
    "metrics": ("metrics.json", "preview.npy"),
    "table": ("table.csv", "table.md", "table.tex", "table.html", "metrics.json"),
    "figure": ("figure.png", "figure.svg", "figure.pdf"),
    "claims": ("claims.json", "claims.html", "claims.md", "metrics.json"),
    "notebook": ("notebook.ipynb", "notebook.html"),
    "lineage": ("lineage.html",),
    "forecast": ("forecast.json", "gantt.png", "gantt.svg"),
    "report": ("index.html",),
}

TEMPLATE = "A photo of a {}."  # of prompts
KINDS = ("cfg", "nocfg", "best")  # samples with guidance, without, at the best point of the whole search
PROMPTS = ("shuffled", "constant")  # instead of the prompt of an image's own class
SHOWN = {  # DECISION (D25): the paper gives no counts for Figures 3, 4 and 5
    "concept_examples": {"shown": 5, "images": 8, "ranked": 200},
    "latent_clusters": {
        "shown": 10,
        "images": 100,
        "components": 50,
        "neighbours": 10,
        "perplexity": 30.0,
        "iterations": 1000,
    },
}
TIMED = "detok"  # the paper that prints the hours of its trainings
PAPER = "paper"  # the scale of published sizes, and of trainings whose published hours costs are calibrated on

# What notebooks may import of the package: they run in a process of their own, so their imports are named here.
NOTEBOOK_MODULES = ["tesserae.reporting.figures", "tesserae.reporting.report", "tesserae.reporting.tables"]


@dataclass(frozen=True)
class Job:
    """One step: its stage and recipe, the spec it is told, the artifacts and the tracked files it reads by role."""

    stage: str
    recipe: str
    spec: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)  # role -> job id
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)  # job id -> the files read, if not all of them
    sources: dict[str, Path] = field(default_factory=dict)  # role -> file below the project folder
    papers: tuple[str, ...] = ()  # whose file has the recipe; none: shared
    comments: tuple[Path, ...] = ()  # files read for their comments only: no part of the identity
    data: str | None = None  # folder below data.root of a real data set
    weights: str | None = None  # published weights: a file in $TESSERAE_WEIGHTS

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.recipe}"


def jobs(project: Project) -> dict[str, Job]:
    """All jobs of a project by id, producers before consumers; ConfigError for a reference to nothing.

    Only what a table, a figure or a claim asks for: a recipe that nothing shows is not trained.
    """
    asked = _asked(project)
    found: dict[str, Job] = {}
    for job in _made(project, asked):
        _add(job, found)
    shown: list[Job] = []
    for paper in project.papers:
        shown += [*_tables(project, paper, found), *_figures(project, paper, found), *_claims(project, paper, found)]
    for job in shown:
        _add(job, found)
    needed = _upstream(found, [job.id for job in shown])
    found = {name: job for name, job in found.items() if name in needed}
    for paper in project.papers:
        _add(_notebook(project, paper, found), found)
    _add(_lineage(project, found), found)
    if project.scale.forecast:
        _add(_forecast(project, project.scale.forecast, found), found)
    _add(_report(project, found), found)
    return found


def _upstream(found: dict[str, Job], wanted: list[str]) -> set[str]:
    """Ids of `wanted` and of all that they are made from."""
    seen: set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += found[name].inputs.values()
    return seen


def _add(job: Job, found: dict[str, Job]) -> None:
    if job.id not in found:
        for role, producer in job.inputs.items():
            if producer not in found:
                raise ConfigError(
                    f"config/papers/{job.papers[0] if job.papers else ''}.yaml",
                    f"{job.id}: {role}",
                    f"there is no artifact {producer!r}",
                    f"one of {_near(producer, found)}",
                )
        found[job.id] = job


def _near(wanted: str, found: dict[str, Job]) -> str:
    stage = wanted.split("/")[0]
    return ", ".join(sorted(name for name in found if name.startswith(stage + "/"))) or ", ".join(OUTPUTS)


def _asked(project: Project) -> set[str]:
    """Ids of the artifacts that tables and figures name, of all seeds."""
    named = set()
    for paper in project.papers.values():
        for table in paper.tables.values():
            named |= {told.of(row) for told in table.columns.values() for row in told.rows or table.rows}
        for figure in paper.figures.values():
            patterns = [pattern for group in figure.inputs.values() for pattern in group.values()]
            named |= {pattern.format(row=row) for pattern in patterns for row in figure.rows}
    return {one for name in named for one in of_seeds(name, _seeds(project))}


def _made(project: Project, asked: set[str]) -> Iterator[Job]:
    """Everything that can be trained and measured, producers first."""
    for recipe in project.saes.values():
        yield from _sae(project, recipe)
    for recipe in project.tokenizers.values():
        dataset = _dataset(project, recipe)
        yield dataset
        yield _reference(project, dataset)
        yield from _side_inputs(project, recipe, dataset)
    for recipe in sorted(project.tokenizers.values(), key=lambda recipe: recipe.typed.finetune is not None):
        dataset = _dataset(project, recipe)
        tokenizer = _tokenizer(project, recipe, dataset)
        yield tokenizer
        yield from _reconstructions(project, recipe, tokenizer, dataset)
        yield _denoising(project, tokenizer, dataset)
        yield from _tokens(project, recipe, tokenizer, dataset)
        yield from _concept_measures(project, recipe, tokenizer, dataset)
    for recipe in project.generators.values():
        generator = _generator(project, recipe)
        yield generator
        yield from _evaluated(project, recipe.name, recipe, generator, recipe.typed.tokenizer, asked)
    for name, entry in project.decoded.items():
        recipe = project.generators.get(entry.generator)
        if recipe is None:
            key, known = f"decoded.{name}.generator", f"one of {', '.join(project.generators)}"
            raise ConfigError("config/papers", key, f"unknown generator {entry.generator!r}", known)
        generator = _generator(project, recipe)
        decoder = project.tokenizers.get(entry.decoder)
        if decoder is None or decoder.typed.finetune != recipe.typed.tokenizer:
            raise ConfigError(
                "config/papers",
                f"decoded.{name}.decoder",
                f"{entry.decoder!r} is no tokenizer that was fine-tuned from {recipe.typed.tokenizer}",
                "name a tokenizer recipe with `finetune`: only then both have the same latents",
            )
        yield from _evaluated(project, name, recipe, generator, entry.decoder, asked)
    yield from _sizes(project)
    yield from _settings(project)


# ---- seeds ------------------------------------------------------------------------------------------------------


def _of_seeds(project: Project, artifact: str) -> dict[str, str]:
    """Role -> id of an artifact for each seed: both the same, so that the role tells the seed."""
    return {name: name for name in of_seeds(artifact, _seeds(project))}


def _seeds(project: Project) -> list[int]:
    return list(range(1, project.scale.seeds + 1))


def _missing(project: Project, artifact: str, found: dict[str, Job]) -> str | None:
    """Why an artifact is not made at this scale; None if it is, or if it should be."""
    name = artifact.split("/")[1]
    for variant in (*KINDS, *PROMPTS):
        name = name.removesuffix(f"-{variant}")
    return None if artifact in found else project.omitted.get(name)


# ---- data -------------------------------------------------------------------------------------------------------


def _dataset(project: Project, recipe: Any) -> Job:
    name, data, _ = project.context.images(recipe)
    spec = Spec()
    for key, value in data.model_dump().items():
        if key not in ("corpus", "root"):  # where the bytes lie is not what they are
            spec.set(key, value, f"config/datasets.yaml: datasets.{name}.{key}")
    spec.set("image_size", project.context.mapped("image_size", recipe["image_size"]))
    family = "imagenet" if data.provider.startswith("imagenet") else data.provider
    spec.set("module", f"tesserae.data.{family}", "the provider's module")
    corpus = getattr(data, "corpus", None)
    sources = {"corpus": Path(corpus), "checksums": Path(corpus).with_name("SHA256SUMS")} if corpus else {}
    return Job(
        "dataset",
        f"{name}-{spec.values['image_size']}",
        spec.values,
        spec.origins,
        sources=sources,
        data=getattr(data, "root", None),
    )


def _reference(project: Project, dataset: Job) -> Job:
    spec = specs.evaluation(
        project.context, "extractor", "layer", "reference_samples", "precision_recall_reference", "batch"
    )
    return Job("reference", dataset.recipe, spec.values, spec.origins, {"dataset": dataset.id})


# ---- tokenizers -------------------------------------------------------------------------------------------------


def _tokenizer_spec(project: Project, recipe: Any) -> Spec:
    """Of a tokenizer that names concepts, also how many there are: its SAE says so."""
    spec, sae = specs.tokenizer(recipe, project.context), project.sae(recipe)
    if sae is not None:
        known = specs.sae(sae, project.context)
        spec.set("model.concepts", known.values["model"]["dictionary"], known.origins["model.dictionary"])
        spec.set("concept_set", project.context.scaled("topk_sae", sae, "concept_set"))
    return spec


def _side_inputs(project: Project, recipe: Any, dataset: Job) -> Iterator[Job]:
    """What a tokenizer reads beside images: features of the prompts, and each image's concepts."""
    if (text := specs.text(recipe, project.context)) is not None:
        spec, origin = specs.evaluation(project.context, "batch"), recipe["text_encoder"].origin
        spec.set("encoder", text.encoder, origin)
        spec.set("tokens", text.tokens, origin)
        spec.set("template", TEMPLATE, "the papers' template (D4)")
        name = _prompts(text, dataset)
        yield Job("prompts", name, spec.values, spec.origins, {"dataset": dataset.id}, {dataset.id: ("index.json",)})
    if (sae := _sae_of(project, recipe)) is not None:
        spec = specs.features(sae, project.context)
        spec.set("concepts", project.context.scaled("topk_sae", sae, "concept_set"))
        spec.set("sae", specs.SAE, "the SAE's module")
        spec.set("batch", project.context.scale.evaluation.batch, f"{project.context.scale_file}: evaluation.batch")
        inputs = {"dataset": dataset.id, "sae": f"sae/{sae.name}"}
        reads = {inputs["sae"]: ("weights.safetensors",)}
        yield Job(
            "concepts", f"{sae.name}-{dataset.recipe}", spec.values, spec.origins, inputs, reads, papers=_home(sae)
        )


def _sae_of(project: Project, recipe: Any) -> Any:
    """The SAE that a tokenizer is looked at with: its own, or its paper's; None for tokenizers that know of none."""
    if not hasattr(recipe.typed, "sae"):
        return None
    same = [sae for sae in project.saes.values() if sae.file == recipe.file]
    return project.sae(recipe) or (same[0] if same else None)


def _prompts(text: Text, dataset: Job) -> str:
    return f"{text.encoder}{text.tokens}-{dataset.recipe}"


def _reading(project: Project, recipe: Any, dataset: Job) -> dict[str, str]:
    """Role and id of the prompts that a tokenizer reads, if it does."""
    text = specs.text(recipe, project.context)
    return {} if text is None else {"prompts": f"prompts/{_prompts(text, dataset)}"}


def _naming(project: Project, recipe: Any, dataset: Job) -> dict[str, str]:
    """Role and id of the concepts that a tokenizer learns to name, if it does."""
    sae = project.sae(recipe)
    return {} if sae is None else {"concepts": f"concepts/{sae.name}-{dataset.recipe}"}


def _tokenizer(project: Project, recipe: Any, dataset: Job) -> Job:
    spec = _tokenizer_spec(project, recipe)
    inputs = {"dataset": dataset.id}
    if recipe.typed.source == "training":
        inputs |= _reading(project, recipe, dataset) | _naming(project, recipe, dataset)
    if recipe.typed.finetune:
        inputs["start"] = f"tokenizer/{project.tokenizer(recipe.typed.finetune, recipe, 'finetune').name}"
    return Job(
        "tokenizer",
        recipe.name,
        spec.values,
        spec.origins,
        inputs,
        {inputs["start"]: ("weights.safetensors",)} if "start" in inputs else {},
        papers=_home(recipe),
        weights=recipe.typed.file,
    )


def _measured_as(project: Project, recipe: Any, *keys: str) -> Spec:
    """The named settings of the scale's evaluation, as far as the recipe's paper does not measure otherwise."""
    spec, paper = specs.evaluation(project.context, *keys), recipe.file.stem
    told = project.papers[paper].measures
    if "quantisation" in keys and told.quantisation is not None:
        spec.set("quantisation", told.quantisation, f"{recipe.file}: measures.quantisation")
    return spec


def _reconstructions(project: Project, recipe: Any, tokenizer: Job, dataset: Job) -> Iterator[Job]:
    prompts, told = _reading(project, recipe, dataset), project.papers[recipe.file.stem].measures
    for prompt in ("given", *PROMPTS) if prompts else (None,):
        keys = ("extractor", "layer", "splits", "quantisation", "batch", "shown", *(("seed",) if prompt else ()))
        spec = _measured_as(project, recipe, *keys)
        if told.reconstruction_splits is not None:
            spec.set("splits", told.reconstruction_splits, f"{recipe.file}: measures.reconstruction_splits")
        spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
        if prompt is not None:
            spec.set("prompt", prompt, "whose class the prompt names")
        name = tokenizer.recipe if prompt in (None, "given") else _extended(tokenizer.recipe, prompt)
        inputs = {"dataset": dataset.id, "reference": f"reference/{dataset.recipe}", "tokenizer": tokenizer.id}
        yield Job("reconstruction", name, spec.values, spec.origins, inputs | prompts, papers=tokenizer.papers)


def _concept_measures(project: Project, recipe: Any, tokenizer: Job, dataset: Job) -> Iterator[Job]:
    """F1 of the concepts that a tokenizer names, examples of concepts, and how latents cluster by concept.

    A tokenizer that learned no concepts is clustered by those of its paper's SAE.
    """
    sae = _sae_of(project, recipe)
    if sae is None:
        return
    inputs = {"dataset": dataset.id, "tokenizer": tokenizer.id} | _reading(project, recipe, dataset)
    concepts, told = f"concepts/{sae.name}-{dataset.recipe}", specs.features(sae, project.context)
    shown = {"sae": f"sae/{sae.name}", "concepts": concepts}
    named = project.sae(recipe) is not None
    wanted = {"latent_clusters": inputs | shown} | (
        {"concept_f1": inputs | {"concepts": concepts}, "concept_examples": inputs | shown} if named else {}
    )
    for stage, read in wanted.items():
        spec = specs.evaluation(project.context, "batch", "seed")
        spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
        spec.set("concepts", project.context.scaled("topk_sae", sae, "concept_set"))
        if stage != "concept_f1":
            spec.values |= told.values
            spec.origins |= told.origins
            spec.set("sae", specs.SAE, "the SAE's module")
            for key in ("frequency", "dense"):
                spec.set(key, project.context.scaled("topk_sae", sae, key))
        for key, value in SHOWN.get(stage, {}).items():
            spec.set(key, value, "D25: the paper gives no counts")
        reads = {tokenizer.id: ("weights.safetensors",)} | (
            {shown["sae"]: ("weights.safetensors",)} if "sae" in read else {}
        )
        yield Job(stage, tokenizer.recipe, spec.values, spec.origins, read, reads, papers=tokenizer.papers)


def _sae(project: Project, recipe: Any) -> Iterator[Job]:
    """The frozen features of its images, in parts, and the sparse autoencoder that learns them."""
    dataset = _dataset(project, recipe)
    yield dataset
    for part in _parts(project, "semantic_features"):
        spec = specs.features(recipe, project.context)
        spec.set("split", "train", "the only split of the papers' image set")
        spec.set("batch", project.context.scale.evaluation.batch, f"{project.context.scale_file}: evaluation.batch")
        part.describe(spec)
        name = part.of(recipe.name)
        yield Job("semantic_features", name, spec.values, spec.origins, {"dataset": dataset.id}, papers=_home(recipe))
    spec = specs.sae(recipe, project.context)
    inputs = _gathered(project, "semantic_features", "semantic_features", recipe.name)
    yield Job("sae", recipe.name, spec.values, spec.origins, inputs, papers=_home(recipe))


def _denoising(project: Project, tokenizer: Job, dataset: Job) -> Job:
    spec = specs.evaluation(project.context, "shown", "seed", "batch")
    spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
    spec.set("gamma", 3.0, "Fig. A.1: the noise of the final tokenizer")
    spec.set("taus", [round(0.1 * k, 1) for k in range(10)], "Fig. A.1")
    spec.set("ratios", [round(0.1 * k, 1) for k in range(10)], "Fig. A.2")
    inputs = {"dataset": dataset.id, "tokenizer": tokenizer.id}
    return Job("denoising", tokenizer.recipe, spec.values, spec.origins, inputs, papers=tokenizer.papers)


def _kind(project: Project, tokenizer: str) -> str:
    """The stage that makes a tokenizer's tokens: `codes` of a discrete one."""
    spec = specs.tokenizer(project.tokenizers[tokenizer], project.context).values
    return "tokens" if tokens_of(spec["module"], spec["model"]).vocabulary is None else "codes"


def _tokens(project: Project, recipe: Any, tokenizer: Job, dataset: Job) -> Iterator[Job]:
    inputs = {"dataset": dataset.id, "tokenizer": tokenizer.id}
    kind = _kind(project, recipe.name)
    if kind == "codes":
        inputs |= _reading(project, recipe, dataset)
    for part in _parts(project, "tokens"):
        spec = specs.evaluation(project.context, "batch")
        spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
        if recipe.typed.latent_mean is not None:
            spec.set("standardisation.mean", recipe["latent_mean"])
            spec.set("standardisation.std", recipe["latent_std"])
        part.describe(spec)
        name = part.of(tokenizer.recipe)
        yield Job(kind, name, spec.values, spec.origins, inputs, papers=tokenizer.papers)


# ---- scattered stages -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """One of the equal pieces that a stage is scattered into; the only one has no number in its name."""

    number: int  # from 1
    count: int
    origin: str

    @property
    def _digits(self) -> str:
        return f"{self.number:0{len(str(self.count))}d}"

    def of(self, recipe: str) -> str:
        return recipe if self.count == 1 else f"{recipe}-{self._digits}of{self.count}"

    def role(self, name: str) -> str:
        return name if self.count == 1 else f"{name}.{self._digits}"

    def describe(self, spec: Spec) -> None:
        spec.set("part", self.number, self.origin)
        spec.set("parts", self.count, self.origin)


def _parts(project: Project, stage: str) -> list[_Part]:
    count = getattr(project.scale.parts, stage)
    origin = f"{project.context.scale_file}: parts.{stage}"
    return [_Part(number, count, origin) for number in range(1, count + 1)]


def _gathered(project: Project, stage: str, parts: str, recipe: str) -> dict[str, str]:
    """Roles and ids of all parts of a stage's recipe."""
    return {part.role(stage): f"{stage}/{part.of(recipe)}" for part in _parts(project, parts)}


# ---- generators and their numbers -------------------------------------------------------------------------------


def _generator(project: Project, recipe: Any) -> Job:
    tokenizer_recipe = project.tokenizer(recipe.typed.tokenizer, recipe)
    _, data, _ = project.context.dataset(tokenizer_recipe)
    tokenizer_spec = specs.tokenizer(tokenizer_recipe, project.context)
    spec = specs.generator(recipe, tokenizer_spec, data, project.context)
    kind = _kind(project, tokenizer_recipe.name)
    inputs = _gathered(project, kind, "tokens", tokenizer_recipe.name)
    if recipe.typed.source == "official" and kind == "codes":  # tokens would be read for their statistics
        inputs = {}
    return Job(
        "generator",
        recipe.name,
        spec.values,
        spec.origins,
        inputs,
        papers=_home(recipe),
        weights=recipe.typed.file,
    )


def _evaluated(
    project: Project, name: str, recipe: Any, generator: Job, decoder: str, asked: set[str]
) -> Iterator[Job]:
    """The search for guidance (and temperature), then samples and metrics at what it selected, as far as asked for.

    `name` is the generator's recipe, or what its tokens decoded by another tokenizer are called.
    """
    context, tokenizer = project.context, f"tokenizer/{decoder}"
    dataset = _dataset(project, project.tokenizers[decoder])
    kinds = [kind for kind in KINDS if f"metrics/{_extended(name, kind)}" in asked]
    sampler = specs.sampling(recipe, context)
    continuous = _kind(project, recipe.typed.tokenizer) == "tokens"
    tokens = _gathered(project, "tokens", "tokens", recipe.typed.tokenizer) if continuous else {}
    models = {"generator": generator.id, "tokenizer": tokenizer, **tokens}
    sums = dict.fromkeys(tokens.values(), ("sums.npz",))  # of the tokens, samplers need mean and std alone
    weights = {generator.id: ("weights.safetensors",), tokenizer: ("weights.safetensors",)}

    def sampling_spec(part: _Part, count: str) -> Spec:
        spec = _measured_as(project, recipe, count, "quantisation", "batch", "seed")
        part.describe(spec)
        labels = project.papers[recipe.file.stem].measures.labels
        spec.set("labels", labels, f"{recipe.file}: measures.labels")
        spec.set("modules.generator", generator.spec["module"], generator.origins["module"])
        spec.set("modules.tokenizer", _module(project, decoder), "the tokenizer's module")
        spec.set("classes", generator.spec["model"]["classes"], generator.origins["model.classes"])
        spec.set(
            "sampler",
            {"module": sampler.values["module"], **sampler.values["settings"]},
            f"{recipe.file}: generators.{recipe.name}.sampling",
        )
        return spec

    def job(stage: str, name: str, spec: Spec, inputs: dict[str, str], reads: dict[str, tuple[str, ...]]) -> Job:
        return Job(stage, name, spec.values, spec.origins, inputs, reads, papers=generator.papers)

    reference = f"reference/{dataset.recipe}"
    reads = {**weights, **sums}
    for part in _parts(project, "search_samples"):
        spec = sampling_spec(part, "search_samples")
        spec.set("search", sampler.values["search"], f"{recipe.file}: generators.{recipe.name}.sampling")
        unguided = "nocfg" in kinds or "best" in kinds
        spec.set("unguided", unguided, "whether a table shows numbers without guidance")
        yield job("search_samples", part.of(name), spec, models, reads)
    spec = specs.evaluation(context, "extractor", "layer", "splits", "batch")
    searched = _gathered(project, "search_samples", "search_samples", name)
    yield job("search", name, spec, {**searched, "reference": reference}, {})
    for kind in kinds:
        selected = _extended(name, kind)
        for part in _parts(project, "samples"):
            spec = sampling_spec(part, "samples")
            spec.set("selected", kind, "with guidance, without, or the best of both: what the table shows")
            yield job("samples", part.of(selected), spec, {**models, "search": f"search/{name}"}, reads)
            spec = specs.evaluation(context, "extractor", "layer", "batch", "shown")
            drawn = f"samples/{part.of(selected)}"
            yield job("features", part.of(selected), spec, {"samples": drawn}, {drawn: ("samples.npy",)})
        spec = specs.evaluation(context, "extractor", "layer", "splits", "neighbourhood", "shown")
        drawn = _gathered(project, "samples", "samples", selected)
        inputs = {**drawn, **_gathered(project, "features", "samples", selected), "reference": reference}
        yield job("metrics", selected, spec, inputs, dict.fromkeys(drawn.values(), ("index.json",)))


def _extended(name: str, kind: str) -> str:
    """`mar_b_joint.seed2` and `cfg` -> `mar_b_joint-cfg.seed2`: the seed stays the last part of a name."""
    recipe, dot, seed = name.partition(".")
    return f"{recipe}-{kind}{dot}{seed}"


def _sizes(project: Project) -> Iterator[Job]:
    """Parameters of every recipe at the paper's sizes, whatever the scale: counting costs nothing."""
    told = project if project.scale.scale == PAPER else read_project(project.root, PAPER)
    for recipe in told.tokenizers.values():
        yield _size(recipe.name, _tokenizer_spec(told, recipe), recipe, specs.frozen(recipe, told.context))
    for recipe in told.generators.values():
        _, data, _ = told.context.dataset(told.tokenizers[recipe.typed.tokenizer])
        tokenizer_spec = specs.tokenizer(told.tokenizer(recipe.typed.tokenizer, recipe), told.context)
        yield _size(recipe.name, specs.generator(recipe, tokenizer_spec, data, told.context), recipe)
    for name, entry in told.decoded.items():
        recipe = told.generators[entry.generator]
        _, data, _ = told.context.dataset(told.tokenizers[recipe.typed.tokenizer])
        tokenizer_spec = specs.tokenizer(told.tokenizers[recipe.typed.tokenizer], told.context)
        yield _size(name, specs.generator(recipe, tokenizer_spec, data, told.context), recipe)


def _size(name: str, described: Spec, recipe: Any, frozen: int = 0) -> Job:
    """`frozen`: parameters that are used and not trained."""
    spec = Spec()
    spec.set("frozen", frozen, "networks that the recipe's reads from")
    for key in ("module", "model"):
        spec.values[key] = described.values[key]
    spec.origins |= {
        key: origin for key, origin in described.origins.items() if key.split(".")[0] in ("module", "model")
    }
    return Job("sizes", name, spec.values, spec.origins, papers=_home(recipe))


def _settings(project: Project) -> Iterator[Job]:
    """Numbers of every recipe as the paper's scale says them: tables of hyper-parameters are checked against these."""
    told = project if project.scale.scale == PAPER else read_project(project.root, PAPER)
    for recipe in (*told.saes.values(), *told.tokenizers.values(), *told.generators.values()):
        numbers = {key: leaf for key, leaf in recipe.leaves.items() if isinstance(leaf.value, (int, float, list, bool))}
        spec = {key: leaf.value for key, leaf in numbers.items()}
        origins = {key: leaf.origin for key, leaf in numbers.items()}
        if recipe.name in told.saes:
            known = specs.sae(recipe, told.context)
            spec["width"], origins["width"] = known.values["model"]["width"], known.origins["model.width"]
        yield Job("settings", recipe.name, spec, origins, papers=_home(recipe))


def _home(recipe: Any) -> tuple[str]:
    """The paper whose file has a recipe."""
    return (recipe.file.stem,)


def _module(project: Project, tokenizer: str) -> str:
    return f"tesserae.tokenizers.{project.tokenizers[tokenizer].typed.system}"


# ---- tables, figures, notebooks, report -------------------------------------------------------------------------


def _shown(project: Project, found: dict[str, Job], cells: dict[tuple[str, str], str]) -> tuple[dict, list]:
    """Inputs of all seeds for the artifacts of `cells` (row, column), and the cells that this scale does without."""
    inputs, missing = {}, []
    for (row, column), artifact in cells.items():
        reason = _missing(project, artifact, found)
        if reason is None:
            inputs |= _of_seeds(project, artifact)
        else:
            missing.append({"row": row, "column": column, "reason": reason})
    return dict(sorted(inputs.items())), missing


def _tables(project: Project, paper: str, found: dict[str, Job]) -> Iterator[Job]:
    for name, table in project.papers[paper].tables.items():
        cells = {
            (row, column): told.of(row)
            for column, told in table.columns.items()
            for row in (table.rows if told.rows is None else told.rows)
        }
        inputs, missing = _shown(project, found, cells)
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            **table.model_dump(),
            "rows": list(map(list, table.rows.items())),
            "columns": [{"name": column, **told.model_dump()} for column, told in table.columns.items()],
            "seeds": _seeds(project),
            "missing": missing,
        }
        yield Job(
            "table",
            f"{paper}_{name}",
            spec,
            inputs=inputs,
            reads=dict.fromkeys(inputs.values(), ("metrics.json",)),
            sources={"published": Path(project.papers[paper].published)},
            papers=(paper,),
        )


# The files of each stage that figures draw from.
DRAWN_FROM = {
    "search": ("search.json",),
    "metrics": ("metrics.json", "preview.npy"),
    "reconstruction": ("images.npz",),
    "denoising": ("denoising.npz",),
    "concept_examples": ("examples.npz", "metrics.json"),
    "latent_clusters": ("clusters.npz", "metrics.json"),
}


def _figures(project: Project, paper: str, found: dict[str, Job]) -> Iterator[Job]:
    for name, figure in project.papers[paper].figures.items():
        cells = {
            (row, f"{group}: {role}"): pattern.format(row=row)
            for group, roles in figure.inputs.items()
            for role, pattern in roles.items()
            for row in figure.rows
        }
        inputs, missing = _shown(project, found, cells)
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            **figure.model_dump(),
            "rows": list(map(list, figure.rows.items())),
            "seeds": _seeds(project),
            "missing": missing,
        }
        yield Job(
            "figure",
            f"{paper}_{name}",
            spec,
            inputs=inputs,
            reads={name: DRAWN_FROM[name.split("/")[0]] for name in inputs.values()},
            sources={"published": Path(project.papers[paper].published)} if figure.published else {},
            papers=(paper,),
        )


# Where the numbers of a stage stand.
NUMBERS = {
    "search": ("search.json",),
    **dict.fromkeys(("metrics", "reconstruction", "sizes", "concept_f1", "latent_clusters"), ("metrics.json",)),
}


def _claims(project: Project, paper: str, found: dict[str, Job]) -> Iterator[Job]:
    """A verdict for every statement of a paper, from the cells of its tables and the curves of its figures."""
    told = project.papers[paper]
    if told.claims is None:
        return
    claims = project.claims[paper]
    inputs: dict[str, str] = {}
    cells = []
    for table, row, column in sorted({cell for claim in claims for cell in claim.cells()}):
        cell = {"table": table, "row": row, "column": column}
        artifact, value = _measured(told, table, row, column)
        reason = f"no table or figure of {paper} has this number" if artifact is None else None
        if any(found.source == table and row in found.published_rows for found in told.tables.values()):
            reason = "cited by the paper, not run here"
        reason = reason or _missing(project, artifact, found)
        if reason is None:
            roles = _of_seeds(project, artifact)
            inputs |= roles
            cell |= {"artifacts": list(roles), "value": value}
        else:
            cell |= {"reason": reason}
        cells.append(cell)
    spec = {
        "paper": paper,
        "title": told.title,
        "scale": project.scale.scale,
        "seeds": _seeds(project),
        "cells": cells,
        "claims": [claim.plain() for claim in claims],
    }
    yield Job(
        "claims",
        paper,
        spec,
        inputs=dict(sorted(inputs.items())),
        reads={name: NUMBERS[name.split("/")[0]] for name in inputs.values()},
        sources={"published": Path(told.published)},
        papers=(paper,),
    )


def _measured(told: Any, source: str, row: str, column: str) -> tuple[str, str] | tuple[None, None]:
    """The artifact behind a printed number, and the name of the number in it; a figure's rows are `group | row`."""
    for table in told.tables.values():
        key = next((key for key, label in table.rows.items() if label == row), None)
        if table.source == source and key and column in table.columns:
            found = table.columns[column]
            return found.of(key), found.values.get(key, found.value)
    group, _, label = row.partition(" | ")
    for figure in told.figures.values():
        key = next((key for key, shown in figure.rows.items() if shown == label), None)
        if figure.source == source and key and "search" in figure.inputs.get(group, {}):
            return figure.inputs[group]["search"].format(row=key), f"search:cfg:{column.lower()}"
    return None, None


def _notebook(project: Project, paper: str, found: dict[str, Job]) -> Job:
    shown = [job for job in found.values() if job.papers == (paper,) and job.stage in ("table", "figure", "claims")]
    inputs, reads = {job.id: job.id for job in shown}, {}
    for job in found.values():
        if job.stage in TRAININGS and job.papers == (paper,):
            inputs[job.id], reads[job.id] = job.id, ("curves.jsonl",)
    spec = {"paper": paper, "scale": project.scale.scale, "modules": NOTEBOOK_MODULES}
    return Job(
        "notebook",
        paper,
        spec,
        inputs=inputs,
        reads=reads,
        sources={"notebook": Path(project.papers[paper].notebook)},
        papers=(paper,),
    )


def _lineage(project: Project, found: dict[str, Job]) -> Job:
    """The page that leads from any number to what it was made from: it reads manifests, and the numbers themselves."""
    numbers = {"table.csv", "metrics.json"}
    upstream: set[str] = set()
    todo = [job.id for job in found.values() if job.stage in ("table", "figure", "claims", "notebook")]
    while todo:
        name = todo.pop()
        if name not in upstream:
            upstream.add(name)
            todo += found[name].inputs.values()
    names = [name for name in found if name in upstream]
    return Job(
        "lineage",
        "index",
        {"scale": project.scale.scale},
        inputs={name: name for name in names},
        reads={
            name: (manifests.NAME, *(file for file in OUTPUTS[found[name].stage] if file in numbers)) for name in names
        },
    )


def _forecast(project: Project, wanted: Forecast, found: dict[str, Job]) -> Job:
    """What another scale (or this one) would cost. The plan itself is the spec: nothing is read but published hours."""

    def planned(scale: str, papers: list[str]) -> tuple[Project, dict[str, Job]]:
        if scale == project.scale.scale and set(papers) <= set(project.papers):
            return project, found
        other = read_project(project.root, scale, papers)
        without = replace(other, scale=other.scale.model_copy(update={"forecast": None}))
        return other, jobs(without)

    told, planned_jobs = planned(wanted.scale, [*project.papers])
    resources = told.scale.resources
    spec = describe(
        planned_jobs,
        {job.stage: resources.get(job.stage, resources["default"]) for job in planned_jobs.values()},
        published=planned_jobs if wanted.scale == PAPER and TIMED in told.papers else planned(PAPER, [TIMED])[1],
        scale=wanted.scale,
        gpu=wanted.gpu,
        gpus=wanted.gpus,
    )
    return Job("forecast", wanted.scale, spec, sources={"published": Path("config/published/detok.csv")})


def _report(project: Project, found: dict[str, Job]) -> Job:
    papers = [
        {
            "paper": name,
            "title": paper.title,
            "arxiv": paper.arxiv,
            "tables": {f"{name}_{key}": table.title for key, table in paper.tables.items()},
            "figures": {f"{name}_{key}": figure.title for key, figure in paper.figures.items()},
        }
        for name, paper in project.papers.items()
    ]
    inputs = [
        f"{kind}/{key}"
        for paper in papers
        for kind, keys in (("table", paper["tables"]), ("figure", paper["figures"]))
        for key in keys
    ]
    whole = ("table", "figure", "claims", "notebook", "forecast")
    summed = ("claims", "notebook", *TRAININGS, "reconstruction", "codes", "search", "metrics")
    inputs += [job.id for stage in summed for job in found.values() if job.stage == stage]
    reads = {name: (manifests.NAME,) for name in inputs if name.split("/")[0] not in whole}
    reads |= {name: (*files, "curves.jsonl") for name, files in reads.items() if name.startswith("tokenizer/")}
    if project.scale.forecast:
        inputs.append(f"forecast/{project.scale.forecast.scale}")
    return Job(
        "report",
        "index",
        {"scale": project.scale.scale, "purpose": project.scale.purpose, "papers": papers},
        inputs={name: name for name in ["lineage/index", *inputs]},
        reads=reads,
        comments=(*(Path(f"config/papers/{name}.yaml") for name in project.papers), project.context.scale_file),
    )
