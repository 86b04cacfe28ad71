"""The block of the project's README that shows a scale's index."""

import os
from pathlib import Path

from tesserae.publishing import fingerprints
from tesserae.publishing.paper_files import write
from tesserae.reporting import public_pages as pages
from tesserae.workflow.plan import Plan

README = Path("README.md")
INDEX = "README.md"  # of a scale


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


def write_block(plan: Plan) -> bool:
    if block_in(plan) is None:
        return False
    readme = plan.project.root / README
    aside = readme.with_name(f".{readme.name}.{os.getpid()}")
    write(aside, pages.replaced(readme.read_text(encoding="utf-8"), plan.scale, block(plan)))
    os.replace(aside, readme)
    return True
