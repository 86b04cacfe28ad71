"""Publishing: what a scale's tables, figures and claims say goes to docs/results/<scale>/, which git tracks, so that a
reader sees results without running anything.

All of it is taken from artifacts and their manifests; no job runs for it, and the same artifacts give the same bytes.
Of each paper there are its tables with small figures (<paper>.md, <paper>/), its claims (<paper>.claims.md, .json) and
what they were made by (<paper>.fingerprints.json, see fingerprints.py); README.md is the index.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.lineage.hashes import Hashes
from tesserae.publishing import fingerprints, so_far
from tesserae.publishing.so_far import Earlier
from tesserae.reporting import claims_files, table_files
from tesserae.reporting import public_pages as pages
from tesserae.reporting.small_pictures import shrink
from tesserae.reporting.table_csv import to_csv
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import examine, to_run

PARTS = ("table", "figure", "claims", "page")  # stages of which something is published; of pages, reported numbers
README = Path("README.md")
INDEX = "README.md"  # of a scale
Prices = Callable[[list[str]], Mapping[str, Any]]  # artifacts -> {"hours": ..., "unit": "CPU-hours"}, or {} if unknown


class NotPublished(Exception):
    """Results cannot be published, or are not as they were published; the message says why and what to do."""


def publish(plan: Plan, papers: Iterable[str] = (), as_made: bool = False, prices: Prices | None = None) -> list[str]:
    """Write docs/results/<scale>/ anew, of `papers` alone if some are given; what was done, in lines.

    as_made: also what the present code would make otherwise, as long as all of it was made from what is there. prices:
    publish what there is so far, and what the rest costs: the tables and figures that are finished, and the claims as
    far as their numbers are measured. Raises NotPublished, having written nothing, for a paper of which anything that
    is shown is missing (so far: of which nothing is there), edited or (unless `as_made`) stale.
    """
    root, wanted = plan.project.root, list(papers) or [*plan.project.papers]
    found = {
        paper: _complete(plan, paper, as_made) if prices is None else _so_far(plan, paper, as_made, prices)
        for paper in wanted
    }
    top = root / fingerprints.folder(plan)
    aside = top.with_name(f".{top.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        for paper in plan.project.papers:
            if paper in found:
                _write_paper(plan, paper, found[paper], aside)
            else:
                _keep(top, aside, paper)
        _write(aside / INDEX, _index(plan, aside))
        _exchange(top, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    done = [f"{fingerprints.folder(plan)}: {', '.join(wanted)}"]
    return done + ([f"{README}: the block of scale {plan.scale}"] if _write_block(plan) else [])


def shown(plan: Plan, paper: str) -> list[str]:
    """What of a paper is published, in the order of its file."""
    own = [plan.jobs[name] for name in plan.of_paper(paper)]
    return [job.id for stage in PARTS for job in own if job.stage == stage]


@dataclass(frozen=True)
class SoFar:
    """earlier: what was published before; kept: those of its parts that stay; left: what is not there, in numbers."""

    earlier: Earlier
    kept: list[str]
    left: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What of a paper is published.

    names: its parts; records: the manifests of these and of all they were made from; so_far: of a paper that was run in
    part, what else there is of it, else None. Then names are figures and the artifacts whose numbers are published.
    """

    names: list[str]
    records: dict[str, manifests.Manifest]
    so_far: SoFar | None = None


def _so_far(plan: Plan, paper: str, as_made: bool, prices: Prices) -> Found:
    """What is there of a paper, with what was published of it earlier; NotPublished if nothing is."""
    earlier = Earlier.of(plan.project.root / fingerprints.folder(plan), paper)
    parts = shown(plan, paper)
    statuses = examine(plan, wanted=plan.demanded(*parts))
    figures = [name for name in parts if name.startswith("figure/")]
    drawn = [name for name in figures if statuses[name].intact]
    drawn = drawn if as_made else [name for name in drawn if not to_run(plan, statuses, [name])]
    numbered = so_far.numbered(plan, paper)
    names = [*drawn, *so_far.measured(plan, numbered, as_made)]
    there = manifests.collect(plan.project.root, plan.scale)
    names = [name for name in names if not any(_from_another(there, one) for one in manifests.upstream(there, [name]))]
    records = {name: there[name] for name in manifests.upstream(there, names)}
    others = [name for name in (*earlier.figures(), *earlier.numbers) if name not in names]
    kept = earlier.kept(plan, others, records, as_made)
    tables = [name for name in parts if name.startswith("table/")]
    if not names and not kept:
        raise NotPublished(
            f"{paper}: no figure of it is finished and no number measured at scale {plan.scale}: "
            f"`tesserae --scale {plan.scale} reproduce {plan.jobs[[*tables, *figures][0]].recipe}` begins"
        )
    known = {*names, *kept}
    waiting = to_run(plan, statuses, [name for name in (*figures, *numbered) if name not in known] or None)
    left = {"tables": len(tables), "figures": len(figures), "jobs": len(waiting), **prices([*waiting])}
    return Found([*names, *kept], records, SoFar(earlier, kept, left))


def _complete(plan: Plan, paper: str, as_made: bool) -> Found:
    """All that a paper shows; NotPublished unless that is one whole."""
    names = shown(plan, paper)
    again = f"`tesserae --scale {plan.scale} reproduce {paper}` makes what is missing"
    statuses = examine(plan, wanted=plan.demanded(*names))
    if absent := [name for name in names if statuses[name].record is None or statuses[name].missing]:
        raise NotPublished(f"{paper}: {_some(absent)} not there at scale {plan.scale}: {again}")
    if edited := [name for name in names if not statuses[name].intact]:
        raise NotPublished(f"{paper}: {_some(edited)} edited since made: {again}")
    if not as_made and (run := to_run(plan, statuses, names)):
        raise NotPublished(
            f"{paper}: {_some([*run])} not what the present code makes: {again}. To publish what is there with the "
            "fingerprints it was made under: `tesserae publish --as-made`"
        )
    return Found(names, _one_whole(plan, paper, names, again))


def _one_whole(plan: Plan, paper: str, names: list[str], again: str) -> dict[str, manifests.Manifest]:
    """The manifests of artifacts and of all they were made from; NotPublished if these are not what is there."""
    records = manifests.collect(plan.project.root, plan.scale)
    for name in manifests.upstream(records, names):
        if other := _from_another(records, name):
            raise NotPublished(f"{paper}: {name} was made from another {other} than is there: {again}")
    return {name: records[name] for name in manifests.upstream(records, names)}


def _from_another(records: Mapping[str, manifests.Manifest], name: str) -> str | None:
    """The producer of which an artifact was made from another version than is there, if there is one."""
    for producer, read in records[name]["inputs"].items():
        if producer not in records or records[producer]["fingerprint"] != read["fingerprint"]:
            return producer
    return None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more} {'is' if len(names) == 1 else 'are'}"


# ---- what is written --------------------------------------------------------------------------------------------


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
    earlier, kept = found.so_far.earlier.numbers, found.so_far.kept
    names = [name for name in found.names if not name.startswith("figure/")]
    numbers = so_far.content(plan, paper, names, {name: earlier[name] for name in kept if name in earlier})
    _write(so_far.file(top, paper), numbers)
    with tempfile.TemporaryDirectory() as folder:
        there = so_far.unpacked(numbers, Path(folder))
        tables, claims = so_far.tables(plan, paper, there), so_far.claims(plan, paper, there)
    return Parts(
        {name: table_files.to_markdown(table) for name, table in tables.items()},
        {name: pages.read_cells(to_csv(table)) for name, table in tables.items()},
        _pictures(plan, paper, found, top),
        {"json": claims_files.to_json(claims), "md": claims_files.to_markdown(claims)} if claims else {},
    )


def _pictures(plan: Plan, paper: str, found: Found, top: Path) -> dict[str, str]:
    """Write a paper's small pictures; figure -> title, in the order of the paper's file."""
    results, titles = plan.project.root / plan.top, {}
    for name in shown(plan, paper):
        if not name.startswith("figure/") or name not in found.names:
            continue
        file = top / so_far.picture_of(paper, name)
        file.parent.mkdir(exist_ok=True)
        if found.so_far and name in found.so_far.kept:
            shutil.copyfile(found.so_far.earlier.top / so_far.picture_of(paper, name), file)
        else:
            file.write_bytes(shrink(results / name / "figure.png"))
        titles[name] = plan.jobs[name].spec["title"]
    return titles


def _write_paper(plan: Plan, paper: str, found: Found, top: Path) -> None:
    """A paper's files, into the folder `top`."""
    described, partly = plan.project.papers[paper], found.so_far
    parts = (_partly if partly else _whole)(plan, paper, found, top)
    for suffix, text in parts.claims.items():
        _write(top / f"{paper}.claims.{suffix}", text)
    front = f"table/{paper}_{described.front.table}"
    told = partly.earlier.told if partly and partly.kept else None
    records = fingerprints.with_earlier(found.records, told, partly.kept) if told else found.records
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
    _write(top / f"{paper}.md", text)
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
        files=sorted(file.relative_to(top) for file in _files(top, paper)),
        top=top,
    )
    _write(fingerprints.file(top, paper), content)


def _index(plan: Plan, top: Path) -> str:
    """The index of what is published in the folder `top`."""
    told = {paper: fingerprints.read(top, paper) for paper in plan.project.papers}
    there = {paper: one for paper, one in told.items() if one}
    return pages.index(top, there, scale=plan.scale, purpose=plan.project.scale.purpose)


def _files(top: Path, paper: str) -> list[Path]:
    """What was published of a paper: the files with its name, and those in the folder of its name."""
    return [file for pattern in (f"{paper}.*", f"{paper}/*") for file in top.glob(pattern) if file.is_file()]


def _keep(top: Path, aside: Path, paper: str) -> None:
    for file in _files(top, paper):
        (aside / file.relative_to(top)).parent.mkdir(exist_ok=True)
        shutil.copyfile(file, aside / file.relative_to(top))


def _exchange(top: Path, new: Path) -> None:
    """Put the folder `new` in the place of `top`; if that fails, what was there stands there again."""
    old = top.with_name(f"{new.name}.old")
    if top.exists():
        os.rename(top, old)
    try:
        os.rename(new, top)
    except OSError:
        if old.exists():
            os.rename(old, top)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


# ---- the block of the first README -------------------------------------------------------------------------------


def block(plan: Plan) -> str | None:
    """What the project's README is to say between its marks, from the scale's index; None if nothing was published."""
    index = plan.project.root / fingerprints.folder(plan) / INDEX
    if not index.is_file():
        return None
    return pages.relocated(pages.between(index.read_text(encoding="utf-8"), pages.FRONT), fingerprints.folder(plan))


def block_in(plan: Plan) -> str | None:
    """What the project's README says there; None without a README or marks of this scale."""
    readme = plan.project.root / README
    return pages.between(readme.read_text(encoding="utf-8"), plan.scale) if readme.is_file() else None


def _write_block(plan: Plan) -> bool:
    if block_in(plan) is None:
        return False
    readme = plan.project.root / README
    aside = readme.with_name(f".{readme.name}.{os.getpid()}")
    _write(aside, pages.replaced(readme.read_text(encoding="utf-8"), plan.scale, block(plan)))
    os.replace(aside, readme)
    return True


def _written_otherwise(plan: Plan, paper: str, told: Mapping[str, Any], top: Path) -> list[str]:
    """Lines on pages of a paper that was run in part which the present code would write otherwise of its numbers."""
    earlier = Earlier.of(top, paper)
    kept = [name for name in told["shown"] if name in plan.jobs]
    found = Found(kept, {}, SoFar(earlier, kept, told["summary"]["so_far"]))
    pages_of = [f"{paper}.md", f"{paper}.claims.json", f"{paper}.claims.md"]
    with tempfile.TemporaryDirectory() as folder:
        _write_paper(plan, paper, found, Path(folder))
        return [
            f"{paper}: {fingerprints.folder(plan) / name} would say something else now, of the same numbers"
            for name in pages_of
            if (Path(folder) / name).exists() and _bytes(Path(folder) / name) != _bytes(top / name)
        ]


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


# ---- do they still belong to the code? ----------------------------------------------------------------------------


def check(plan: Plan, papers: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """(what differs between what was published and what the present code would make, notes), both in lines.

    Needs no results. Raises NotPublished if nothing was published at this scale.
    """
    root, top = plan.project.root, plan.project.root / fingerprints.folder(plan)
    told = {paper: fingerprints.read(top, paper) for paper in (list(papers) or plan.project.papers)}
    if not any(told.values()):
        raise NotPublished(f"there is no {fingerprints.folder(plan)} of {', '.join(told)}: `make publish` writes it")
    lines = [f"{paper}: not published at scale {plan.scale}" for paper, found in told.items() if found is None]
    for paper, found in told.items():
        if found and "so_far" in found["summary"]:
            lines += fingerprints.differences(plan, [name for name in found["shown"] if name in plan.jobs], found)
            lines += _written_otherwise(plan, paper, found, top)
        elif found:
            lines += fingerprints.differences(plan, shown(plan, paper), found)
    hashes, touched = Hashes(root), []
    for paper, found in told.items():
        for name, digest in (found or {"files": {}})["files"].items():
            path = fingerprints.folder(plan) / name
            if hashes.of(str(path)) != digest:
                what = "edited" if (root / path).exists() else "gone"
                touched.append(f"{paper}: {path} is {what} since it was published")
    index = top / INDEX
    if not touched and not papers and (not index.is_file() or index.read_text(encoding="utf-8") != _index(plan, top)):
        touched.append(f"{fingerprints.folder(plan) / INDEX} is not what the pages beside it say")
    lines += touched
    if block_in(plan) not in (None, block(plan)):
        lines.append(f"{README}: its block of scale {plan.scale} is not what {fingerprints.folder(plan) / INDEX} says")
    notes = fingerprints.other_libraries(root, [found for found in told.values() if found])
    return lines, notes
