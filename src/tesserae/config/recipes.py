"""Recipes: following `base`, laying a scale's exceptions over them, remembering where each value came from."""

from pathlib import Path

from tesserae.config.errors import ConfigError, together
from tesserae.config.files import validated
from tesserae.config.registry import SECTIONS
from tesserae.config.resolve import ResolvedRecipe, Sourced
from tesserae.config.scales import Scale

Place = tuple[Path, str]  # the file that says something, and the key there


def read_recipe(
    section: str, name: str, entries: dict[str, dict], file: Path, scale: Scale, scale_file: Path
) -> ResolvedRecipe:
    """The recipe `name` of a paper's `section`; ConfigError names unknown, cyclic and mistyped entries.

    All mistyped ones at once, each where it is written.
    """
    merged: dict[str, Sourced] = {}
    places: dict[str, Place] = {}
    steps = _chain(section, name, entries, file)
    for step in reversed(steps):
        own = {key: value for key, value in entries[step].items() if key not in ("base", "abstract")}
        leaves = _leaves(own, f"{file}: {section}.{step}")
        merged.update(leaves)
        places |= {path: (file, f"{section}.{step}.{path}") for path in leaves}
    systems = SECTIONS[section]
    system = merged.get("system", Sourced(None, "")).value
    if system not in systems:
        raise ConfigError(
            file, f"{section}.{name}.system", f"unknown system {system!r}", f"one of {', '.join(systems)}"
        )
    defaults = {
        key: Sourced(settings.default, "default of the type")
        for key, settings in systems[system].Recipe.model_fields.items()
        if not settings.is_required()
    }
    exception, replaced = scale.exceptions.get(name), {}
    for key, value in (exception.set if exception else {}).items():
        if key not in merged | defaults:
            raise ConfigError(
                scale_file,
                f"exceptions.{name}.set.{key}",
                "no such key in the recipe",
                f"one of {', '.join(sorted(merged | defaults))}",
            )
        replaced[key] = paper = (defaults | merged)[key].value
        merged[key] = Sourced(value, f"{scale_file}: exceptions.{name} ({exception.reason}; the paper: {paper})")
        places[key] = scale_file, f"exceptions.{name}.set.{key}"
    try:
        typed = validated(systems[system].Recipe, _nested(merged), file)
    except ConfigError as error:
        here, base = (file, f"{section}.{name}"), (file, f"{section}.{steps[-1]}")
        raise together(_placed(problem, places, here, base) for problem in error.problems) from None
    complete = _leaves(typed.model_dump(), "")
    # Values as their types have them: 3 where a number may have a fraction is 3.0, and the same recipe.
    leaves = {
        key: Sourced(value, merged[key].origin if key in merged else "default of the type")
        for key, (value, _) in complete.items()
    }
    return ResolvedRecipe(name, typed, leaves, file, section, replaced)


def concrete(entries: dict[str, dict]) -> list[str]:
    """Names of the recipes that are trained: those not marked `abstract`."""
    return [name for name, entry in entries.items() if not entry.get("abstract")]


def _chain(section: str, name: str, entries: dict[str, dict], file: Path) -> list[str]:
    chain, at = [], name
    while at is not None:
        if at in chain:
            raise ConfigError(
                file,
                f"{section}.{name}.base",
                f"cyclic base: {' -> '.join([*chain, at])}",
                "let one of them stand on its own",
            )
        if at not in entries:
            key = f"{section}.{chain[-1]}.base" if chain else f"{section}.{at}"
            raise ConfigError(file, key, f"unknown recipe {at!r}", f"one of {', '.join(sorted(entries))}")
        if not isinstance(entries[at], dict):
            raise ConfigError(file, f"{section}.{at}", "expected a mapping", "give it keys, or `base: <recipe>`")
        chain.append(at)
        at = entries[at].get("base")
    return chain


def _placed(problem: ConfigError, places: dict[str, Place], recipe: Place, base: Place) -> ConfigError:
    """A problem with a recipe's key where the key is written: in its base perhaps, or in a scale's exceptions.

    What is written nowhere is missed at the first base, once for all recipes that are built on it.
    """
    path, rest = problem.key, ""
    while path and path not in places:  # inside a list
        path, _, last = path.rpartition(".")
        rest = f".{last}{rest}"
    if path:
        file, key = places[path]
        return ConfigError(file, f"{key}{rest}", problem.problem, problem.remedy)
    group = not problem.key or any(other.startswith(f"{problem.key}.") for other in places)  # keys that do not agree
    file, key = recipe if group else base
    return ConfigError(file, f"{key}.{problem.key}" if problem.key else key, problem.problem, problem.remedy)


def _leaves(nested: dict, origin: str, prefix: str = "") -> dict[str, Sourced]:
    flat: dict[str, Sourced] = {}
    for key, value in nested.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(_leaves(value, origin, path + "."))
        else:
            flat[path] = Sourced(value, f"{origin}.{path}")
    return flat


def _nested(leaves: dict[str, Sourced]) -> dict:
    tree: dict = {}
    for path, sourced in leaves.items():
        *parents, last = path.split(".")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = sourced.value
    return tree
