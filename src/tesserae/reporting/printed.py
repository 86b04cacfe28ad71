"""How tables and the notes under them print what is no number of theirs: blanks and settings."""

import json
from typing import Any

BLANK = "–"  # not measured, though it could be
CITED = "—"  # not ours to measure: the paper quotes it from other work


def plain(value: Any) -> str:
    """A setting as a reader writes it: 3.0 as 3, a nested one as JSON."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
