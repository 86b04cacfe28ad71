"""Collects DECISION and DEPARTS comments, so that no guess can hide: where a paper is silent, where we differ."""

import re
from pathlib import Path
from typing import NamedTuple

_WORD = re.compile(r"#\s*(DECISION|DEPARTS)(?:\s*\(\w+\))?:\s*(.*)")


class Found(NamedTuple):
    """One remark: its word, the file and line, and its text on one line."""

    word: str
    where: str
    text: str


def collect(files: dict[str, Path]) -> list[Found]:
    """Remarks in files given by the name to show; a comment that fills its lines may go on over several."""
    return [remark for name, file in files.items() for remark in _remarks(file.read_text(encoding="utf-8"), name)]


def _remarks(text: str, name: str) -> list[Found]:
    found, lines = [], text.splitlines()
    for number, line in enumerate(lines):
        match = _WORD.search(line)
        if not match:
            continue
        parts = [match[2]]
        if line.lstrip().startswith("#"):
            for following in lines[number + 1 :]:
                comment = following.strip()
                if not comment.startswith("#") or _WORD.search(comment):
                    break
                parts.append(comment.lstrip("# "))
        found.append(Found(match[1], f"{name}:{number + 1}", " ".join(parts).strip()))
    return found
