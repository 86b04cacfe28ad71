"""Words that kinds of measures share."""

import json
from collections.abc import Mapping
from typing import Any


def setting(value: Any) -> str:
    """A setting as a reader writes it: 3.0 as 3, a nested one as JSON."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(setting, value))
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def counted(record: Mapping[str, Any]) -> str:
    """ ", 1000 samples per number" of a record that says how many there are, else ""."""
    return f", {record['samples']} samples per number" if "samples" in record else ""
