"""Where the lineage page of a paper lies, and how to point into it."""

from urllib.parse import quote


def lineage_page(paper: str) -> str:
    """Where a paper's lineage page lies below results/<scale>."""
    return f"lineage/{paper}/lineage.html"


def anchor(artifact: str, *cell: str) -> str:
    """The part after # of a link to a lineage page: an artifact, or a table's cell by row label and column name."""
    return "/".join(quote(part, safe="") for part in (*artifact.split("/", 1), *cell))
