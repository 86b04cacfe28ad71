"""Tells Snakemake what manifests know: which artifacts are current, and which must be made again.

Snakemake plans by records of its own runs (.snakemake/metadata) and by file times, which know nothing of artifacts that
were made by hand, pulled, restored or edited. The status of each artifact (staleness.py) decides instead: while
Snakemake builds its graph, a current artifact has a record with the identity that the plan asks for, any other one a
record that cannot match, and all files have one and the same time (`ancient` inputs would do that too, but then what
follows from a stale artifact is not planned).

All of that is said in memory. Nothing on disk changes, so that looking (`snakemake -n`, `--summary`, ...) disturbs no
job that runs meanwhile.
"""

import json
from typing import Any

from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus, to_run

FORMAT = 6  # snakemake.persistence.RECORD_FORMAT_VERSION of Snakemake 9.27
STALE = [repr("stale")]


def records(plan: Plan, statuses: dict[str, ArtifactStatus]) -> dict[str, dict[str, Any] | None]:
    """Snakemake's record of every output, by its path relative to the project folder; None where nothing was made.

    All outputs of an artifact have the same: Snakemake compares none if one has no record.
    """
    root, found, fed = plan.project.root, {}, set(to_run(plan, statuses))
    for job in plan.jobs.values():
        status = statuses[job.id]
        # Also what a run would feed anew: file times never count, so Snakemake would not see that by itself.
        if status.stale or fed.intersection(job.inputs.values()):
            fed.add(job.id)
        if job.id in fed or not status.current:
            params = STALE
        else:
            spec = json.dumps(job.spec, sort_keys=True)
            params = sorted(repr(value) for value in (plan.fingerprint(job), spec))
        record = {"rule": job.stage, "params": params, "record_format_version": FORMAT}
        made = any((root / output).exists() for output in plan.outputs(job))
        found |= dict.fromkeys(map(str, plan.outputs(job)), record if made else None)
    return found


def introduce(persistence: Any, dag: Any, found: dict[str, dict[str, Any] | None]) -> None:
    """Let Snakemake's `persistence` and `dag` of a run go by the records `found`, and not by file times."""
    from snakemake.persistence import MetadataRecord

    known = {path: record and MetadataRecord.model_validate(record) for path, record in found.items()}
    recorded, write, decide = persistence._read_record, persistence._write_record, dag.update_needrun

    def read_record(key: str) -> Any:
        return known[key] if key in known else recorded(key)

    def write_record(key: str, record: Any) -> None:
        known.pop(key, None)  # made in this run: Snakemake's own word counts from here on
        write(key, record)

    async def update_needrun(create_inventory: bool = False) -> None:
        cache = dag.workflow.iocache
        if not cache.active:  # jobs run
            await decide(create_inventory)
            return
        await cache.mtime_inventory(dag.jobs)
        times = dict(cache.mtime)
        if times:
            cache.mtime.update(dict.fromkeys(times, next(iter(times.values()))))
        await decide()
        cache.mtime.update(times)

    persistence._read_record, persistence._write_record = read_record, write_record
    dag.update_needrun = update_needrun
