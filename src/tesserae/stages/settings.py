"""Stage `settings`: a recipe's numbers, as papers print them in tables of hyper-parameters (ConceptTok, Tab. 5)."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tesserae.lineage.measures.settings import Settings
from tesserae.lineage.work import Work
from tesserae.stages.shared.numbers import write_numbers

STATED = "what the recipe says, in the paper's terms at every scale; its lineage says what the scale does"
MEASURE = Settings(stated=STATED)


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json. The spec is the recipe at the paper's scale: dotted key -> number, list or truth value."""
    return write_numbers(work, settings(work.spec), MEASURE)


def settings(recipe: Mapping[str, Any]) -> dict[str, float]:
    """All numbers of a recipe; one of a list is `key.0`, `key.1`, ...

    Besides, where the recipe has what they follow from: `patch_tokens` of an image; `tokens` that a tokenizer makes of
    it; `vocabulary`, how many different codes there are, and `code_values`, how many values one of so many `levels`
    stands for; and of a search for guidance the `guidance.smallest` and `.largest` scale tried (1, no guidance, is),
    its `.step` if the scales are evenly spaced, and the fraction of first tokens without it,
    `guidance.unguided_percent`.
    """
    values = dict(_numbers(recipe))
    if "patch_size" in recipe:
        values["patch_tokens"] = (values["image_size"] // values["patch_size"]) ** 2
    if "network.multipliers" in recipe:  # each level but the last halves the image's side
        values["tokens"] = (values["image_size"] // 2 ** (len(recipe["network.multipliers"]) - 1)) ** 2
    elif "latent_tokens" in recipe:
        values["tokens"] = values["latent_tokens"]
    if "levels" in recipe:
        values |= {"vocabulary": float(math.prod(recipe["levels"])), "code_values": float(len(recipe["levels"]))}
    elif "codebook_size" in recipe:
        values["vocabulary"] = float(recipe["codebook_size"])
    if isinstance(recipe.get("sampling.guidance"), list):  # of a tokenizer that draws it is one number
        tried = np.unique([1.0, *recipe["sampling.guidance"]])
        values |= {"guidance.smallest": float(tried[0]), "guidance.largest": float(tried[-1])}
        steps = np.diff(tried)
        if len(steps) and np.allclose(steps, steps[0]):
            values["guidance.step"] = float(steps[0])
    if "sampling.unguided_fraction" in recipe:
        values["guidance.unguided_percent"] = 100 * values["sampling.unguided_fraction"]
    return values


def _numbers(recipe: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in recipe.items():
        numbers = (
            {f"{key}.{number}": one for number, one in enumerate(value)} if isinstance(value, list) else {key: value}
        )
        yield from ((name, float(one)) for name, one in numbers.items() if _is_number(one))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("settings")
