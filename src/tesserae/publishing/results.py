"""Publishing: what a scale's tables, figures and claims say goes to docs/results/<scale>/, which git tracks, so that a
reader sees results without running anything.

All of it is taken from artifacts and their manifests; no job runs for it, and the same artifacts give the same bytes.
Of each paper there are its tables with small figures (<paper>.md, <paper>/), its claims (<paper>.claims.md, .json) and
what they were made by (<paper>.fingerprints.json, see fingerprints.py); README.md is the index.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.lineage.hashes import Hashes
from tesserae.publishing import fingerprints, so_far
from tesserae.reporting import claims_files
from tesserae.reporting import public_pages as pages
from tesserae.reporting.small_pictures import shrink
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
class Found:
    """What of a paper is published.

    names: its parts, and so far also the artifacts that its claims were judged by; records: the manifests of these and
    of all they were made from; claims: so far, what a claims.json holds; so_far: what is not there yet, in words.
    """

    names: list[str]
    records: dict[str, manifests.Manifest]
    claims: dict[str, Any] | None = None
    so_far: dict[str, Any] | None = None


def _so_far(plan: Plan, paper: str, as_made: bool, prices: Prices) -> Found:
    """What is there of a paper; NotPublished if nothing is."""
    parts = [name for name in shown(plan, paper) if name.startswith(("table/", "figure/"))]
    whole = examine(plan, wanted=plan.demanded(*shown(plan, paper)))
    names = so_far.finished(plan, parts, whole, as_made)
    measured = so_far.measured(plan, paper, as_made)
    if not names:
        raise NotPublished(
            f"{paper}: no table or figure of it is finished at scale {plan.scale}: "
            f"`tesserae --scale {plan.scale} reproduce {plan.jobs[parts[0]].recipe}` makes one"
        )
    again = f"`tesserae --scale {plan.scale} reproduce {' '.join(names)}`"
    records = _one_whole(plan, paper, [*names, *measured], again)
    judged = so_far.claims(plan, paper, measured) if measured else None
    waiting = to_run(plan, whole, shown(plan, paper))
    counts = {kind: sum(name.startswith(f"{kind}/") for name in parts) for kind in ("table", "figure")}
    left = {"jobs": len(waiting), **prices([*waiting])}
    return Found([*names, *measured], records, judged, {"tables": counts["table"], "figures": counts["figure"]} | left)


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
    whole = {name: records[name] for name in manifests.upstream(records, names)}
    for name, record in whole.items():
        for producer, read in record["inputs"].items():
            if producer not in whole or whole[producer]["fingerprint"] != read["fingerprint"]:
                raise NotPublished(f"{paper}: {name} was made from another {producer} than is there: {again}")
    return whole


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more} {'is' if len(names) == 1 else 'are'}"


# ---- what is written --------------------------------------------------------------------------------------------


def _write_paper(plan: Plan, paper: str, found: Found, top: Path) -> None:
    """A paper's files, into the folder `top`."""
    names, records, described = found.names, found.records, plan.project.papers[paper]
    results = plan.project.root / plan.top
    front = f"table/{paper}_{described.front.table}"
    tables, figures = ([name for name in names if name.startswith(f"{stage}/")] for stage in ("table", "figure"))
    pictures = []
    for name in figures:
        file = top / paper / f"{name.split('/', 1)[1].removeprefix(f'{paper}_')}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(shrink(results / name / "figure.png"))
        pictures.append(pages.Picture(records[name]["spec"]["title"], f"{paper}/{file.name}"))
    claims = results / "claims" / paper
    if found.claims is not None:
        _write(top / f"{paper}.claims.json", claims_files.to_json(found.claims))
        _write(top / f"{paper}.claims.md", claims_files.to_markdown(found.claims))
    elif described.claims is not None and found.so_far is None:
        shutil.copyfile(claims / "claims.json", top / f"{paper}.claims.json")
        shutil.copyfile(claims / "claims.md", top / f"{paper}.claims.md")
    cells = {name: pages.read_cells(results / name / "table.csv") for name in tables}
    made = fingerprints.made_by(records.values())
    text = pages.paper_page(
        pages.Paper(paper, described.name, described.title, described.arxiv or ""),
        scale=plan.scale,
        purpose=plan.project.scale.purpose,
        made=made,
        tables=[(results / name / "table.md").read_text(encoding="utf-8") for name in tables],
        pictures=pictures,
        front=pages.excerpt(cells[front if front in cells else next(iter(cells))])
        if cells
        else "No table is finished yet.",
        reported=plan.jobs[f"page/{paper}"].spec.get("reported", ()),
        claims=(top / f"{paper}.claims.json") if (top / f"{paper}.claims.json").is_file() else None,
        so_far=found.so_far,
    )
    _write(top / f"{paper}.md", text)
    content = fingerprints.content(
        paper,
        plan.scale,
        names,
        records,
        summary={
            "name": described.name,
            "figures": len(figures),
            **pages.counts(cells.values()),
            **({"so_far": found.so_far} if found.so_far else {}),
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
        if found:
            partly = "so_far" in found["summary"]
            parts = [name for name in found["shown"] if name in plan.jobs] if partly else shown(plan, paper)
            lines += fingerprints.differences(plan, parts, found)
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
