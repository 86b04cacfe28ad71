"""A plan as plain data: all that decides what it costs, and nothing else. The spec of the stage `forecast`."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tesserae.costs.anchors import ANCHORS
from tesserae.costs.assumed import LIGHT
from tesserae.lineage.walk import upstream

SELF = "forecast"  # tells of plans and is in none
KEPT_OF_LIGHT = ("shown", "task", "negatives")  # on which the size of their outputs, or the work of others, depends


def describe(
    jobs: Mapping[str, Any],
    requests: Mapping[str, Any],
    wanted: Iterable[str] = (),
    *,
    published: Mapping[str, Any],
    scale: str,
    gpu: str,
    gpus: int,
) -> dict[str, Any]:
    """Jobs of a plan (`wanted` and all they are made from; default: all), each distinct spec once.

    jobs: by id, producers first, as workflow.graph makes them. requests: stage -> its Resources. `gpus` of kind `gpu`
    run them. published: the jobs at the papers' own values, from which the anchors come: the published trainings on
    whose hours costs are calibrated (KeyError if there is no recipe for one). `jobs` of the result are [id, number of
    its spec, numbers of its producers].
    """
    needed = upstream(lambda name: jobs[name].inputs.values(), list(wanted) or jobs)
    kept = [job for name, job in jobs.items() if name in needed and job.stage != SELF]
    number = {job.id: i for i, job in enumerate(kept)}
    specs: dict[str, int] = {}
    rows = []
    for job in kept:
        light = job.stage in LIGHT
        spec = {key: job.spec[key] for key in job.spec if (key in KEPT_OF_LIGHT if light else key != "shard")}
        place = specs.setdefault(json.dumps(spec, sort_keys=True), len(specs))
        rows.append([job.id, place, sorted({number[name] for name in job.inputs.values() if name in number})])
    sampler = next(job.spec["sampler"] for job in published.values() if job.stage == "samples" and _mar(job))
    return {
        "scale": scale,
        "gpu": gpu,
        "gpus": gpus,
        "jobs": rows,
        "specs": [json.loads(spec) for spec in specs],
        "resources": {stage: _request(requests[stage]) for stage in dict.fromkeys(job.stage for job in kept)},
        "anchors": [anchor.spec(published[anchor.job].spec, sampler) for anchor in ANCHORS],
    }


def _mar(job: Any) -> bool:
    return job.inputs["generator"] in {anchor.job for anchor in ANCHORS if anchor.evaluated}


def _request(resources: Any) -> dict[str, int]:
    return {
        "threads": resources.nodes * resources.threads * resources.per_node,
        "nodes": resources.nodes,
        "gpus": resources.gpus,
        "processes": resources.world,
        "minutes": resources.runtime,
    }
