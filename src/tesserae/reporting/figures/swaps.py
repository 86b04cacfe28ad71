"""Rows of pictures in which more and more tokens of one image are another's: CompTok, Figs. 3 to 8.

Shapes: K pairs, R columns, H x W pixels; images are uint8 (..., H, W, 3).
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import FigureError, Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.figure_inputs import first_seeds, read

CITED = "cited by the paper, not run here"
ORDERS = {"pictures": "any first", "pictures_prefix": "first ones first"}  # arrays -> which tokens change first
NONE: Mapping[str, Any] = MappingProxyType({})

Arrays = Mapping[str, np.ndarray]


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `swaps`, of the stage `swaps`."""
    spec = work.spec
    numbers = {label: read(work, "tokenizers", "swaps", row, "metrics.json") for row, label in spec["rows"]}
    plot(
        stem,
        tokenizers=first_seeds(work, "tokenizers", "swaps", "swaps.npz"),
        numbers={label: seeds.over_seeds(found) for label, found in numbers.items() if found},
        cited=spec["published_rows"],
        pair=spec["pair"] or 1,
        scale=spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Arrays | str],
    scale: str,
    pair: int = 1,
    numbers: Mapping[str, Mapping[str, Any]] = NONE,
    cited: Sequence[str] = (),
) -> list[Path]:
    """Of one pair two sets of rows, a row for each tokenizer: between both images what is drawn in each column.

    tokenizers: label -> arrays of the stage `swaps`, or why it was not run; numbers: label -> its metrics.json over
    seeds; pair: from 1 on; cited: labels of which nothing is run. Raises FigureError if tokenizers show different
    images.
    """
    found = {label: arrays for label, arrays in tokenizers.items() if not isinstance(arrays, str)}
    reasons = dict.fromkeys(cited, CITED) | {
        label: arrays for label, arrays in tokenizers.items() if isinstance(arrays, str)
    }
    shown = {label: arrays for label, arrays in found.items() if len(arrays["first"]) >= pair}
    fewer = {label: arrays for label, arrays in found.items() if label not in shown}
    reasons |= {label: f"this scale keeps pictures of {len(arrays['first'])} pairs" for label, arrays in fewer.items()}
    _same_pair(shown, pair)
    title = f"More and more tokens of one image in another, pair {pair} (scale {scale})"
    if not shown:
        return empty_sheet(stem, {label: reasons[label] for label in (*cited, *tokenizers)}, title)
    heads = ["A", *map(_fraction, next(iter(shown.values()))["shares"]), "B"]
    rows: list[tuple[str, Row]] = []
    for name, order in ORDERS.items():
        for label in (*cited, *tokenizers):
            row = reasons[label] if label in reasons else _row(shown[label], name, pair)
            rows.append((f"{label}\n{order}", row))
    with style.look():
        figure = draw_sheet(rows, heads, title, breaks=len(cited) + len(tokenizers))
        notes = [
            "Columns: the share of the tokens that are those of B, from none to all, each at its place; a column has "
            "those of the one before. Any first: in one random order for all; first ones first: from the first one on",
            "Noise is the same along a row",
            *(_numbers(label, numbers[label]) for label in shown if label in numbers),
            "Pictures are those of the first seed",
        ]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _row(arrays: Arrays, name: str, pair: int) -> np.ndarray:
    """Both images of a pair, and between them what is drawn: (2 + R, H, W, 3)."""
    at = pair - 1
    return np.concatenate([arrays["first"][at : at + 1], arrays[name][at], arrays["second"][at : at + 1]])


def _same_pair(shown: Mapping[str, Arrays], pair: int) -> None:
    """FigureError if tokenizers show other images, or other shares of their tokens."""
    first = next(iter(shown.values()), None)
    for label, arrays in shown.items():
        alike = all(np.array_equal(arrays[name][pair - 1], first[name][pair - 1]) for name in ("first", "second"))
        if not (alike and np.array_equal(arrays["shares"], first["shares"])):
            raise FigureError(f"swaps of different pairs or columns stand in one figure: see {label}")


def _fraction(share: float) -> str:
    """ "3/8"."""
    return str(Fraction(float(share)).limit_denominator(64))


def _numbers(label: str, metrics: Mapping[str, Any]) -> str:
    """What `metrics` say of all pairs, as far as they could be measured."""
    values, said = metrics["values"], []
    if "ratio" in values:
        said.append(f"loss of realism at the better end over that at the worst column {values['ratio']:.2f}")
        said.append(f"more like B from {values['turn']:.0f} % of the tokens on")
    if "sensitivity" in values:
        said.append(f"{values['neglected']:.0f} % of the tokens change next to nothing")
    return f"{label}, over {metrics['measure']['samples']} pairs, any first: {', '.join(said) or 'not measured'}"
