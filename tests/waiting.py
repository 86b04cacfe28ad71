"""Waiting for other processes: longer than any busy machine needs, and never for ever."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE = 400.0  # seconds after which a condition that does not come fails a test


def until(holds: Callable[[], object], what: Callable[[], str], every: float = 0.05) -> None:
    """Wait for a condition, asking again `every` so many seconds; fail with `what` if it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE:.0f} s: {what()}")
        time.sleep(every)


def runs(process: int) -> bool:
    """Whether a process is there and has not ended: one that nobody has waited for yet has."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
