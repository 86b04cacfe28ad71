"""Reviewed equivalences: an edit that changes no number is recorded in git instead of making everything again."""

import subprocess

import yaml

from tesserae.config.project import EQUIVALENTS
from tesserae.config.types import Equivalent
from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.workflow.plan import Plan


class NotNeeded(Exception):
    """There is nothing to record; the message says why."""


def record(plan: Plan, module: str, why: str, by: str | None = None) -> Equivalent:
    """Add an entry for what `module` says now to config/equivalent-code.yaml.

    It counts as what the artifacts of this scale were made with; `absent` if they were made before it existed.
    Raises NotNeeded if no artifact's code differs, or if artifacts disagree on what it said.
    """
    if fingerprint.module_file(module) is None:
        raise NotNeeded(f"there is no module {module!r}; give its dotted name, as in tesserae.losses.perceptual")
    now = fingerprint.scan(module).digest
    users = {job.id for job in plan.jobs.values() if module in plan.own(job).modules}
    if not users:
        raise NotNeeded(f"no artifact at scale {plan.scale} depends on {module}")
    made = manifests.collect(plan.project.root, plan.scale)
    before = {
        made[name]["equivalents"].get(module) or made[name]["modules"].get(module, fingerprint.ABSENT)
        for name in users & made.keys()
    } - {now}
    if not before:
        raise NotNeeded(f"{module} is what all artifacts at scale {plan.scale} were made with")
    if len(before) > 1:
        raise NotNeeded(
            f"artifacts at scale {plan.scale} were made with {len(before)} versions of {module} "
            f"({', '.join(sorted(before))}): bring them up to date first, or write the entry by hand"
        )
    entry = Equivalent(module=module, code=now, same_as=before.pop(), why=why, by=by or _user(plan))
    _append(plan, entry)
    return entry


def _append(plan: Plan, entry: Equivalent) -> None:
    """The file's comments stay: the list is written below them."""
    file = plan.project.root / EQUIVALENTS
    entries = [*plan.project.equivalents.equivalents, entry]
    kept = [old for old in entries if (old.module, old.code) != (entry.module, entry.code)] + [entry]
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    body = yaml.safe_dump({"equivalents": [old.model_dump() for old in kept]}, sort_keys=False, allow_unicode=True)
    file.write_text("\n".join([*head, body]))


def _user(plan: Plan) -> str:
    done = subprocess.run(["git", "-C", str(plan.project.root), "config", "user.name"], capture_output=True, text=True)
    if not done.stdout.strip():
        raise NotNeeded("say who reviewed it: --by NAME (git has no user.name here)")
    return done.stdout.strip()
