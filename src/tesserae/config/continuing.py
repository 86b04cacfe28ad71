"""Tokenizers whose training goes on from that of another one (`continues`): what has to fit what.

All of the network goes on learning, and losses may be added or left out; the network is the same. A module of
`config/systems` whose recipes can continue each other lists in `NETWORK` the keywords of its model that make the
network, as in proxies.py. Small scales train several variants from one base so.
"""

from tesserae.config.errors import ConfigError
from tesserae.config.registry import TOKENIZERS
from tesserae.config.resolve import ResolvedRecipe, Spec


def check(spec: Spec, recipe: ResolvedRecipe, start: ResolvedRecipe, its: Spec) -> None:
    """ConfigError if a tokenizer cannot go on from the weights of `start`, of which `its` is the spec."""
    file, key = recipe.where("continues")
    system, other = recipe.typed.system, start.typed.system
    if other != system:
        problem = f"{recipe.name} is a {system}, and {start.name}, which it continues, a {other}"
        raise ConfigError(file, key, problem, f"name a tokenizer recipe of the system {system}")
    parts = getattr(TOKENIZERS[system], "NETWORK", None)
    if parts is None:
        able = ", ".join(name for name, module in TOKENIZERS.items() if hasattr(module, "NETWORK"))
        problem = f"a {system} does not say what its network is, and so continues no other one"
        raise ConfigError(file, key, problem, f"train it whole; or say it, as {able} do (NETWORK in config/systems)")
    ours, theirs = spec.values["model"], its.values["model"]
    if differ := [name for name in parts if ours.get(name) != theirs.get(name)]:
        problem = f"{recipe.name} continues {start.name}, which has another {', '.join(differ)}"
        raise ConfigError(file, key, problem, "give both one network: write it in their common base")
