"""The graph's probes: on the tokens of a tokenizer, of a data set that the scale names, perhaps under a policy.

`probe/<tokenizer>-<probe>`, `neighbours/<tokenizer>-<probe>`, and with `-<policy>` at the end. Only those are made that
something shows.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.controls import name_of, patches_of
from tesserae.config.errors import ConfigError
from tesserae.config.probing import Probe
from tesserae.config.project import PROBES, Project
from tesserae.config.registry import TOKENIZERS, tokens_of
from tesserae.config.resolve import Sourced, Spec
from tesserae.workflow.graph.job import Job, extended, home, reads_of
from tesserae.workflow.graph.tokenizers import data_job, prompts_of

MODEL = ("width", "blocks", "heads", "dropout")
TRAINING = ("batch", "epochs", "patience", "lr", "weight_decay", "precision", "seed")
SHOWN = ("probe", "neighbours")
CHANCE = {"kind": "chance"}


def probe_jobs(project: Project, recipe: Any, tokenizer: Job, dataset: Job, shown_ids: set[str]) -> Iterator[Job]:
    """What is shown of a tokenizer's probes, and what they are made from; `dataset` is that of the tokenizer.

    ConfigError for a probe that looks at nothing at this scale, and a policy of a tokenizer that has none.
    """
    policies = project.papers[recipe.file.stem].measures.policies
    for name, probe in project.probes.probes.items():
        for policy in (None, *policies):
            kind = name if policy is None else f"{name}-{policy}"
            wanted = [stage for stage in SHOWN if f"{stage}/{extended(recipe.name, kind)}" in shown_ids]
            if wanted:
                yield from _jobs(project, recipe, tokenizer, dataset, name, probe, policy, wanted)


def tokenizer_of(project: Project, name: str) -> str:
    """The tokenizer in the name of a probe: the probe is the first part after a hyphen that is one's name."""
    tokenizer, *parts = name.split("-")
    while parts and parts[0] not in project.probes.probes:
        tokenizer = f"{tokenizer}-{parts.pop(0)}"
    return tokenizer


def _jobs(
    project: Project,
    recipe: Any,
    tokenizer: Job,
    dataset: Job,
    name: str,
    probe: Probe,
    policy: str | None,
    wanted: list[str],
) -> Iterator[Job]:
    looked_at = _looked_at(project, recipe, name)
    yield looked_at
    targets = _targets(project, name, probe, looked_at)
    yield targets
    asked = {"targets": targets.id}
    if probe.task == "relations":
        phrases = _phrases(project, targets)
        yield phrases
        asked["phrases"] = phrases.id
    tokens = _tokens(project, recipe, tokenizer, dataset, looked_at, name, policy)
    yield tokens
    if "probe" in wanted:
        inputs = {"probe_tokens": tokens.id, **asked}
        spec = _trained(project, name, probe)
        yield Job(
            "probe", tokens.recipe, spec.values, spec.origins, inputs, reads_of("probe", inputs), papers=home(recipe)
        )
    if "neighbours" in wanted:
        if probe.task != "classes":
            problem = f"neighbours by images of {probe.task}, which have no class"
            raise ConfigError(recipe.file, f"neighbours/{tokens.recipe}", problem, "name a probe of the task classes")
        inputs = {"dataset": looked_at.id, "probe_tokens": tokens.id, "targets": targets.id}
        spec = specs.evaluation(project.context, "shown")
        spec.set("neighbours", project.scale.probes.neighbours, f"{project.context.scale_file}: probes.neighbours")
        reads = reads_of("neighbours", inputs)
        yield Job("neighbours", tokens.recipe, spec.values, spec.origins, inputs, reads, papers=home(recipe))


def _looked_at(project: Project, recipe: Any, name: str) -> Job:
    """The images of a probe, at the side that a tokenizer reads: of a data set with classes, or scenes."""
    data, where = project.scale.probes.data.get(name), f"probes.data.{name}"
    side = project.context.mapped("image_size", recipe["image_size"])
    if data is None:
        problem = f"the probe {name} of {recipe.name} looks at no data set at scale {project.scale.scale}"
        known = [*project.datasets.datasets, *project.probes.scenes]
        raise ConfigError(project.context.scale_file, where, problem, f"one of {', '.join(known)}")
    if data in project.datasets.datasets:
        return data_job(project, data, project.datasets.datasets[data], side)
    entry, spec = project.probes.scenes[data], Spec()
    for key, value in entry.model_dump().items():
        if key not in ("corpus", "root"):  # where the bytes lie is not what they are
            spec.set(key, value, f"{PROBES}: scenes.{data}.{key}")
    spec.set("image_size", side)
    family = "emoji_scenes" if entry.provider.startswith("emoji") else entry.provider
    spec.set("module", f"tesserae.data.{family}", "the provider's module")
    corpus = getattr(entry, "corpus", None)
    sources = {"corpus": Path(corpus), "checksums": Path(corpus).with_name("SHA256SUMS")} if corpus else {}
    name = f"{data}-{side.value}"
    return Job("scenes", name, spec.values, spec.origins, sources=sources, data=getattr(entry, "root", None))


def _targets(project: Project, name: str, probe: Probe, looked_at: Job) -> Job:
    spec = Spec()
    spec.set("task", probe.task, f"{PROBES}: probes.{name}.task")
    if probe.task == "relations":
        for key in ("negatives", "hard"):
            spec.set(key, _ours(project, name, probe, key))
        spec.set("seed", probe.seed, f"{PROBES}: probes.{name}.seed")
    inputs = {looked_at.stage: looked_at.id}
    return Job("targets", looked_at.recipe, spec.values, spec.origins, inputs, reads_of("targets", inputs))


def _phrases(project: Project, targets: Job) -> Job:
    spec, inputs = Spec(), {"targets": targets.id}
    spec.set("encoder", _encoder(project))
    name = f"{spec.values['encoder']}-{targets.recipe}"
    return Job("phrases", name, spec.values, spec.origins, inputs, reads_of("phrases", inputs))


def _tokens(
    project: Project, recipe: Any, tokenizer: Job, dataset: Job, looked_at: Job, name: str, policy: str | None
) -> Job:
    system, spec = TOKENIZERS[recipe.typed.system], specs.evaluation(project.context, "batch")
    where = f"measures.policies.{policy}"
    if policy is not None and not getattr(system, "POLICIES", False):
        problem = (
            f"{recipe.typed.system} reads images in one way alone, and probe {name} of {recipe.name} names another"
        )
        raise ConfigError(recipe.file, where, problem, f"show {recipe.name}-{name}, without the policy")
    spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
    spec.set("codes", getattr(system, "CODES", None), "the system's module")
    settings = None if policy is None else project.papers[recipe.file.stem].measures.policies[policy].model_dump()
    spec.set("policy", settings, "" if policy is None else f"{recipe.file}: {where}")
    inputs = {looked_at.stage: looked_at.id, "tokenizer": tokenizer.id}
    if tokenizer.spec["model"].get("text") == "encoder":
        inputs["prompts"] = prompts_of(project, recipe, dataset)
    reads = reads_of("probe_tokens", inputs)
    called = extended(tokenizer.recipe, name if policy is None else f"{name}-{policy}")
    return Job("probe_tokens", called, spec.values, spec.origins, inputs, reads, papers=home(recipe))


def _trained(project: Project, name: str, probe: Probe) -> Spec:
    """The network of a probe and how it is trained; of relations also who reads the phrases."""
    spec = Spec()
    spec.set("module", "tesserae.probes.transformer", "the probe's module")
    for key in MODEL:
        spec.set(f"model.{key}", _ours(project, name, probe, key))
    if (width := spec.values["model"]["width"]) % (heads := spec.values["model"]["heads"]):
        problem = f"the probe {name} of width {width} has {heads} heads, which do not divide it"
        raise ConfigError(project.context.scale_file, "probes.heads", problem, "choose a divisor")
    for key in TRAINING:
        spec.set(f"training.{key}", _ours(project, name, probe, key))
    if probe.task == "relations":
        spec.set("encoder", _encoder(project))
    return spec


def _encoder(project: Project) -> Sourced:
    return Sourced(project.scale.probes.encoder, f"{project.context.scale_file}: probes.encoder")


def _ours(project: Project, name: str, probe: Probe, key: str) -> Sourced:
    """A setting of a probe, as the scale has it."""
    paper = Sourced(getattr(probe, key), f"{PROBES}: probes.{name}.{key}")
    return project.context.either(getattr(project.scale.probes, key, None), paper, f"probes.{key}")


def control_of(project: Project, job: Job, tokens: Job, tokenizer: Job, looked_at: Job) -> tuple[Job, Job]:
    """Of a probe: the same one on closed-form tokens of as much, and chance."""
    size = patches_of(tokens_of(tokenizer.spec["module"], tokenizer.spec["model"]), looked_at.spec["image_size"])
    kind = _kind_of(project, job)

    def control(name: str, what: dict[str, Any], origin: str) -> Job:
        spec = Spec(dict(job.spec), dict(job.origins))
        spec.set("control", what, origin)
        asked = {role: artifact for role, artifact in job.inputs.items() if role in ("targets", "phrases")}
        inputs = {looked_at.stage: looked_at.id, **asked}
        reads = reads_of("probe_control", inputs)
        name = f"{kind}-{looked_at.recipe}-{name}"
        return Job("probe_control", name, spec.values, spec.origins, inputs, reads)

    return (
        control(name_of(size), size, f"{tokens.id} (as much as these tokens keep)"),
        control("chance", CHANCE, "what is right without an image"),
    )


def _kind_of(project: Project, job: Job) -> str:
    """The probe that a job trains."""
    name = job.recipe.partition(".")[0]
    return next(probe for probe in project.probes.probes if probe in name.split("-")[1:])
