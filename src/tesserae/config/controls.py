"""How large the closed-form control of a tokenizer is: patches on a square grid that keep as much of an image.

Imports no torch.
"""

import math
from typing import Any

from tesserae import bits
from tesserae.config.resolve import Tokens


def patches_of(tokens: Tokens, side: int) -> dict[str, Any]:
    """The control of a tokenizer of images of `side` x `side` pixels, as the stage `reconstruction_control` is told.

    {"kind": "components", "grid": G, "components": K}: K numbers of each of G x G patches, G^2 K being the numbers of
    the tokens; of codes {"kind": "centres", "grid": G, "centres": V}: G^2 log2 V bits. Where no grid has exactly as
    many (tokens without a grid, two codes) it is the nearest. There are as many patches as tokens, or the next more.
    Of a tokenizer that makes more codes of one image than of another: as many bits as an image has on average.
    """
    discrete = tokens.vocabulary is not None
    count = tokens.length if tokens.mean is None else tokens.mean
    wanted = rate(tokens) if discrete else count * tokens.width
    grids = [grid for grid in range(1, side + 1) if side % grid == 0]
    fine = [grid for grid in grids if grid**2 >= count] or grids[-1:]
    if discrete:
        found = [{"kind": "centres", "grid": grid, "centres": round(2 ** (wanted / grid**2))} for grid in fine]
    else:
        most = {grid: 3 * (side // grid) ** 2 for grid in fine}  # values of a patch
        kept = {grid: min(most[grid], max(1, round(wanted / grid**2))) for grid in fine}
        found = [{"kind": "components", "grid": grid, "components": kept[grid]} for grid in fine]
    return min(found, key=lambda control: abs(amount_of(control) - wanted))


def rate(tokens: Tokens) -> float:
    """Bits of the codes of an image. Of ragged ones: of an image that has the mean number of them, or all where no mean
    is known beforehand, and the bits that say how many there are and in which places.
    """
    count = tokens.length if tokens.mean is None else tokens.mean
    amount = bits.of_codes(count, tokens.vocabulary)
    if tokens.ragged:
        amount += bits.of_length(tokens.places or tokens.length)
    if tokens.places:
        amount += bits.of_places(tokens.places, count - (tokens.length - tokens.places))
    return amount


def amount_of(control: dict[str, Any]) -> float:
    """Numbers (bits, of centres) that a control keeps of an image."""
    each = math.log2(control["centres"]) if control["kind"] == "centres" else control["components"]
    return control["grid"] ** 2 * each


def name_of(control: dict[str, Any]) -> str:
    """`64x8`: 64 patches of 8 numbers each; `64x128codes`: of one of 128 codes each."""
    kept = f"{control['centres']}codes" if control["kind"] == "centres" else str(control["components"])
    return f"{control['grid'] ** 2}x{kept}"
