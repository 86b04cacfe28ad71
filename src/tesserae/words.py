"""Numbers as a reader writes them: durations, sizes, settings."""

import json
from collections.abc import Sequence
from typing import Any


def duration(seconds: float | None) -> str:
    """12.3 s, 3 min 20 s, 1 h 02 min; "" for None."""
    if seconds is None:
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, thing: str) -> str:
    """1 artifact, 2 artifacts."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """951 B, 37.0 kB, 4.2 MB: three digits, powers of 1000."""
    value, unit = float(number), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, bigger
    return f"{number} B" if unit == "B" else f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def moment(stamp: str | None) -> str:
    """A manifest's time without its fraction: 2026-11-22 04:54:44 UTC; "" for None."""
    return f"{stamp[:19].replace('T', ' ')} UTC" if stamp else ""


def number(value: Any) -> str:
    """Six digits of a number; text as it is."""
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def setting(value: Any) -> str:
    """A value of a spec: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def commit(git: dict[str, Any] | None) -> str:
    """Seven digits of a manifest's commit, and whether the tree differed from it."""
    if not git or not git["commit"]:
        return "no commit"
    return git["commit"][:7] + (" with uncommitted changes" if git["dirty"] else "")


def machine(hardware: dict[str, Any]) -> str:
    """A manifest's hardware in one line."""
    parts = [hardware.get("host"), hardware.get("processor"), f"{hardware['cores']} cores", hardware.get("gpu")]
    job = hardware.get("scheduler_job")
    return ", ".join(filter(None, [*parts, f"job {job}" if job else None]))


def seeds_in_words(counts: Sequence[int]) -> str:
    """How often recipes are trained, the fewest seeds of one and the most: `3 seeds`, `3 to 8 seeds`."""
    few, most = min(counts), max(counts)
    return "1 seed" if most == 1 else f"{few} to {most} seeds" if few < most else f"{most} seeds"
