"""Publishing: what a scale's tables, figures and claims say goes to docs/results/<scale>/, which git tracks, so that a
reader sees results without running anything.

All of it is taken from artifacts and their manifests; no job runs for it, and the same artifacts give the same bytes.
Of each paper there are its tables with small figures (<paper>.md, <paper>/), its claims (<paper>.claims.md, .json) and
what they were made by (<paper>.fingerprints.json, see fingerprints.py); README.md is the index.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tesserae.lineage.hashes import Hashes
from tesserae.publishing import fingerprints
from tesserae.publishing.found import Found, NotPublished, Prices, complete, in_part, shown
from tesserae.publishing.paper_files import files_of, write, write_paper
from tesserae.publishing.readme_block import INDEX, README, block, block_in, write_block
from tesserae.publishing.so_far import Earlier, There
from tesserae.reporting import public_pages as pages
from tesserae.workflow.plan import Plan


def publish(plan: Plan, papers: Iterable[str] = (), as_made: bool = False, prices: Prices | None = None) -> list[str]:
    """Write docs/results/<scale>/ anew, of `papers` alone if some are given; what was done, in lines.

    as_made: also what the present code would make otherwise, as long as all of it was made from what is there. prices:
    publish what there is so far, and what the rest costs: the tables and figures that are finished, and the claims as
    far as their numbers are measured. Raises NotPublished, having written nothing, for a paper of which anything that
    is shown is missing (so far: of which nothing is there), edited or (unless `as_made`) stale.
    """
    root, wanted = plan.project.root, list(papers) or [*plan.project.papers]
    found = {
        paper: complete(plan, paper, as_made) if prices is None else in_part(plan, paper, as_made, prices)
        for paper in wanted
    }
    top = root / fingerprints.folder(plan)
    aside = top.with_name(f".{top.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        for paper in plan.project.papers:
            if paper in found:
                write_paper(plan, paper, found[paper], aside)
            else:
                _keep(top, aside, paper)
        write(aside / INDEX, _index(plan, aside))
        _exchange(top, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    done = [f"{fingerprints.folder(plan)}: {', '.join(wanted)}"]
    return done + ([f"{README}: the block of scale {plan.scale}"] if write_block(plan) else [])


def _index(plan: Plan, top: Path) -> str:
    """The index of what is published in the folder `top`."""
    told = {paper: fingerprints.read(top, paper) for paper in plan.project.papers}
    there = {paper: one for paper, one in told.items() if one}
    return pages.index(top, there, scale=plan.scale, purpose=plan.project.scale.purpose)


def _keep(top: Path, aside: Path, paper: str) -> None:
    for file in files_of(top, paper):
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


def _written_otherwise(plan: Plan, paper: str, told: Mapping[str, Any], top: Path) -> list[str]:
    """Lines on pages of a paper that was run in part which the present code would write otherwise of its numbers."""
    kept = [name for name in told["shown"] if name in plan.jobs]
    found = Found.in_part(There([], {}, Earlier.of(top, paper), kept), told["summary"]["so_far"])
    pages_of = [f"{paper}.md", f"{paper}.claims.json", f"{paper}.claims.md"]
    with tempfile.TemporaryDirectory() as folder:
        write_paper(plan, paper, found, Path(folder))
        return [
            f"{paper}: {fingerprints.folder(plan) / name} would say something else now, of the same numbers"
            for name in pages_of
            if (Path(folder) / name).exists() and _bytes(Path(folder) / name) != _bytes(top / name)
        ]


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""
