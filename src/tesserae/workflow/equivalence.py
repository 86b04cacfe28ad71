"""Reviewed equivalences: an edit that changes no number is recorded in git instead of making everything again."""

import subprocess

import yaml

from tesserae.config.project import EQUIVALENTS
from tesserae.config.types import Equivalent
from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.workflow.graph.job import Job
from tesserae.workflow.plan import Plan


class NotNeeded(Exception):
    """There is nothing to record; the message says why."""


def record(plan: Plan, module: str, why: str, by: str | None = None) -> list[Equivalent]:
    """Add entries for what `module` says now to config/equivalent-code.yaml, and return them.

    It counts as what the artifacts of this scale were made with; `absent` if they were made before it existed, or
    before their stage used it. One entry holds for all artifacts; where stages were made with different versions, as
    when one newly uses what others always did, each version has an entry for its stages. Raises NotNeeded if no
    artifact's code differs, or if artifacts of a stage disagree on what it said.
    """
    if fingerprint.module_file(module) is None:
        raise NotNeeded(f"there is no module {module!r}; give its dotted name, as in tesserae.losses.perceptual")
    now = fingerprint.scan(module).digest
    users = [job for job in plan.jobs.values() if module in plan.own(job).modules]
    if not users:
        raise NotNeeded(f"no artifact at scale {plan.scale} depends on {module}")
    versions = _versions(plan, module, users)
    if all(version == now for version in versions.values()):
        raise NotNeeded(f"{module} is what all artifacts at scale {plan.scale} were made with")
    of_all = len(set(versions.values())) == 1
    by, entries = by or _user(plan), []
    for version in sorted(set(versions.values()) - {now}):
        stages = [] if of_all else sorted(stage for stage, one in versions.items() if one == version)
        entries.append(Equivalent(module=module, code=now, same_as=version, stages=stages, why=why, by=by))
    _write(plan, entries)
    return entries


def _versions(plan: Plan, module: str, users: list[Job]) -> dict[str, str]:
    """Stage -> the version of a module that its artifacts were made with; of stages that have any."""
    made = manifests.collect(plan.project.root, plan.scale)
    found: dict[str, set[str]] = {}
    for job in users:
        if job.id in made:
            manifest = made[job.id]
            counted = manifest["equivalents"].get(module) or manifest["modules"].get(module, fingerprint.ABSENT)
            found.setdefault(job.stage, set()).add(counted)
    for stage, versions in found.items():
        if len(versions) > 1:
            raise NotNeeded(
                f"artifacts of {stage} at scale {plan.scale} were made with {len(versions)} versions of {module} "
                f"({', '.join(sorted(versions))}): bring them up to date first, or write the entry by hand"
            )
    return {stage: version for stage, (version,) in found.items()}


def _write(plan: Plan, entries: list[Equivalent]) -> None:
    """In place of what was said of the same code before. The file's comments stay: the list is written below them."""
    file = plan.project.root / EQUIVALENTS
    said = {(entry.module, entry.code) for entry in entries}
    kept = [old for old in plan.project.equivalents.equivalents if (old.module, old.code) not in said]
    head = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    shown = [entry.model_dump(exclude_defaults=True) for entry in (*kept, *entries)]
    body = yaml.safe_dump({"equivalents": shown}, sort_keys=False, allow_unicode=True)
    file.write_text("\n".join([*head, body]), encoding="utf-8")


def _user(plan: Plan) -> str:
    done = subprocess.run(
        ["git", "-C", str(plan.project.root), "config", "user.name"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if not done.stdout.strip():
        raise NotNeeded("say who reviewed it: --by NAME (git has no user.name here)")
    return done.stdout.strip()
