"""The end of the graph: of each paper its notebook, its page and its lineage page; and the first page of all."""

from collections.abc import Iterable
from pathlib import Path

from tesserae.config.project import Project
from tesserae.config.stages import CURVES, METRICS, STAGES, TRAININGS
from tesserae.lineage import manifest as manifests
from tesserae.workflow.graph.job import Job, upstream

# What notebooks may import of the package: they run in a process of their own, so their imports are named here.
NOTEBOOK_MODULES = ["tesserae.reporting.curves", "tesserae.reporting.show", "tesserae.reporting.table_csv"]

LISTED = {name: stage for name, stage in STAGES.items() if stage.listed is not None}


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


def lineage_job(project: Project, paper: str, found: dict[str, Job]) -> Job:
    """The page that leads from any number of a paper to what it was made from: it reads manifests, and the numbers.

    All that the paper's page tells of is on it, so that every link of that page leads somewhere.
    """
    numbers = {"table.csv", METRICS}
    told = upstream(found, [job.id for job in _made_for(paper, found)])
    names = [name for name in found if name in told]
    return Job(
        "lineage",
        paper,
        {"scale": project.scale.scale},
        inputs={name: name for name in names},
        reads={
            name: (manifests.NAME, *(file for file in STAGES[found[name].stage].files if file in numbers))
            for name in names
        },
        papers=(paper,),
    )


def page_job(project: Project, paper: str, found: dict[str, Job]) -> Job:
    """A paper's page: what its tables, figures and claims show, and what was made for them."""
    described = project.papers[paper]
    own = _made_for(paper, found)
    reads = {job.id: (manifests.NAME, *LISTED[job.stage].listed) for job in own if job.stage in LISTED}
    spec = {
        "paper": paper,
        "name": described.name,
        "title": described.title,
        "arxiv": described.arxiv,
        "scale": project.scale.scale,
        "seeds": _seeds(project, _recipes_of(project, paper)),
        "tables": {f"{paper}_{key}": f"{table.source}: {table.title}" for key, table in described.tables.items()},
        "figures": {f"{paper}_{key}": figure.title for key, figure in described.figures.items()},
        "omitted": _omitted(project, paper),
    }
    if described.contradictions:
        kinds = {**dict.fromkeys(described.tables, "table"), **dict.fromkeys(described.figures, "figure")}
        spec["contradictions"] = [
            {"says": found.says, "at": [f"{kinds[key]}/{paper}_{key}" for key in found.at]}
            for found in described.contradictions
        ]
    if project.reported[paper]:
        spec["reported"] = [report.plain() for report in project.reported[paper]]
    return Job(
        "page",
        paper,
        spec,
        inputs={job.id: job.id for job in own},
        reads=reads,
        papers=(paper,),
        comments=(Path(f"config/papers/{paper}.yaml"),),
    )


def _made_for(paper: str, found: dict[str, Job]) -> list[Job]:
    """What a paper's page tells of: what it shows, in the order of its file, then what that is measured on."""
    shown = [name for name, stage in STAGES.items() if stage.shows == "paper" and name not in ("page", "lineage")]
    listed = sorted(LISTED, key=lambda name: not LISTED[name].trains)  # what was trained, then what was measured
    return [
        job for stage in (*shown, *listed) for job in found.values() if job.stage == stage and job.papers == (paper,)
    ]


def _recipes_of(project: Project, paper: str) -> tuple[str, ...]:
    described = project.papers[paper]
    return (*described.saes, *described.tokenizers, *described.generators, *described.decoded)


def _seeds(project: Project, recipes: Iterable[str]) -> list[int]:
    """How often recipes are trained: the fewest seeds of one, and the most of one if they differ."""
    found = {project.seeds[name] for name in recipes if name in project.seeds} or {1}
    return sorted({min(found), max(found)})


def _omitted(project: Project, paper: str) -> dict[str, list[str]]:
    """Reason -> recipes of the paper that the scale does without."""
    reasons: dict[str, list[str]] = {}
    for name in _recipes_of(project, paper):
        if name in project.omitted:
            reasons.setdefault(project.omitted[name], []).append(name)
    return reasons


def report_job(project: Project, found: dict[str, Job]) -> Job:
    """The first page: of each paper its counts, verdicts, one table and one figure."""
    papers, inputs, reads = [], [], {}
    for name, described in project.papers.items():
        own = _made_for(name, found)
        table, figure = f"table/{name}_{described.front.table}", f"figure/{name}_{described.front.figure}"
        inputs += [f"page/{name}", *(job.id for job in own)]
        reads |= {job.id: (manifests.NAME,) for job in own}
        reads |= {table: ("table.html",), figure: ("figure.png",), f"claims/{name}": ("claims.json",)}
        trained = {stage: sum(job.stage == stage for job in own) for stage in TRAININGS}
        papers.append(
            {
                "paper": name,
                "name": described.name,
                "title": described.title,
                "arxiv": described.arxiv,
                "table": table,
                "figure": figure,
                "figure_title": described.figures[described.front.figure].title,
                "trained": {stage: count for stage, count in trained.items() if count},
            }
        )
    if project.scale.forecast:
        inputs.append(f"forecast/{project.scale.forecast.scale}")
    spec = {"scale": project.scale.scale, "purpose": project.scale.purpose, "seeds": _seeds(project, project.seeds)}
    return Job(
        "report",
        "index",
        spec | {"papers": papers},
        inputs={name: name for name in inputs},
        reads={name: files for name, files in reads.items() if name in inputs},
        comments=(project.context.scale_file,),
    )
