"""Reading YAML: numbers as YAML 1.2 has them, duplicate keys refused, types checked by pydantic.

Why not plain `yaml.safe_load`: it reads 1e-4 as a string and keeps the last of two equal keys without a word.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tesserae.config.errors import ConfigError, together

# pydantic looks for plugins among all installed packages: 40 ms of every process, and there are none for it here.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Unknown keys and wrong types are errors; values never change after reading.

    What checks them is built when it is first needed: most processes take a plan that was checked before.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


# What names a folder of results: as Snakemake reads a recipe out of a path (the Snakefile's wildcard), never hidden.
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")  # pydantic's names of what is wrong
WORDS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    pass


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
    return dict(zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(file: Path, top: type = dict) -> Any:
    """The mapping (`top=list`: the list) in a YAML file; raises ConfigError that names the file and the line."""
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(file, "", "no such file", f"create it, or name one of {_siblings(file)}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else ""
        raise ConfigError(file, line, getattr(error, "problem", None) or str(error), "mend the YAML there") from None
    if not isinstance(content, top):
        kind = "mapping" if top is dict else "list"
        raise ConfigError(file, "", f"expected a {kind} at the top", "see the JSON schema in workflow/schemas")
    return content


def validated(model: type[Model], content: dict, file: Path, key: str = "") -> Model:
    """`content` as a `model`; raises ConfigError that names the file and the paths of all bad keys."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise together(_problem(wrong, model, file, key) for wrong in error.errors(include_url=False)) from None


def _problem(wrong: Mapping[str, Any], model: type[BaseModel], file: Path, key: str) -> ConfigError:
    """What pydantic says of one key, in our words."""
    path = ".".join(str(part) for part in (*filter(None, [key]), *wrong["loc"]))
    shown = "" if wrong["type"] == "missing" else f" (found {wrong['input']!r:.80})"
    unknown = wrong["type"] == "extra_forbidden" and len(wrong["loc"]) == 1
    known = f"known keys here: {', '.join(model.model_fields)}"
    remedy = known if unknown else "see the JSON schema in workflow/schemas for the keys and types"
    if wrong["type"] == "missing":
        remedy = f"add it; {remedy}"
    if wrong["type"] in BOUNDS:
        remedy = _in_bounds(model, wrong["loc"]) or remedy
    return ConfigError(file, path, wrong["msg"] + shown, remedy)


def _in_bounds(model: type[BaseModel], at: tuple[str | int, ...]) -> str | None:
    """All bounds of the number at a path of keys, and what it is; None where the path leads elsewhere."""
    field = None
    for part in at:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return None
        field = model.model_fields[part]
        model = field.annotation
    bounds = [
        f"{words} {getattr(bound, key):g}"
        for bound in field.metadata
        for key, words in WORDS.items()
        if hasattr(bound, key)
    ]
    meant = f" ({field.description})" if field.description else ""
    return f"choose a number {' and '.join(bounds)}{meant}"


def _siblings(file: Path) -> str:
    return ", ".join(sorted(other.name for other in file.parent.glob("*.yaml"))) or "none there yet"
