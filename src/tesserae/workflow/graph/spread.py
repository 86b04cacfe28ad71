"""The graph's jobs that say where the numbers of a generator scatter from. No run makes them: they are asked for."""

from collections.abc import Iterator, Mapping

from tesserae.config.project import Project
from tesserae.config.resolve import Spec
from tesserae.config.seeds import of_seed
from tesserae.config.stages import stage_of
from tesserae.workflow.graph.job import Job, extended, reads_of, seeds_of

SELECTED = "cfg"  # with guidance, as most tables show
SAMPLED = ("samples", "rounding", "labels", "batch", "seed", "classes", "sampler", "modules")
MEASURED = ("extractor", "layer", "splits", "neighbourhood")


def spread_jobs(project: Project, found: Mapping[str, Job]) -> Iterator[Job]:
    """A job for each generator that the scale names, of all its seeds, if something shows its samples with guidance."""
    wanted = project.scale.spread
    for name in wanted.recipes if wanted else ():
        metrics = found.get(f"metrics/{extended(name, SELECTED)}")
        if metrics is None:  # the scale does without it, or its paper is not run
            continue
        samples, features = (
            found[next(one for one in metrics.inputs.values() if stage_of(one) == stage)]
            for stage in ("samples", "features")
        )
        spec, inputs = Spec(), {"reference": metrics.inputs["reference"]}
        for source, keys in ((samples, SAMPLED), (metrics, MEASURED), (features, ("measured_at",))):
            spec.values |= {key: source.spec[key] for key in keys if key in source.spec}
            spec.origins |= {key: said for key, said in source.origins.items() if key.split(".")[0] in keys}
        seeds = seeds_of(project, metrics.id)
        spec.set("trainings", seeds, f"{project.context.scale_file}: seeds")
        for key in ("samplings", "parts"):
            spec.set(key, getattr(wanted, key), f"{project.context.scale_file}: spread.{key}")
        spec.set("selected", SELECTED, "with guidance")
        spec.set("scale", project.scale.scale, "the scale")
        for seed in seeds:
            of_it = found[found[of_seed(metrics.id, seed)].inputs[_first(metrics)]]
            inputs |= {f"seed{seed}_{role}": artifact for role, artifact in of_it.inputs.items()}
        reads = reads_of("spread", inputs)
        yield Job("spread", name, spec.values, spec.origins, inputs, reads, papers=metrics.papers)


def _first(metrics: Job) -> str:
    """The role of the first part of the samples behind a number."""
    return next(role for role, artifact in metrics.inputs.items() if stage_of(artifact) == "samples")
