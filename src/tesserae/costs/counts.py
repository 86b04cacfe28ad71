"""Counts of networks, kept: counting takes seconds per network, and follows from code and settings alone."""

import functools
import importlib
import json
import os
import platform
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint

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
        store[key] = getattr(importlib.import_module(COUNTING), what)(**named, **settings)
        _save(store)
    return store[key]


def _file() -> Path:
    return fingerprint.cache_folder() / "costs.json"


@functools.cache
def _store() -> dict[str, dict]:
    try:
        return json.loads(_file().read_text())
    except (OSError, ValueError):  # a cache: whatever is wrong with it, start a new one
        return {}


def _save(store: dict[str, dict]) -> None:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(f".{platform.node()}-{os.getpid()}")
    aside.write_text(json.dumps(store))
    os.replace(aside, file)
