"""The systems there are: one module of `config/systems` each, found by the name that recipes say.

A module has `Recipe` (what a recipe says, in paper terms), `Scaled` (what a scale may change beyond sizes and
training) and `describe`, which fills a spec's `model` settings; a tokenizer's has `tokens` and `OFFICIAL` as well.
"""

from types import ModuleType
from typing import Any

from tesserae.config.resolve import Tokens
from tesserae.config.systems import (
    detok,
    dit,
    kl_vae,
    lightningdit,
    maetok,
    mar,
    randomar,
    rasterar,
    sit,
    va_vae,
)

TOKENIZERS: dict[str, ModuleType] = {"detok": detok, "kl_vae": kl_vae, "va_vae": va_vae, "maetok": maetok}
GENERATORS: dict[str, ModuleType] = {
    "mar": mar,
    "randomar": randomar,
    "rasterar": rasterar,
    "sit": sit,
    "dit": dit,
    "lightningdit": lightningdit,
}
SYSTEMS = TOKENIZERS | GENERATORS


def tokens_of(module: str, model: dict[str, Any]) -> Tokens:
    """Length, width and layout of the tokens of a tokenizer, from what its spec says."""
    return TOKENIZERS[module.rsplit(".", 1)[-1]].tokens(model)
