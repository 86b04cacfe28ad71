"""The end of the graph: notebooks, the lineage page and the report."""

from pathlib import Path

from tesserae.config.project import Project
from tesserae.config.stages import CURVES, METRICS, STAGES, stage_of
from tesserae.lineage import manifest as manifests
from tesserae.workflow.graph.job import Job, upstream

# What notebooks may import of the package: they run in a process of their own, so their imports are named here.
NOTEBOOK_MODULES = ["tesserae.reporting.curves", "tesserae.reporting.report", "tesserae.reporting.table_csv"]


def notebook_job(project: Project, paper: str, found: dict[str, Job]) -> Job:
    own = [job for job in found.values() if job.papers == (paper,)]
    shown = [job.id for job in own if STAGES[job.stage].shows == "paper"]
    trained = [job.id for job in own if STAGES[job.stage].trains]
    spec = {"paper": paper, "scale": project.scale.scale, "modules": NOTEBOOK_MODULES}
    return Job(
        "notebook",
        paper,
        spec,
        inputs={name: name for name in (*shown, *trained)},
        reads=dict.fromkeys(trained, (CURVES,)),
        sources={"notebook": Path(project.papers[paper].notebook)},
        papers=(paper,),
    )


def lineage_job(project: Project, found: dict[str, Job]) -> Job:
    """The page that leads from any number to what it was made from: it reads manifests, and the numbers themselves."""
    numbers = {"table.csv", METRICS}
    shown = upstream(found, [job.id for job in found.values() if STAGES[job.stage].shows == "paper"])
    names = [name for name in found if name in shown]
    return Job(
        "lineage",
        "index",
        {"scale": project.scale.scale},
        inputs={name: name for name in names},
        reads={
            name: (manifests.NAME, *(file for file in STAGES[found[name].stage].files if file in numbers))
            for name in names
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
    told = [name for name, stage in STAGES.items() if stage.shows == "paper" and not stage.named]
    listed = {name: stage for name, stage in STAGES.items() if stage.listed is not None}
    told += sorted(listed, key=lambda name: not listed[name].trains)  # what was trained, then what was measured
    inputs += [job.id for stage in told for job in found.values() if job.stage == stage]
    reads = {name: (manifests.NAME, *listed[stage_of(name)].listed) for name in inputs if stage_of(name) in listed}
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
