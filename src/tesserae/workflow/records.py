"""Tells Snakemake what manifests know: under which identity an artifact was made.

Snakemake plans by records of its own runs (.snakemake/metadata). An artifact that was made by hand has none, or an
old one, and would count as current whatever changed since. The manifest decides instead.
"""

import json
from base64 import urlsafe_b64encode
from pathlib import Path

from tesserae.lineage import manifest as manifests
from tesserae.workflow.plan import Plan

FORMAT = 6  # snakemake.persistence.RECORD_FORMAT_VERSION of Snakemake 9.27
LONGEST = 254  # of a name; longer ones go into folders that start with @


def introduce(plan: Plan) -> int:
    """Write a record for each artifact whose manifest names another identity than its record; how many."""
    root, written = plan.project.root, 0
    for job in plan.jobs.values():
        folder = root / plan.folder(job.id)
        if not (folder / manifests.NAME).exists():
            continue
        made = manifests.read(folder)
        params = sorted(repr(value) for value in (made["fingerprint"], json.dumps(made["spec"], sort_keys=True)))
        for output in plan.outputs(job):
            file = root / ".snakemake" / "metadata" / _name(str(output))
            if not file.exists() or json.loads(file.read_text()).get("params") != params:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({"rule": job.stage, "params": params, "record_format_version": FORMAT}))
                written += 1
    return written


def _name(output: str) -> Path:
    name = urlsafe_b64encode(output.encode()).decode()
    *folders, last = [name[i : i + LONGEST] for i in range(0, len(name), LONGEST)]
    return Path(*(f"@{folder}" for folder in folders), last)
