"""What differs between how an artifact was made and how it would be made now, in words."""

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tesserae.lineage import code, fingerprint

SHOWN = 3  # lines of a text source that are quoted
WIDTH = 60  # characters of a value that are quoted


def modules(record: dict[str, Any], own: fingerprint.Own, top: Path) -> list[str]:
    """Lines on code: modules that changed, came or went, down to the function where the code store has the old text.

    Args: `record`, the manifest; `own`, the job's present fingerprint; `top`, results/<scale>.
    """
    before, now = record["modules"] | record["equivalents"], own.modules | own.equivalents
    lines = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, fingerprint.ABSENT), now.get(name, fingerprint.ABSENT)
        if old == new:
            continue
        where = _short(name)
        if new == fingerprint.ABSENT:
            lines.append(f"{where}: no longer used")
        elif old == fingerprint.ABSENT:
            lines.append(f"{where}: newly used")
        else:
            kept = code.module_file(top, name, record["modules"][name])
            lines += _definitions(where, kept, fingerprint.module_file(name))
    return lines


def spec(record: dict[str, Any], now: dict[str, Any], origins: dict[str, str]) -> list[str]:
    """Lines on settings: `gamma 3.0 → 2.0 (where it is set now)`."""
    before, after = dict(leaves(record["spec"])), dict(leaves(now))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        origin = origin_of(origins, key) or origin_of(record["origins"], key)
        where = f" ({origin})" if origin else ""
        if key not in after:
            lines.append(f"{key} was {_value(before[key])}, is gone{where}")
        elif key not in before:
            lines.append(f"{key} is new: {_value(after[key])}{where}")
        elif before[key] != after[key]:
            lines.append(f"{key} {_pair(before[key], after[key])}{where}")
    return lines


def sources(record: dict[str, Any], own: fingerprint.Own, top: Path, root: Path) -> list[str]:
    """Lines on tracked files, with the first changed lines of a text."""
    before = {entry["path"]: entry["sha256"] for entry in record["sources"]}
    lines = []
    for path in sorted(before.keys() | own.sources.keys()):
        if path not in own.sources:
            lines.append(f"{path}: no longer read")
        elif path not in before:
            lines.append(f"{path}: newly read")
        elif before[path] != own.sources[path]:
            kept = code.source_file(top, before[path], Path(path).suffix)
            lines.append(f"{path} changed" + _quoted(kept, root / path))
    return lines


def inputs(record: dict[str, Any], now: list[str]) -> list[str]:
    """Lines on producers that a job reads now and did not, or the other way round."""
    before = set(record["inputs"])
    return [f"reads {name} now" for name in sorted(set(now) - before)] + [
        f"no longer reads {name}" for name in sorted(before - set(now))
    ]


def leaves(nested: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every setting of a spec."""
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def origin_of(origins: dict[str, str], key: str) -> str:
    """Where a setting came from: its own origin or that of the nearest enclosing key (some come as a whole)."""
    while key not in origins and "." in key:
        key = key.rpartition(".")[0]
    return origins.get(key, "")


def _definitions(where: str, kept: Path, present: Path) -> list[str]:
    if not kept.exists():
        return [f"{where}: changed (the code store has no copy of what it said)"]
    before, now = fingerprint.definitions(kept.read_bytes()), fingerprint.definitions(present.read_bytes())
    lines = []
    for words in sorted(before.keys() | now.keys()):
        if words not in now:
            lines.append(f"{where}: {words} removed")
        elif words not in before:
            lines.append(f"{where}: {words} added")
        elif before[words] != now[words]:
            lines.append(f"{where}: {words} changed")
    return lines or [f"{where}: the order of its definitions changed"]


def _quoted(kept: Path, present: Path) -> str:
    if not kept.exists():
        return ""
    old, new = kept.read_text(encoding="utf-8").splitlines(), present.read_text(encoding="utf-8").splitlines()
    parts = []
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for k in range(max(i_end - i, j_end - j)):
            before = old[i + k] if i + k < i_end else None
            after = new[j + k] if j + k < j_end else None
            number = f"line {min(j + k, max(j_end - 1, j)) + 1}"
            if before is None:
                parts.append(f"{number} added: {_cut(after)}")
            elif after is None:
                parts.append(f"{number} removed: {_cut(before)}")
            else:
                parts.append(f"{number}: {_around(before, after)}")
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return ": " + "; ".join(parts[:SHOWN]) + more if parts else ""


def _around(before: str, after: str) -> str:
    """The part of a line that changed, with the words around it."""
    same = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, same - WIDTH // 3)
    return f"{_cut(before[start:])} → {_cut(after[start:])}"


def _pair(before: Any, after: Any) -> str:
    if isinstance(before, list) and isinstance(after, list) and len(_text(before)) > WIDTH:
        gone, new = [x for x in before if x not in after], [x for x in after if x not in before]
        if gone or new:
            return "; ".join(
                [
                    *(f"without {_value(item)}" for item in gone[:SHOWN]),
                    *(f"with {_value(item)}" for item in new[:SHOWN]),
                ]
            )
        return "in another order"
    return f"{_value(before)} → {_value(after)}"


def _value(value: Any) -> str:
    return _cut(_text(value))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _short(name: str) -> str:
    return "/".join(name.split(".")[1:]) + ".py" if "." in name else f"{name}/__init__.py"
