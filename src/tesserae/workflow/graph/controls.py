"""The graph's controls: for each job that measures images, what its numbers are worth (docs/controls.md).

A control is told what the job is told, so that both are measured alike. Those without anything trained are shared by
all that a paper measures on a data set.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tesserae.config import spec as specs
from tesserae.config.controls import name_of, patches_of
from tesserae.config.project import Project
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Spec
from tesserae.workflow.graph.domains import controls_of_score
from tesserae.workflow.graph.job import Job, extended, gathered, reads_of
from tesserae.workflow.graph.probes import control_of
from tesserae.workflow.graph.tokenizers import tokens_stage

REAL, MEAN, CHANCE = "real", "mean", "chance"
# What stands at the foot of a table: key of the row -> kind of control, and its label.
ROWS = {
    "control_real": (REAL, "Real images (control)"),
    "control_mean": (MEAN, "Mean colour (control)"),
    "control_chance": (CHANCE, "Chance (control)"),
}
# Kind of such a row -> numbers that it has not.
LACKING = {REAL: {"psnr"}, CHANCE: {"psnr", "rfid", "rfid_disjoint"}}


class Controls(NamedTuple):
    """The controls of one job: of its own size or tokens, and by row those of all."""

    own: Job
    rows: Mapping[str, Job]
    before: tuple[Job, ...] = ()  # what it is made from, if nothing else needs it

    def jobs(self) -> list[Job]:
        return [*self.before, self.own, *self.rows.values()]

    def of_row(self, row: str, value: str) -> str | None:
        """Id of what stands in a row at the foot of a table; None for what it has not, as real images no PSNR."""
        if row not in self.rows or value in LACKING.get(ROWS[row][0], ()):
            return None
        return self.rows[row].id


def controls_of(project: Project, job: Job, found: Mapping[str, Job]) -> Controls:
    """The controls of a job whose stage has some, among the jobs `found` so far."""
    makers = {"reconstruction": _of_reconstruction, "looks": _of_reconstruction}
    makers |= {"metrics": _of_samples, "probe": _of_probe, "task_score": _of_score}
    return makers[job.stage](project, job, found)


def _of_probe(project: Project, job: Job, found: Mapping[str, Job]) -> Controls:
    tokens = found[job.inputs["probe_tokens"]]
    looked_at = found[tokens.inputs["scenes"] if "scenes" in tokens.inputs else tokens.inputs["dataset"]]
    own, chance = control_of(project, job, tokens, found[tokens.inputs["tokenizer"]], looked_at)
    return Controls(own, {"control_chance": chance})


def _of_score(project: Project, job: Job, found: Mapping[str, Job]) -> Controls:
    beside = controls_of_score(project, job, found)
    return Controls(beside.own, beside.rows, (beside.coder,))


def _of_reconstruction(project: Project, job: Job, found: Mapping[str, Job]) -> Controls:
    dataset = found[job.inputs["dataset"]]
    recipe = project.tokenizers[job.inputs["tokenizer"].partition("/")[2]]
    tokenizer = specs.tokenizer(recipe, project.context).values
    size = patches_of(tokens_of(tokenizer["module"], tokenizer["model"]), dataset.spec["image_size"])

    def control(name: str, what: dict[str, Any], origin: str) -> Job:
        spec = _told(job, "extractor", "layer", "splits", "rounding", "batch", "shown")
        if what["kind"] == "centres":
            seed = specs.evaluation(project.context, "seed")
            spec.set("seed", seed.values["seed"], seed.origins["seed"])
        spec.set("control", what, origin)
        inputs = {role: job.inputs[role] for role in ("dataset", "reference")}
        return _job("reconstruction_control", f"{_measured_on(job)}-{name}", spec, inputs, job)

    return Controls(
        control(name_of(size), size, f"{recipe['system'].origin} (as much as its tokens keep)"),
        {
            "control_real": control(REAL, {"kind": REAL}, "real images"),
            "control_mean": control(MEAN, {"kind": MEAN, "grid": 1}, "one colour for each image"),
        },
    )


def _of_samples(project: Project, job: Job, found: Mapping[str, Job]) -> Controls:
    samples = next(found[name] for name in job.inputs.values() if name.startswith("samples/"))
    features = next(found[name] for name in job.inputs.values() if name.startswith("features/"))
    reference, decoder = found[job.inputs["reference"]], found[samples.inputs["tokenizer"]]
    learned = project.generators[samples.inputs["generator"].partition("/")[2]].typed.tokenizer
    kind = tokens_stage(project, learned)
    spec = _told(features, "extractor", "layer", "shown")
    _tell(spec, job, "splits", "neighbourhood")
    for key in ("samples", "rounding", "labels", "seed", "classes", "batch"):
        spec.set(key, samples.spec[key], samples.origins[key])
    spec.set("modules.tokenizer", samples.spec["modules"]["tokenizer"], samples.origins["modules.tokenizer"])
    inputs = {**gathered(project, kind, "tokens", learned), "tokenizer": decoder.id, "reference": reference.id}
    # How samples are drawn and rounded is for the generator's paper to say; its tokenizer may be another one's.
    name = decoder.recipe if decoder.papers == job.papers else extended(decoder.recipe, job.papers[0])
    own = _job("generation_control", name, spec, inputs, job)

    def control(what: str) -> Job:
        spec = _told(features, "extractor", "layer", "batch")
        _tell(spec, job, "splits", "neighbourhood")
        spec.set("images", samples.spec["samples"], samples.origins["samples"])
        spec.set("rounding", samples.spec["rounding"], samples.origins["rounding"])
        spec.set("control", {"kind": what}, "what the control is")
        inputs = {"dataset": reference.inputs["dataset"], "reference": reference.id}
        return _job("image_control", f"{_measured_on(job)}-{what}", spec, inputs, job)

    return Controls(own, {"control_real": control(REAL), "control_mean": control(MEAN)})


def _measured_on(job: Job) -> str:
    """The paper that says how numbers are taken, and the data set."""
    return f"{job.papers[0]}-{job.inputs['reference'].partition('/')[2]}"


def _told(job: Job, *keys: str) -> Spec:
    """Settings that a control shares with the job; among them at which side images are measured, if one is set."""
    spec = Spec()
    _tell(spec, job, *keys, *(["measured_at"] if "measured_at" in job.spec else []))
    return spec


def _tell(spec: Spec, job: Job, *keys: str) -> None:
    for key in keys:
        spec.set(key, job.spec[key], job.origins[key])


def _job(stage: str, name: str, spec: Spec, inputs: dict[str, str], of: Job) -> Job:
    return Job(stage, name, spec.values, spec.origins, inputs, reads_of(stage, inputs), papers=of.papers)
