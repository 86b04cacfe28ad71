"""Where the lineage page lies, and how to point into it."""

from urllib.parse import quote

LINEAGE = "lineage/index/lineage.html"  # where a scale's lineage page lies below results/<scale>


def anchor(artifact: str, *cell: str) -> str:
    """The part after # of a link to the lineage page: an artifact, or a table's cell by row label and column name."""
    return "/".join(quote(part, safe="") for part in (*artifact.split("/", 1), *cell))
