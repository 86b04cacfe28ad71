"""What an audit found: findings (something is not as its records say), notes (to be known, nothing is wrong)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

# What no audit of files can see, said at the end of each.
UNSEEN = (
    "What files cannot tell: results that were forged together with their manifests and all that was made from them, "
    "unless they differ from what was shared and committed."
)
# Every kind of finding, as the list explains it. The words are stable: scripts may rely on them.
KINDS = {
    "manifest": "a manifest cannot be used",
    "place": "a manifest lies where it does not belong, or names files that are not its own",
    "missing": "a file that a manifest names is not there",
    "edited": "a file is not what was written",
    "input-missing": "an input has no manifest",
    "input-changed": "made from another version of an input than the one that is here",
    "source": "a tracked file is not what was read",
    "identity": "a manifest contradicts itself",
    "code": "made by code, settings or tracked files that are not the present ones",
    "upstream": "made from artifacts that the present code would make differently",
    "unplanned": "nothing in the present configuration asks for it",
    "stored-code": "the copy of the code that made an artifact is missing or was edited",
    "equivalent": "relies on an equivalence that is not on the reviewed list",
    "number": "a number that no manifest backs",
    "published": "a published number that is not the paper's, as transcribed",
    "table": "a page or table that its inputs do not give",
    "measure": "how a number was measured is not what its records say",
    "control": "a number of images without the control that says what it is worth, or with a mark that is not so",
    "mixed": "numbers of two extractors, scales or measures in one column",
    "unrecorded": "files that no manifest names",
    "clock": "times that cannot be",
    "shared": "not what was shared",
}
FEW = 6  # artifacts, files and times listed in the terminal for one finding that many have


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the records say."""

    kind: str  # one of KINDS
    artifact: str  # <stage>/<recipe>, "" if it belongs to none
    path: str  # file or folder, relative to the project folder
    what: str
    since: str
    remedy: str


@dataclass(frozen=True)
class Note:
    """Something to be known that is not a failure."""

    kind: str
    artifact: str  # "" if it is about several
    what: str


@dataclass(frozen=True)
class Report:
    """The result of an audit of one scale, in a fixed order, with the amount of what was verified."""

    scale: str
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    artifacts: int
    files: int
    bytes: int

    @property
    def clean(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """Plain values for `tesserae audit --json`."""
        return {
            "scale": self.scale,
            "clean": self.clean,
            "findings": [asdict(finding) for finding in self.findings],
            "notes": [asdict(note) for note in self.notes],
            "verified": {"artifacts": self.artifacts, "files": self.files, "bytes": self.bytes},
        }


def minute(moment: datetime | float) -> str:
    """`2026-11-22 04:54 UTC` of a time with zone or of seconds since 1970."""
    moment = datetime.fromtimestamp(moment, UTC) if isinstance(moment, int | float) else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def listed(names: Sequence[str], most: int = 4) -> str:
    """`a, b, c` or `a, b and 7 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def render(report: Report) -> "RenderableType":
    """The report for a terminal: findings first, those that say the same in one block, then notes, then the sum."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(f"Audit of results/{report.scale}: {_counted(report)}", style="bold"), Text()]
    blocks: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in report.findings:
        blocks.setdefault((finding.kind, finding.what, _remedy(finding)), []).append(finding)
    for number, block in enumerate(blocks.values(), 1):
        parts += [_block(number, block), Text()]
    if report.notes:
        parts += [Text("Notes (nothing is wrong with these)", style="bold"), _notes(report.notes), Text()]
    verified = f"{report.artifacts} artifacts, {report.files} files, {_size(report.bytes)}"
    if report.clean:
        parts.append(Text(f"Clean: {verified} verified; every hash is what the manifests say.", style="green"))
    else:
        parts.append(Text(f"Not clean. {verified} were looked at.", style="red"))
    parts.append(Text(UNSEEN, style="dim"))
    return Group(*parts)


def _block(number: int, block: list[Finding]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    first = block[0]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", width=8)
    grid.add_column(overflow="fold")
    grid.add_row(Text(str(number), style="bold"), Text.assemble((first.kind, "bold red"), f": {KINDS[first.kind]}"))
    rows = {
        "artifact": [finding.artifact for finding in block if finding.artifact],
        "file": [finding.path for finding in block],
        "what": [first.what],
        "since": [finding.since for finding in block],
        "to do": [first.remedy if len(block) == 1 else _remedy(first)],
    }
    for label, texts in rows.items():
        texts = list(dict.fromkeys(texts))
        if len(texts) > FEW:
            texts = [*texts[: FEW - 1], f"and {len(texts) - FEW + 1} more (--json lists all)"]
        for text in texts:
            grid.add_row(Text(label if text is texts[0] else "", style="dim"), Text(text))
    return grid


def _remedy(finding: Finding) -> str:
    """The remedy for any artifact."""
    return finding.remedy.replace(finding.artifact, "ARTIFACT") if finding.artifact else finding.remedy


def _notes(notes: Sequence[Note]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(2):
        grid.add_column(overflow="fold")
    for note in notes:
        about = f"{note.artifact}: " if note.artifact else ""
        grid.add_row(Text(f"    {note.kind}", style="dim"), Text(f"{about}{note.what}"))
    return grid


def _counted(report: Report) -> str:
    def count(things: Sequence[Any], word: str) -> str:
        return f"{len(things) or 'no'} {word}{'' if len(things) == 1 else 's'}"

    return f"{count(report.findings, 'finding')}, {count(report.notes, 'note')}"


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError(count)
