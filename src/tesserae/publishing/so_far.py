"""What there is of a paper before all of it was run: its measured numbers, and the tables and claims that they give.

Numbers are published themselves, in <paper>.numbers.json, under the identity that they were made under. So what is run
later, or on another machine, adds to what is published: a table's rows may come from several nights.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesserae.config.stages import METRICS, STAGES, stage_of
from tesserae.lineage import manifest as manifests
from tesserae.lineage.hashes import sha256
from tesserae.publishing import fingerprints
from tesserae.reporting import claim_numbers, table_numbers
from tesserae.reporting.tables import Table
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus, examine

VERSION = 1


def file(top: Path, paper: str) -> Path:
    return top / f"{paper}.numbers.json"


# ---- what was published earlier ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Earlier:
    """What was published of a paper so far; empty if nothing was, or if all of it was published at once.

    numbers: artifact -> {name of its file: content}; told: its fingerprints.
    """

    top: Path
    numbers: Mapping[str, Mapping[str, Any]]
    told: Mapping[str, Any] | None

    @classmethod
    def of(cls, top: Path, paper: str) -> "Earlier":
        path, told = file(top, paper), fingerprints.read(top, paper)
        if told is None or not path.is_file():
            return cls(top, {}, None)
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("version") != VERSION:
            raise ValueError(f"{path} is of version {found.get('version')}, this is {VERSION}: publish again")
        return cls(top, found["numbers"], told)

    def kept(self, plan: Plan, names: Iterable[str], now: Mapping[str, Any], as_made: bool) -> list[str]:
        """Those of the artifacts `names` that are still what the present code makes (`as_made`: or made), from
        producers that are none other than those that are there `now`.
        """
        known = self.told["artifacts"] if self.told else {}
        return [name for name in names if name in known and name in plan.jobs and self._fits(plan, name, now, as_made)]

    def _fits(self, plan: Plan, name: str, now: Mapping[str, Any], as_made: bool) -> bool:
        known = self.told["artifacts"]
        if not as_made and known[name]["fingerprint"] != plan.fingerprint(plan.jobs[name]):
            return False
        behind = fingerprints.behind(self.told, [name])
        return all(one not in now or now[one]["fingerprint"] == known[one]["fingerprint"] for one in behind)

    def figures(self) -> list[str]:
        """The figures whose pictures are there as they were published."""
        return [
            name
            for name in (self.told["shown"] if self.told else ())
            if name.startswith("figure/") and self._whole(picture_of(self.told["paper"], name))
        ]

    def _whole(self, name: str) -> bool:
        digest = self.told["files"].get(name)
        return digest is not None and (self.top / name).is_file() and sha256(self.top / name) == digest


def picture_of(paper: str, figure: str) -> str:
    """The file of a figure's small picture, below the folder of its scale."""
    return f"{paper}/{figure.split('/', 1)[1].removeprefix(f'{paper}_')}.png"


# ---- what is there now --------------------------------------------------------------------------------------------


def numbered(plan: Plan, paper: str) -> list[str]:
    """The artifacts whose numbers the tables and claims of a paper show."""
    jobs = [plan.jobs[name] for name in plan.of_paper(paper) if stage_of(name) in ("table", "claims")]
    return list(dict.fromkeys(name for job in jobs for name in job.inputs.values()))


def measured(names: Iterable[str], statuses: Mapping[str, ArtifactStatus], as_made: bool = False) -> list[str]:
    """Those of the artifacts `names` whose numbers are there; as_made: also what would be made otherwise now."""
    return [name for name in names if _counts(statuses[name], _file_of(name), as_made)]


def of_one_whole(records: Mapping[str, manifests.Manifest], names: Iterable[str]) -> list[str]:
    """Those of the artifacts `names` that were made, step by step, from what is there."""
    broken = {name for name in records if from_another(records, name)}
    return [name for name in names if broken.isdisjoint(manifests.upstream(records, [name]))]


def from_another(records: Mapping[str, manifests.Manifest], name: str) -> str | None:
    """The producer of which an artifact was made from another version than is there, if there is one."""
    for producer, read in records[name]["inputs"].items():
        if producer not in records or records[producer]["fingerprint"] != read["fingerprint"]:
            return producer
    return None


def _file_of(name: str) -> str:
    return STAGES[stage_of(name)].numbers or METRICS


def _counts(status: ArtifactStatus, wanted: str, as_made: bool) -> bool:
    made = status.record is not None and wanted not in status.missing
    return made and (status.current or (as_made and not any(why.startswith("edited") for why in status.stale)))


# ---- numbers as a file, and as artifacts --------------------------------------------------------------------------


def content(plan: Plan, paper: str, names: Iterable[str], earlier: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of <paper>.numbers.json, one line for each of the artifacts `names`: of those in `earlier` what was
    published of them, of the others what is there.
    """
    numbers = dict(earlier)
    for name in names:
        here = plan.project.root / plan.folder(name) / _file_of(name)
        if name not in earlier:
            numbers[name] = {_file_of(name): json.loads(here.read_text(encoding="utf-8"))}
    lines = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(one, sort_keys=True, ensure_ascii=False)}"
        for name, one in sorted(numbers.items())
    )
    return f'{{\n "version": {VERSION},\n "paper": {json.dumps(paper)},\n "numbers": {{\n{lines}\n }}\n}}\n'


def unpacked(text: str, folder: Path) -> dict[str, Path]:
    """Artifact -> a folder with the file of its numbers, written below `folder`."""
    found = {}
    for name, files in json.loads(text)["numbers"].items():
        found[name] = folder / name
        found[name].mkdir(parents=True)
        for file_name, told in files.items():
            (found[name] / file_name).write_text(json.dumps(told), encoding="utf-8")
    return found


# ---- what they give -----------------------------------------------------------------------------------------------


def tables(plan: Plan, paper: str, there: Mapping[str, Path]) -> dict[str, Table]:
    """The tables of a paper of which at least one number of ours is there, by the id of their job."""
    found = {}
    for name in plan.of_paper(paper):
        job = plan.jobs[name]
        if job.stage != "table":
            continue
        spec = table_numbers.so_far(job.spec, there)
        if spec is not None:
            found[name] = table_numbers.build(spec, there, plan.project.root / job.sources["published"], job.recipe)
    return found


def claims(plan: Plan, paper: str, there: Mapping[str, Path]) -> dict[str, Any] | None:
    """What a claims.json would hold if there were no other numbers; None for a paper without claims."""
    job = plan.jobs.get(f"claims/{paper}")
    if job is None:
        return None
    by_role = {role: there[name] for role, name in job.inputs.items() if name in there}
    return claim_numbers.evaluate(
        claim_numbers.so_far(job.spec, by_role), by_role, plan.project.root / job.sources["published"]
    )


@dataclass(frozen=True)
class There:
    """What there is of a paper: `names`, made here, with the manifests of these and of all they were made from; and
    `kept`, what stays of that which was published earlier. Both are figures, and artifacts with numbers.
    """

    names: list[str]
    records: dict[str, manifests.Manifest]
    earlier: Earlier
    kept: list[str]


def there(plan: Plan, paper: str, names: Iterable[str], as_made: bool = False) -> There:
    """names: those of the paper's figures and artifacts with numbers that were made here."""
    known = manifests.collect(plan.project.root, plan.scale)
    found = of_one_whole(known, names)
    records = {name: known[name] for name in manifests.upstream(known, found)}
    earlier = Earlier.of(plan.project.root / fingerprints.folder(plan), paper)
    others = [name for name in (*earlier.figures(), *earlier.numbers) if name not in found]
    return There(found, records, earlier, earlier.kept(plan, others, records, as_made))


def numbers(plan: Plan, paper: str, found: There) -> str:
    """The text of <paper>.numbers.json, of all that is there."""
    old = found.earlier.numbers
    names = [name for name in found.names if not name.startswith("figure/")]
    return content(plan, paper, names, {name: old[name] for name in found.kept if name in old})


def judged(plan: Plan, paper: str) -> dict[str, Any] | None:
    """What a claims.json would hold by the current numbers that are there, and those that were published so far."""
    names = numbered(plan, paper)
    statuses = examine(plan, wanted=plan.demanded(*names)) if names else {}
    found = there(plan, paper, measured(names, statuses))
    with tempfile.TemporaryDirectory() as folder:
        return claims(plan, paper, unpacked(numbers(plan, paper, found), Path(folder)))
