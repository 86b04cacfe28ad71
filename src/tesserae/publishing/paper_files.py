"""The files of a published paper: its page, small figures, claims, and what they were made by."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tesserae.publishing import fingerprints, so_far
from tesserae.publishing.found import Found, shown
from tesserae.reporting import claims_files, table_files
from tesserae.reporting import public_pages as pages
from tesserae.reporting.small_pictures import shrink
from tesserae.reporting.table_csv import to_csv
from tesserae.workflow.plan import Plan


@dataclass(frozen=True)
class Parts:
    """What a paper's page shows: tables as Markdown and as lines of table.csv, the titles of figures, and claims."""

    tables: dict[str, str]
    cells: dict[str, list[dict[str, str]]]
    figures: dict[str, str]
    claims: Mapping[str, str]  # the text of claims.json and .md, by suffix; empty without claims


def _whole(plan: Plan, paper: str, found: Found, top: Path) -> Parts:
    results = plan.project.root / plan.top
    tables = [name for name in found.names if name.startswith("table/")]
    claimed = plan.project.papers[paper].claims is not None
    return Parts(
        {name: (results / name / "table.md").read_text(encoding="utf-8") for name in tables},
        {name: pages.read_cells((results / name / "table.csv").read_text(encoding="utf-8")) for name in tables},
        _pictures(plan, paper, found, top),
        {
            suffix: (results / "claims" / paper / f"claims.{suffix}").read_text(encoding="utf-8")
            for suffix in ("json", "md")
            if claimed
        },
    )


def _partly(plan: Plan, paper: str, found: Found, top: Path) -> Parts:
    """Of a paper that was run in part; writes its numbers, which all else is made of."""
    numbers = so_far.numbers(plan, paper, found.so_far.there)
    write(so_far.file(top, paper), numbers)
    with tempfile.TemporaryDirectory() as folder:
        folders = so_far.unpacked(numbers, Path(folder))
        tables, claims = so_far.tables(plan, paper, folders), so_far.claims(plan, paper, folders)
    return Parts(
        {name: table_files.to_markdown(table) for name, table in tables.items()},
        {name: pages.read_cells(to_csv(table)) for name, table in tables.items()},
        _pictures(plan, paper, found, top),
        {"json": claims_files.to_json(claims), "md": claims_files.to_markdown(claims)} if claims else {},
    )


def _pictures(plan: Plan, paper: str, found: Found, top: Path) -> dict[str, str]:
    """Write a paper's small pictures; figure -> title, in the order of the paper's file."""
    results, titles = plan.project.root / plan.top, {}
    there = found.so_far.there if found.so_far else None
    for name in shown(plan, paper):
        if not name.startswith("figure/") or name not in found.names:
            continue
        file = top / so_far.picture_of(paper, name)
        file.parent.mkdir(exist_ok=True)
        if there and name in there.kept:
            shutil.copyfile(there.earlier.top / so_far.picture_of(paper, name), file)
        else:
            file.write_bytes(shrink(results / name / "figure.png"))
        titles[name] = plan.jobs[name].spec["title"]
    return titles


def write_paper(plan: Plan, paper: str, found: Found, top: Path) -> None:
    """A paper's files, into the folder `top`."""
    described, partly = plan.project.papers[paper], found.so_far
    parts = (_partly if partly else _whole)(plan, paper, found, top)
    for suffix, text in parts.claims.items():
        write(top / f"{paper}.claims.{suffix}", text)
    front = f"table/{paper}_{described.front.table}"
    there = partly.there if partly else None
    told = there.earlier.told if there and there.kept else None
    records = fingerprints.with_earlier(found.records, told, there.kept) if told else found.records
    made = fingerprints.made_by(found.records.values(), told)
    text = pages.paper_page(
        pages.Paper(paper, described.name, described.title, described.arxiv or ""),
        scale=plan.scale,
        purpose=plan.project.scale.purpose,
        made=made,
        tables=[*parts.tables.values()],
        pictures=[pages.Picture(title, so_far.picture_of(paper, name)) for name, title in parts.figures.items()],
        front=pages.excerpt(parts.cells.get(front) or next(iter(parts.cells.values()), [])),
        reported=plan.jobs[f"page/{paper}"].spec.get("reported", ()),
        claims=(top / f"{paper}.claims.json") if parts.claims else None,
        so_far=partly.left if partly else None,
    )
    write(top / f"{paper}.md", text)
    content = fingerprints.content(
        paper,
        plan.scale,
        found.names,
        records,
        made=made,
        summary={
            "name": described.name,
            "figures": len(parts.figures),
            **pages.counts(parts.cells.values()),
            **({"so_far": partly.left} if partly else {}),
        },
        files=sorted(file.relative_to(top) for file in files_of(top, paper)),
        top=top,
    )
    write(fingerprints.file(top, paper), content)


def files_of(top: Path, paper: str) -> list[Path]:
    """What was published of a paper: the files with its name, and those in the folder of its name."""
    return [file for pattern in (f"{paper}.*", f"{paper}/*") for file in top.glob(pattern) if file.is_file()]


def write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")
