"""The graph's domains: tasks on images that no tokenizer was trained on, and what stands beside their numbers.

`task_score/<tokenizer>-<domain>`, and once for all tokenizers `task_network/<domain>` and `task_control/<domain>-real`.
Only those are made that something shows.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tesserae.config import spec as specs
from tesserae.config.controls import name_of, patches_of
from tesserae.config.domains import Parseq, UNet
from tesserae.config.errors import ConfigError
from tesserae.config.project import DOMAINS, Project
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Sourced, Spec
from tesserae.workflow.graph.job import Job, extended, home, reads_of
from tesserae.workflow.graph.tokenizers import prompts_of

SCORED = "task_score"
# PARSeq-S of the official configurations (main, charset/94_full, model/parseq)
PARSEQ = {
    **{"side": [32, 128], "patch": [4, 8], "width": 384, "blocks": 12, "encoder_heads": 6},
    **{"decoder_heads": 12, "longest": 25},
}
REAL, MEAN, CHANCE = "real", "mean", "chance"


def domain_jobs(project: Project, recipe: Any, tokenizer: Job, dataset: Job, shown_ids: set[str]) -> Iterator[Job]:
    """What is shown of a tokenizer's scores, and what they are made from; `dataset` is that of the tokenizer.

    ConfigError for a domain that no set of images plays at this scale.
    """
    for name in project.domains.domains:
        if f"{SCORED}/{extended(recipe.name, name)}" in shown_ids:
            yield from _jobs(project, recipe, tokenizer, dataset, name)


def _jobs(project: Project, recipe: Any, tokenizer: Job, dataset: Job, name: str) -> Iterator[Job]:
    domain = domain_job(project, name)
    yield domain
    reference = _reference(project, domain)
    yield reference
    network = _network(project, name, domain)
    yield network
    spec = specs.evaluation(project.context, "extractor", "layer", "rounding", "batch", "shown")
    spec.set("side", dataset.spec["image_size"], dataset.origins["image_size"])
    spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
    for key in ("module", "training"):
        spec.set(f"network.{key}", network.spec[key], network.origins.get(key, network.origins.get("module")))
    inputs = {"domain": domain.id, "reference": reference.id, "tokenizer": tokenizer.id, "task_network": network.id}
    if (prompts := prompts_of(project, recipe, dataset)) is not None:
        inputs["prompts"] = prompts
    called, reads = extended(tokenizer.recipe, name), reads_of(SCORED, inputs)
    yield Job(SCORED, called, spec.values, spec.origins, inputs, reads, papers=home(recipe))


def domain_job(project: Project, name: str) -> Job:
    """The images of a domain, at the side at which its network sees them.

    They are a cache as that of a data set: a stage that reads one can be given this one in its place.
    """
    data, where = project.scale.domains.data.get(name), f"domains.data.{name}"
    if data is None:
        problem = f"no set of images plays the domain {name} at scale {project.scale.scale}"
        raise ConfigError(project.context.scale_file, where, problem, f"one of {', '.join(project.domains.sets)}")
    entry, spec = project.domains.sets[data], Spec()
    for key, value in entry.model_dump().items():
        if key not in ("corpus", "root"):  # where the bytes lie is not what they are
            spec.set(key, value, f"{DOMAINS}: sets.{data}.{key}")
    side = project.context.mapped("image_size", Sourced(project.domains.image_size, f"{DOMAINS}: image_size"))
    spec.set("image_size", side)
    spec.set("module", f"tesserae.data.{entry.provider}", "the provider's module")
    corpus = getattr(entry, "corpus", None)
    sources = {"corpus": Path(corpus), "checksums": Path(corpus).with_name("SHA256SUMS")} if corpus else {}
    called = f"{data}-{side.value}"
    return Job("domain", called, spec.values, spec.origins, sources=sources, data=getattr(entry, "root", None))


def _reference(project: Project, domain: Job) -> Job:
    """Statistics of the validation images, and of as many training images."""
    spec = specs.evaluation(project.context, "extractor", "layer", "precision_recall_reference", "batch")
    spec.set("reference_samples", domain.spec["val_images"], domain.origins["val_images"])
    inputs = {"dataset": domain.id}
    return Job("reference", domain.recipe, spec.values, spec.origins, inputs, reads_of("reference", inputs))


def _network(project: Project, name: str, domain: Job) -> Job:
    """The fixed network of a domain's task, as the scale has it."""
    ours = project.scale.domains.networks.get(name)
    network = project.domains.domains[name].network if ours is None else ours
    where = f"{DOMAINS}: domains.{name}" if ours is None else f"{project.context.scale_file}: domains.networks.{name}"
    spec = specs.evaluation(project.context, "batch")
    spec.set("module", f"tesserae.task_networks.{network.kind}", f"{where}.kind")
    settings = PARSEQ if isinstance(network, Parseq) else network.model_dump(exclude={"kind", "training", "weights"})
    for key, value in settings.items():
        spec.set(f"model.{key}", value, where)
    training = getattr(network, "training", None)
    if training is None:
        spec.set("training", None, where)
    else:
        for key, value in training.model_dump().items():
            spec.set(f"training.{key}", value, f"{where}.training.{key}")
    weights = network.weights if isinstance(network, Parseq | UNet) else None
    if weights is not None:
        spec.set("official.file", weights, f"{where}.weights")
        spec.set("official.importer", spec.values["module"], f"{where}.weights")
    inputs = {"domain": domain.id}
    reads = reads_of("task_network", inputs)
    return Job("task_network", name, spec.values, spec.origins, inputs, reads, weights=weights)


class ScoreControls(NamedTuple):
    """What stands beside a score."""

    own: Job  # a closed-form tokenizer of as much
    coder: Job  # which is fitted on what the tokenizer learned from
    rows: dict[str, Job]  # what all of a domain share


def controls_of_score(project: Project, job: Job, found: Mapping[str, Job]) -> ScoreControls:
    tokenizer = found[job.inputs["tokenizer"]]
    dataset, domain = found[tokenizer.inputs["dataset"]], job.inputs["task_network"].partition("/")[2]
    size = patches_of(tokens_of(tokenizer.spec["module"], tokenizer.spec["model"]), dataset.spec["image_size"])
    coder = _coder(project, dataset, size, f"{tokenizer.id} (as much as these tokens keep)")

    def control(name: str, what: dict[str, Any], origin: str, side: Job, inputs: dict[str, str]) -> Job:
        spec = Spec()
        for key in ("extractor", "layer", "rounding", "batch"):
            spec.set(key, job.spec[key], job.origins[key])
        for key, value in job.spec["network"].items():
            spec.set(f"network.{key}", value, job.origins[f"network.{key}"])
        spec.set("side", side.spec["image_size"], side.origins["image_size"])
        spec.set("control", what, origin)
        inputs = {role: job.inputs[role] for role in ("domain", "reference", "task_network")} | inputs
        reads = reads_of("task_control", inputs)
        return Job("task_control", f"{domain}-{name}", spec.values, spec.origins, inputs, reads)

    own = control(coder.recipe, size, coder.origins["control"], dataset, {"patch_coder": coder.id})
    images = found[job.inputs["domain"]]  # what all share sees them as they are, whatever one tokenizer's side
    rows = {
        "control_real": control(REAL, {"kind": REAL}, "original images", images, {}),
        "control_mean": control(MEAN, {"kind": MEAN, "grid": 1}, "one colour for each image", images, {}),
        "control_chance": control(CHANCE, {"kind": CHANCE}, "what is right without looking", images, {}),
    }
    return ScoreControls(own, coder, rows)


def _coder(project: Project, dataset: Job, size: dict[str, Any], origin: str) -> Job:
    spec = Spec()
    spec.set("control", size, origin)
    if size["kind"] == "centres":
        seed = specs.evaluation(project.context, "seed")
        spec.set("seed", seed.values["seed"], seed.origins["seed"])
    inputs = {"dataset": dataset.id}
    name = f"{dataset.recipe}-{name_of(size)}"
    return Job("patch_coder", name, spec.values, spec.origins, inputs, reads_of("patch_coder", inputs))
