"""How often a scale trains each recipe: `seeds: 3`, or by names `seeds: {default: 3, "detok_sb_*": 8}`."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

DEFAULT = "default"  # the number of seeds of all recipes that no pattern matches
COUNT = {"type": "integer", "exclusiveMinimum": 0}
SCHEMA = {
    "anyOf": [COUNT, {"type": "object", "additionalProperties": COUNT, "required": [DEFAULT]}],
    "default": 1,
}


def _by_pattern(said: Any) -> Any:
    """One number for all recipes is the default of all."""
    if isinstance(said, int) and not isinstance(said, bool):
        if said < 1:
            raise ValueError("the number of seeds should be greater than 0")
        return {DEFAULT: said}
    return said


def _complete(seeds: dict[str, int]) -> dict[str, int]:
    if DEFAULT not in seeds:
        raise ValueError(f"no {DEFAULT}: say how many seeds recipes have that no pattern matches, `{DEFAULT}: 3`")
    return seeds


# "default", and patterns of recipes' names -> how many seeds. Of several patterns that match, the last one decides.
Seeds = Annotated[
    dict[str, Annotated[int, Field(gt=0)]],
    BeforeValidator(_by_pattern),
    AfterValidator(_complete),
    WithJsonSchema(SCHEMA),
]


def count(seeds: Mapping[str, int], name: str) -> int:
    """How many seeds a scale's `seeds` ask for of a recipe."""
    matching = [number for pattern, number in seeds.items() if pattern != DEFAULT and fnmatchcase(name, pattern)]
    return matching[-1] if matching else seeds[DEFAULT]


def counts(seeds: Mapping[str, int], made_from: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How often each recipe is trained: as `seeds` say, and as often as any that is made from it.

    made_from: recipe -> those that it is made from; others than its keys are left aside.
    """
    found = {name: count(seeds, name) for name in made_from}
    waiting = list(found)
    while waiting:
        name = waiting.pop()
        for source in made_from[name]:
            if found.get(source, found[name]) < found[name]:
                found[source] = found[name]
                waiting.append(source)
    return found
