"""The end of the graph: notebooks, the lineage page and the report."""

from pathlib import Path

from tesserae.config.project import Project
from tesserae.config.types import TRAININGS
from tesserae.lineage import manifest as manifests
from tesserae.workflow.graph.job import OUTPUTS, Job, upstream

# What notebooks may import of the package: they run in a process of their own, so their imports are named here.
NOTEBOOK_MODULES = ["tesserae.reporting.figures", "tesserae.reporting.report", "tesserae.reporting.table_csv"]


def notebook_job(project: Project, paper: str, found: dict[str, Job]) -> Job:
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


def lineage_job(project: Project, found: dict[str, Job]) -> Job:
    """The page that leads from any number to what it was made from: it reads manifests, and the numbers themselves."""
    numbers = {"table.csv", "metrics.json"}
    shown = upstream(
        found, [job.id for job in found.values() if job.stage in ("table", "figure", "claims", "notebook")]
    )
    names = [name for name in found if name in shown]
    return Job(
        "lineage",
        "index",
        {"scale": project.scale.scale},
        inputs={name: name for name in names},
        reads={
            name: (manifests.NAME, *(file for file in OUTPUTS[found[name].stage] if file in numbers)) for name in names
        },
    )


def report_job(project: Project, found: dict[str, Job]) -> Job:
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
