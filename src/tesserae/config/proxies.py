"""Tokenizers that learn the codes of another one, their proxy, before they learn pixels: what has to fit what.

Recipes are those of `parts.ProxyTokenizer`. A module of `config/systems` with such a recipe lists in `NETWORK` the
keywords of its model that make the network; `model.proxy` is filled here, from the proxy's own settings.
"""

from tesserae.config.errors import ConfigError
from tesserae.config.registry import TOKENIZERS
from tesserae.config.resolve import ResolvedRecipe, Spec

SYSTEM = "maskgit_vqgan"  # whose decoder ends such networks
TAKEN = ("channels", "multipliers", "res_blocks", "codebook_size", "code_width")  # of the proxy's model


def describe(spec: Spec, recipe: ResolvedRecipe, proxy: ResolvedRecipe, its: Spec) -> None:
    """Fill `model.proxy` of a tokenizer's spec from its proxy's; ConfigError for one whose codes it cannot learn."""
    file, key = recipe.where("proxy")
    if proxy.typed.system != SYSTEM:
        problem = f"{recipe.name} ends in the decoder of a {SYSTEM}, and {proxy.name} is a {proxy.typed.system}"
        raise ConfigError(file, key, problem, f"name a tokenizer recipe of system {SYSTEM}")
    ours, theirs = spec.values["model"], its.values["model"]
    if ours["image_size"] != theirs["image_size"]:
        problem = f"{recipe.name} reads images of {ours['image_size']} pixels, {proxy.name} of {theirs['image_size']}"
        raise ConfigError(file, key, problem, "give both the same image_size, or name another proxy")
    side = 2 ** (len(theirs["multipliers"]) - 1)
    if side != ours["patch_size"]:
        problem = f"a patch of {recipe.name} has {ours['patch_size']} pixels a side, a code of {proxy.name} {side}"
        raise ConfigError(file, key, problem, "choose the patch_size, here or in the scale, that is a code's side")
    for part in TAKEN:
        spec.set(f"model.proxy.{part}", theirs[part], its.origins[f"model.{part}"])


def check_start(spec: Spec, recipe: ResolvedRecipe, start: ResolvedRecipe, its: Spec) -> None:
    """ConfigError if what a tokenizer that learns pixels starts from has not learned codes with the same network."""
    file, key = recipe.where("finetune")
    system = recipe.typed.system
    if start.typed.system != system or start.typed.learns != "codes":
        problem = f"{recipe.name} goes on from {start.name}, which is no {system} that learns codes"
        raise ConfigError(file, key, problem, f"name a recipe of system {system} with `learns: codes`")
    if start.typed.proxy != recipe.typed.proxy:
        problem = f"{recipe.name} has the proxy {recipe.typed.proxy}, {start.name}, which it goes on from, another"
        raise ConfigError(*recipe.where("proxy"), problem, f"write {start.typed.proxy}")
    if other := [
        name for name in TOKENIZERS[system].NETWORK if spec.values["model"][name] != its.values["model"][name]
    ]:
        problem = f"{recipe.name} goes on from {start.name}, which has another {', '.join(other)}"
        raise ConfigError(file, key, problem, "give both stages one network: write it in their common base")
