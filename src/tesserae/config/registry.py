"""The systems there are: one module of `config/systems` each, found by the name that recipes say.

A module has `Recipe` (what a recipe says, in paper terms), `Scaled` (what a scale may change beyond sizes and
training) and `describe`, which fills a spec's `model` settings; a tokenizer's has `tokens` and `OFFICIAL` as well,
`text` if it reads prompts, `teacher` if it aligns with a frozen network, and `schedule` if its model has settings that
depend on the training's steps.
"""

from types import ModuleType
from typing import Any

from tesserae.config.resolve import Tokens
from tesserae.config.systems import (
    alit_like,
    comit,
    comptok,
    concepttok,
    detok,
    dit,
    emaskgit,
    epsilon_llamagen,
    flextok_like,
    hita,
    kl_vae,
    lightningdit,
    llamagen,
    llamagen_vq,
    maetok,
    mar,
    maskgit,
    maskgit_vqgan,
    randomar,
    rasterar,
    selftok_like,
    sftok,
    sit,
    tatok,
    titok,
    topk_sae,
    va_vae,
)

SAES: dict[str, ModuleType] = {"topk_sae": topk_sae}
TOKENIZERS: dict[str, ModuleType] = {
    "detok": detok,
    "kl_vae": kl_vae,
    "va_vae": va_vae,
    "maetok": maetok,
    "concepttok": concepttok,
    "llamagen_vq": llamagen_vq,
    "maskgit_vqgan": maskgit_vqgan,
    "sftok": sftok,
    "tatok": tatok,
    "titok": titok,
    "hita": hita,
    "comptok": comptok,
    "flextok_like": flextok_like,
    "alit_like": alit_like,
    "selftok_like": selftok_like,
    "comit": comit,
}
GENERATORS: dict[str, ModuleType] = {
    "mar": mar,
    "randomar": randomar,
    "rasterar": rasterar,
    "sit": sit,
    "dit": dit,
    "lightningdit": lightningdit,
    "llamagen": llamagen,
    "maskgit": maskgit,
    "emaskgit": emaskgit,
    "epsilon_llamagen": epsilon_llamagen,
}
SYSTEMS = SAES | TOKENIZERS | GENERATORS
SECTIONS = {"saes": SAES, "tokenizers": TOKENIZERS, "generators": GENERATORS}  # of a paper's file


def tokens_of(module: str, model: dict[str, Any]) -> Tokens:
    """Length, width and layout of the tokens of a tokenizer, from what its spec says."""
    return TOKENIZERS[module.rsplit(".", 1)[-1]].tokens(model)
