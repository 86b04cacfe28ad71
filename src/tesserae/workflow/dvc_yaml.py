"""dvc.yaml, derived from the plan: what DVC compares between two commits."""

import yaml

from tesserae.workflow.plan import Plan

FILE = "dvc.yaml"
HEAD = """\
# Written by `tesserae dvc-yaml`; `make lint` checks it. DVC stores and versions results (`make share`) and does not
# repeat the graph: Snakemake is the only engine. dvc params diff: what was changed, in the papers' terms; dvc metrics
# diff: the tables' numbers and the claims; dvc plots diff: the tables' bars. Curves are JSON lines, which DVC does not
# plot: MLflow does, and the report.
"""
SETTINGS = ("config/config.yaml", "config/datasets.yaml")
PAPERS, SCALES = "config/papers/*.yaml", "config/scales/*.yaml"
BARS = {"x": "measured", "y": "row", "template": "bar_horizontal"}


def render(plan: Plan) -> str:
    """The text of dvc.yaml: all settings as parameters, numbers and bars of the plan's own scale."""
    root = plan.project.root
    chosen = [path.relative_to(root).as_posix() for files in (PAPERS, SCALES) for path in sorted(root.glob(files))]
    shown = [job for job in plan.jobs.values() if job.stage in ("table", "claims")]
    content = {
        "params": [*SETTINGS, *chosen],
        "metrics": [str(plan.folder(job.id) / "metrics.json") for job in shown],
        "plots": [{str(plan.folder(job.id) / "table.csv"): BARS.copy()} for job in shown if job.stage == "table"],
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=120)
