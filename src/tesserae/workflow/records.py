"""Tells Snakemake what manifests know: which artifacts are current, and which must be made again.

Snakemake plans by records of its own runs (.snakemake/metadata), which know nothing of artifacts that were made by
hand, pulled, restored or edited. The standing of each artifact (staleness.py) decides instead: a current one gets a
record with the identity that the plan asks for, any other one a record that cannot match.

Snakemake also compares file times, which cannot be switched off (`ancient` inputs would, but then what follows from
a stale artifact is not planned). So all files of current artifacts get one and the same time: nothing is newer than
anything. One time for all, because DVC may link equal files to one inode. When things were made is in the manifests.
"""

import json
from base64 import urlsafe_b64encode
from datetime import datetime
from pathlib import Path

from tesserae.lineage.hashes import Hashes
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import Standing, to_run

FORMAT = 6  # snakemake.persistence.RECORD_FORMAT_VERSION of Snakemake 9.27
LONGEST = 254  # of a name; longer ones go into folders that start with @
STALE = [repr("stale")]


def introduce(plan: Plan, standings: dict[str, Standing]) -> int:
    """Write the records that differ from what the standings say; how many."""
    root, written, fed = plan.project.root, 0, set(to_run(plan, standings))
    hashes, time_ns = Hashes(root), _time(standings)
    for job in plan.jobs.values():
        standing = standings[job.id]
        # Also what a run would feed anew: file times never count, so Snakemake would not see that by itself.
        if standing.stale or fed.intersection(job.inputs.values()):
            fed.add(job.id)
        if job.id in fed or not standing.current:
            params = STALE
        else:
            spec = json.dumps(job.spec, sort_keys=True)
            params = sorted(repr(value) for value in (plan.fingerprint(job), spec))
            for output in plan.outputs(job):
                if hashes.of(str(output)):
                    hashes.settle(str(output), time_ns)
        for output in plan.outputs(job):
            file = root / ".snakemake" / "metadata" / _name(str(output))
            known = json.loads(file.read_text()).get("params") if file.exists() else None
            if known != params and (root / output).exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({"rule": job.stage, "params": params, "record_format_version": FORMAT}))
                written += 1
    hashes.save()
    return written


def _time(standings: dict[str, Standing]) -> int:
    """When the first artifact was begun, in nanoseconds: a time that stays while things are added."""
    records = [standing.record for standing in standings.values() if standing.record]
    begun = [record["started"] for record in records if "started" in record]  # another version may say it elsewhere
    return int(datetime.fromisoformat(min(begun)).timestamp() * 1000) * 1_000_000 if begun else 0


def _name(output: str) -> Path:
    name = urlsafe_b64encode(output.encode()).decode()
    *folders, last = [name[i : i + LONGEST] for i in range(0, len(name), LONGEST)]
    return Path(*(f"@{folder}" for folder in folders), last)
