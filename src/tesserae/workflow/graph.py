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
from tesserae.config.spec import Spec
from tesserae.config.types import Forecast
from tesserae.costs.describe import describe
from tesserae.lineage import manifest as manifests

# stage -> the files of its artifact, beside the manifest. The rules of workflow/rules name the same (a test looks).
OUTPUTS: dict[str, tuple[str, ...]] = {
    "dataset": ("train_images.npy", "train_labels.npy", "val_images.npy", "val_labels.npy", "index.json"),
    "reference": ("train.npz", "val.npz", "val_features.npy"),
    "tokenizer": ("weights.safetensors", "curves.jsonl"),
    "reconstruction": ("metrics.json", "images.npz"),
    "denoising": ("denoising.npz",),
    "tokens": ("moments.npy", "labels.npy", "sums.npz"),
    "generator": ("weights.safetensors", "curves.jsonl"),
    "search_samples": ("samples.npy", "index.json"),
    "search": ("search.json",),
    "samples": ("samples.npy", "labels.npy", "index.json"),
    "features": ("features.npy", "logits.npy", "preview.npy"),
    "metrics": ("metrics.json", "preview.npy"),
    "table": ("table.csv", "table.md", "table.tex", "table.html", "metrics.json"),
    "figure": ("figure.png", "figure.svg", "figure.pdf"),
    "notebook": ("notebook.ipynb", "notebook.html"),
    "lineage": ("lineage.html",),
    "forecast": ("forecast.json", "gantt.png", "gantt.svg"),
    "report": ("index.html",),
}

CALIBRATED = "paper"  # the scale of the trainings whose published hours costs are calibrated on

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

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.recipe}"


def jobs(project: Project) -> dict[str, Job]:
    """All jobs of a project by id, producers before consumers; ConfigError for a reference to nothing."""
    found: dict[str, Job] = {}
    for job in _all(project):
        _add(job, found)
    _add(_lineage(project, found), found)
    if project.scale.forecast:
        _add(_forecast(project, project.scale.forecast, found), found)
    _add(_report(project), found)
    return found


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


def _all(project: Project) -> Iterator[Job]:
    for recipe in project.tokenizers.values():
        dataset = _dataset(project, recipe)
        yield dataset
        yield _reference(project, dataset)
        tokenizer = _tokenizer(project, recipe, dataset)
        yield tokenizer
        yield _reconstruction(project, tokenizer, dataset)
        yield _denoising(project, tokenizer, dataset)
        yield from _tokens(project, tokenizer, dataset)
    for recipe in project.generators.values():
        tokenizer_recipe = project.tokenizer(recipe.typed.tokenizer, recipe)
        dataset = _dataset(project, tokenizer_recipe)
        generator = _generator(project, recipe, tokenizer_recipe)
        yield generator
        yield from _evaluated(project, recipe, generator, dataset)
    for paper in project.papers:
        shown = [*_tables(project, paper), *_figures(project, paper)]
        yield from shown
        yield _notebook(project, paper, shown)


# ---- data -------------------------------------------------------------------------------------------------------


def _dataset(project: Project, recipe: Any) -> Job:
    name, data, _ = project.context.dataset(recipe)
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


def _tokenizer(project: Project, recipe: Any, dataset: Job) -> Job:
    spec = specs.tokenizer(recipe, project.context)
    return Job("tokenizer", recipe.name, spec.values, spec.origins, {"dataset": dataset.id}, papers=_home(recipe))


def _reconstruction(project: Project, tokenizer: Job, dataset: Job) -> Job:
    spec = specs.evaluation(project.context, "extractor", "layer", "splits", "quantisation", "batch", "shown")
    spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
    return Job(
        "reconstruction",
        tokenizer.recipe,
        spec.values,
        spec.origins,
        {"dataset": dataset.id, "reference": f"reference/{dataset.recipe}", "tokenizer": tokenizer.id},
        papers=tokenizer.papers,
    )


def _denoising(project: Project, tokenizer: Job, dataset: Job) -> Job:
    spec = specs.evaluation(project.context, "shown", "seed", "batch")
    spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
    spec.set("gamma", 3.0, "Fig. A.1: the noise of the final tokenizer")
    spec.set("taus", [round(0.1 * k, 1) for k in range(10)], "Fig. A.1")
    inputs = {"dataset": dataset.id, "tokenizer": tokenizer.id}
    return Job("denoising", tokenizer.recipe, spec.values, spec.origins, inputs, papers=tokenizer.papers)


def _tokens(project: Project, tokenizer: Job, dataset: Job) -> Iterator[Job]:
    inputs = {"dataset": dataset.id, "tokenizer": tokenizer.id}
    for part in _parts(project, "tokens"):
        spec = specs.evaluation(project.context, "batch")
        spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
        part.describe(spec)
        name = part.of(tokenizer.recipe)
        yield Job("tokens", name, spec.values, spec.origins, inputs, papers=tokenizer.papers)


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


def _generator(project: Project, recipe: Any, tokenizer_recipe: Any) -> Job:
    _, data, _ = project.context.dataset(tokenizer_recipe)
    tokenizer_spec = specs.tokenizer(tokenizer_recipe, project.context)
    spec = specs.generator(recipe, tokenizer_spec, data, project.context)
    inputs = _gathered(project, "tokens", "tokens", tokenizer_recipe.name)
    return Job("generator", recipe.name, spec.values, spec.origins, inputs, papers=_home(recipe))


def _evaluated(project: Project, recipe: Any, generator: Job, dataset: Job) -> Iterator[Job]:
    """The search for guidance (and temperature), then samples and metrics at what it selected."""
    context, tokenizer = project.context, f"tokenizer/{recipe.typed.tokenizer}"
    sampler = specs.sampling(recipe, context)
    tokens = _gathered(project, "tokens", "tokens", recipe.typed.tokenizer)
    models = {"generator": generator.id, "tokenizer": tokenizer, **tokens}
    sums = dict.fromkeys(tokens.values(), ("sums.npz",))  # of the tokens, samplers need mean and std alone

    def sampling_spec(part: _Part, count: str, *more: str) -> Spec:
        spec = specs.evaluation(context, count, "quantisation", "batch", "seed")
        part.describe(spec)
        spec.set("modules.generator", generator.spec["module"], generator.origins["module"])
        spec.set("modules.tokenizer", _module(project, recipe), "the tokenizer's module")
        spec.set("classes", generator.spec["model"]["classes"], generator.origins["model.classes"])
        spec.set(
            "sampler",
            {"module": sampler.values["module"], **sampler.values["settings"]},
            f"{recipe.file}: generators.{recipe.name}.sampling",
        )
        for key in more:
            spec.set(key, sampler.values[key], f"{recipe.file}: generators.{recipe.name}.sampling")
        return spec

    def job(stage: str, name: str, spec: Spec, inputs: dict[str, str], reads: dict[str, tuple[str, ...]]) -> Job:
        return Job(stage, name, spec.values, spec.origins, inputs, reads, papers=generator.papers)

    reference = f"reference/{dataset.recipe}"
    for part in _parts(project, "search_samples"):
        spec = sampling_spec(part, "search_samples", "search")
        yield job("search_samples", part.of(recipe.name), spec, models, sums)
    spec = specs.evaluation(context, "extractor", "layer", "splits", "batch")
    searched = _gathered(project, "search_samples", "search_samples", recipe.name)
    yield job("search", recipe.name, spec, {**searched, "reference": reference}, {})
    for guidance in ("cfg", "nocfg"):
        name = f"{recipe.name}-{guidance}"
        for part in _parts(project, "samples"):
            spec = sampling_spec(part, "samples")
            spec.set("selected", guidance, "Table columns w/ CFG and w/o CFG")
            yield job("samples", part.of(name), spec, {**models, "search": f"search/{recipe.name}"}, sums)
            spec = specs.evaluation(context, "extractor", "layer", "batch", "shown")
            drawn = f"samples/{part.of(name)}"
            yield job("features", part.of(name), spec, {"samples": drawn}, {drawn: ("samples.npy",)})
        spec = specs.evaluation(context, "extractor", "layer", "splits", "neighbourhood", "shown")
        drawn = _gathered(project, "samples", "samples", name)
        inputs = {**drawn, **_gathered(project, "features", "samples", name), "reference": reference}
        yield job("metrics", name, spec, inputs, dict.fromkeys(drawn.values(), ("index.json",)))


def _home(recipe: Any) -> tuple[str]:
    """The paper whose file has a recipe."""
    return (recipe.file.stem,)


def _module(project: Project, recipe: Any) -> str:
    return specs.tokenizer(project.tokenizer(recipe.typed.tokenizer, recipe), project.context).values["module"]


# ---- tables, figures, notebooks, report -------------------------------------------------------------------------


def _tables(project: Project, paper: str) -> Iterator[Job]:
    for name, table in project.papers[paper].tables.items():
        artifacts = {column.artifact.format(row=row) for column in table.columns.values() for row in table.rows}
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            **table.model_dump(),
            "rows": list(map(list, table.rows.items())),
            "columns": [{"name": column, **found.model_dump()} for column, found in table.columns.items()],
        }
        yield Job(
            "table",
            f"{paper}_{name}",
            spec,
            inputs={artifact: artifact for artifact in sorted(artifacts)},
            sources={"published": Path(project.papers[paper].published)},
            papers=(paper,),
        )


def _figures(project: Project, paper: str) -> Iterator[Job]:
    for name, figure in project.papers[paper].figures.items():
        artifacts = {
            pattern.format(row=row): None
            for group in figure.inputs.values()
            for pattern in group.values()
            for row in figure.rows
        }
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            **figure.model_dump(),
            "rows": list(map(list, figure.rows.items())),
        }
        sources = {"published": Path(project.papers[paper].published)} if figure.published else {}
        yield Job(
            "figure",
            f"{paper}_{name}",
            spec,
            inputs={artifact: artifact for artifact in artifacts},
            sources=sources,
            papers=(paper,),
        )


def _notebook(project: Project, paper: str, shown: list[Job]) -> Job:
    inputs, reads = {job.id: job.id for job in shown}, {}
    trained = {**project.tokenizers, **project.generators}
    for name, recipe in trained.items():
        if recipe.file == Path(f"config/papers/{paper}.yaml"):
            job = f"{recipe.section[:-1]}/{name}"
            inputs[job], reads[job] = job, ("curves.jsonl",)
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
    todo = [job.id for job in found.values() if job.stage in ("table", "figure", "notebook")]
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

    def planned(scale: str) -> tuple[Project, dict[str, Job]]:
        if scale == project.scale.scale:
            return project, found
        other = read_project(project.root, scale)
        without = replace(other, scale=other.scale.model_copy(update={"forecast": None}))
        return other, jobs(without)

    told, planned_jobs = planned(wanted.scale)
    resources = told.scale.resources
    spec = describe(
        planned_jobs,
        {job.stage: resources.get(job.stage, resources["default"]) for job in planned_jobs.values()},
        published=planned_jobs if wanted.scale == CALIBRATED else planned(CALIBRATED)[1],
        scale=wanted.scale,
        gpu=wanted.gpu,
        gpus=wanted.gpus,
    )
    return Job("forecast", wanted.scale, spec, sources={"published": Path("config/published/detok.csv")})


def _report(project: Project) -> Job:
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
    inputs += [f"notebook/{name}" for name in project.papers]
    inputs += [f"{stage}/{name}" for stage in ("tokenizer", "reconstruction") for name in project.tokenizers]
    inputs += [f"{stage}/{name}" for stage in ("generator", "search") for name in project.generators]
    inputs += [f"metrics/{name}-{kind}" for name in project.generators for kind in ("cfg", "nocfg")]
    whole = ("table", "figure", "notebook", "forecast")
    if project.scale.forecast:
        inputs.append(f"forecast/{project.scale.forecast.scale}")
    return Job(
        "report",
        "index",
        {"scale": project.scale.scale, "purpose": project.scale.purpose, "papers": papers},
        inputs={name: name for name in ["lineage/index", *inputs]},
        reads={name: (manifests.NAME,) for name in inputs if name.split("/")[0] not in whole},
        comments=(*(Path(f"config/papers/{name}.yaml") for name in project.papers), project.context.scale_file),
    )
