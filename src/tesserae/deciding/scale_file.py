"""A scale's file with other seeds: of its text nothing but what follows `seeds:` changes, so that comments stay."""

import difflib
from collections.abc import Collection, Mapping

import yaml

from tesserae.config.seed_counts import DEFAULT

KEY = "seeds"
WIDTH = 120  # of a line of the file


def with_seeds(text: str, wanted: Mapping[str, int]) -> str:
    """The text of a scale's file in which the recipes `wanted` have so many seeds.

    Recipes are added after the patterns that are there, since the last one that matches decides; one that stood there
    by its own name goes from its old place. Comments stay, but for those on lines of recipes that move.
    """
    text = text if text.endswith("\n") else f"{text}\n"
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    value = next((value for key, value in top.value if key.value == KEY), None)
    added = [f"{_key(name)}: {number}" for name, number in wanted.items()]
    if value is None:
        return f"{text}{KEY}:\n{_lines([f'{DEFAULT}: 1', *added])}"
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        return _in_block(text, value, wanted.keys(), added)
    start, end = value.start_mark.index, value.end_mark.index
    if isinstance(value, yaml.ScalarNode):
        entries = [f"{DEFAULT}: {value.value}", *added]
    else:
        kept = [(key, number) for key, number in value.value if key.value not in wanted]
        entries = [*(text[key.start_mark.index : number.end_mark.index] for key, number in kept), *added]
        inside = f"{{{', '.join(entries)}}}"
        if value.start_mark.column + len(inside) <= WIDTH:
            return f"{text[:start]}{inside}{text[end:]}"
    said, _, after = text[end:].partition("\n")  # a comment, which goes on standing on the key's line
    return f"{text[:start].rstrip()}{f' {said.strip()}' if said.strip() else ''}\n{_lines(entries)}{after}"


def _in_block(text: str, value: yaml.MappingNode, moved: Collection[str], added: list[str]) -> str:
    """With entries added below those of a block, without those that are `moved`."""
    lines = text.splitlines(keepends=True)
    gone = {key.start_mark.line for key, _ in value.value if key.value in moved}
    last = value.value[-1][1].end_mark.line + 1
    kept = [line for number, line in enumerate(lines[:last]) if number not in gone]
    return "".join([*kept, _lines(added, " " * value.value[0][0].start_mark.column), *lines[last:]])


def difference(old: str, new: str, file: str) -> str:
    """A unified diff of a file of the project, as `git apply` and `patch -p1` take it; "" for no difference."""
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{file}", f"b/{file}")
    return "".join(lines)


def _lines(entries: list[str], indent: str = "  ") -> str:
    return "".join(f"{indent}{entry}\n" for entry in entries)


def _key(name: str) -> str:
    """A recipe's name as YAML has it."""
    return name if yaml.safe_load(name) == name else f'"{name}"'
