"""Counts of networks, kept: counting takes seconds per network, and follows from code and settings alone."""

import functools
import json
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint
from tesserae.lineage.hashes import remember

COUNTING = "tesserae.costs.networks"


def count(what: str, module: str | None = None, **settings: Any) -> dict[str, Any]:
    """The function `what` of costs.networks on these settings, from the cache if the code is what it was.

    module: of the network that is counted, if it is one of ours.
    """
    named = {"module": module} if module else {}
    roots = tuple(sorted({COUNTING, *filter(None, [module]), *fingerprint.modules_named(settings)}))
    code = [fingerprint.scan(name).digest for name in fingerprint.closure(roots)]
    key = f"{what}:{fingerprint.digest([code, named, settings])}"
    store = _store()
    if key not in store:
        from tesserae.costs import networks  # only here: it loads torch. Named, so that fingerprints cover it

        store[key] = getattr(networks, what)(**named, **settings)
        remember(_file(), json.dumps(store))
    return store[key]


def _file() -> Path:
    return fingerprint.cache_folder() / "costs.json"


@functools.cache
def _store() -> dict[str, dict]:
    try:
        return json.loads(_file().read_text())
    except (OSError, ValueError):  # a cache: whatever is wrong with it, start a new one
        return {}
