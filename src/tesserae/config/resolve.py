"""What a recipe is resolved against, and what comes out: plain values, each with its origin."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tesserae.config.errors import ConfigError
from tesserae.config.types import Dataset, GeneralScale


class Sourced(NamedTuple):
    """A value and the place that says so."""

    value: Any
    origin: str


MAPPED = ("image_size", "patch_size", "latent_channels")  # tables of a scale: a paper's value -> ours


@dataclass(frozen=True)
class ResolvedRecipe:
    """One trained thing in paper terms, its `base` followed: typed, and as leaves `dotted.key -> (value, origin)`."""

    name: str
    typed: Any  # the `Recipe` of its system
    leaves: dict[str, Sourced]
    file: Path
    section: str
    replaced: dict[str, Any] = field(default_factory=dict)  # what the paper says where the scale's exceptions differ

    def __getitem__(self, key: str) -> Sourced:
        return self.leaves[key]

    def where(self, key: str) -> tuple[Path, str]:
        """File and key for an error about `key`."""
        return self.file, f"{self.section}.{self.name}.{key}"


class Tokens(NamedTuple):
    """The shape of a tokenizer's tokens, which is all that a generator learns about it."""

    length: int
    width: int  # values of a token; of a code's entry in the codebook
    layout: str  # grid (row-major square) or sequence
    vocabulary: int | None = None  # how many different codes there are; None: tokens are continuous
    ragged: bool = False  # images have codes in some places of a row only, `length` of them at most
    mean: float | None = None  # of ragged ones, where it is known beforehand: how many an image has on average
    places: int = 0  # of ragged ones: how many, at the end of a row, are those of a grid; 0: none means anything


class Text(NamedTuple):
    """The prompts' features that a tokenizer reads beside the images."""

    encoder: str  # of encoders/text.py
    tokens: int  # of a prompt
    width: int


@dataclass
class Spec:
    """Plain nested values and, for each leaf, where it came from. It holds what shapes an artifact and nothing else."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def set(self, path: str, value: Any, origin: str | None = None) -> None:
        """Set a leaf from a Sourced, or from a value with its origin."""
        if isinstance(value, Sourced):
            value, origin = value.value, origin or value.origin
        *parents, last = path.split(".")
        at = self.values
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
        self.origins[path] = origin or ""


@dataclass(frozen=True)
class Context:
    """What every spec is resolved against."""

    scale: GeneralScale  # a config.scales.Scale: its systems are described in terms of this module
    scale_file: Path
    datasets: dict[str, Dataset]
    datasets_file: Path

    def mapped(self, table: str, paper: Sourced) -> Sourced:
        """The scale's value for a paper's value, or the paper's own."""
        mapping = getattr(self.scale, table)
        if paper.value not in mapping:
            return paper
        return Sourced(mapping[paper.value], f"{self.scale_file}: {table}.{paper.value} (the paper: {paper.value})")

    def ours(self, system: str, recipe: ResolvedRecipe, key: str) -> Sourced:
        """As `scaled`; and of what the scale maps from the papers' values to its own, its value."""
        found = self.scaled(system, recipe, key)
        return self.mapped(key, found) if key in MAPPED else found

    def size(self, system: str, recipe: ResolvedRecipe, key: str) -> dict[str, Sourced]:
        """Width, blocks and heads of a named size."""
        name = recipe[key].value
        sizes = self.scale.sizes.get(system, {})
        if name not in sizes:
            file, path = recipe.where(key)
            raise ConfigError(
                file,
                path,
                f"unknown size {name!r} at scale {self.scale.scale}",
                f"add it to {self.scale_file}: sizes.{system}, or use one of {', '.join(sizes)}",
            )
        origin = f"{self.scale_file}: sizes.{system}.{name}"
        return {part: Sourced(value, origin) for part, value in sizes[name].model_dump().items()}

    def check(self, spec: Spec, recipe: ResolvedRecipe, faults: Iterable[tuple[str, str, str]]) -> None:
        """Raise the first of `faults` (key, problem, remedy) of what a spec describes, at the key that can mend it."""
        for key, problem, remedy in faults:
            file, place = recipe.where(key)
            origin = spec.origins.get(f"model.{key}", "")
            if origin.startswith(f"{self.scale_file}"):
                file, place = self.scale_file, origin.removeprefix(f"{self.scale_file}: ").partition(" ")[0]
            raise ConfigError(file, place, f"{recipe.name}: {problem}", remedy)

    def dataset(self, recipe: ResolvedRecipe) -> tuple[str, Dataset, str]:
        """As `images`; ConfigError for a set without classes."""
        name, data, origin = self.images(recipe)
        if not hasattr(data, "classes"):
            key = f"datasets.{recipe['dataset'].value}"
            raise ConfigError(self.scale_file, key, f"{name} has no classes", "name a data set with classes")
        return name, data, origin

    def images(self, recipe: ResolvedRecipe) -> tuple[str, Dataset, str]:
        """Name and description of the data set that plays the recipe's role, and who says so."""
        return self.playing(recipe["dataset"].value, *recipe.where("dataset"))

    def playing(self, role: str, file: Path, key: str) -> tuple[str, Dataset, str]:
        """As `images`, of a role that `file` names at `key`."""
        if role not in self.scale.datasets:
            raise ConfigError(
                file,
                key,
                f"no data set plays the role {role!r} at scale {self.scale.scale}",
                f"add it to {self.scale_file}: datasets",
            )
        name = self.scale.datasets[role]
        if name not in self.datasets:
            raise ConfigError(
                self.scale_file,
                f"datasets.{role}",
                f"unknown data set {name!r}",
                f"one of {', '.join(self.datasets)} ({self.datasets_file})",
            )
        return name, self.datasets[name], f"{self.scale_file}: datasets.{role}"

    def either(self, ours: Any, paper: Sourced, key: str) -> Sourced:
        """What the scale says at `key`, or the paper's value where it says nothing."""
        if ours is None:
            return paper
        return Sourced(ours, f"{self.scale_file}: {key} (the paper: {paper.value})")

    def scaled(self, system: str, recipe: ResolvedRecipe, key: str) -> Sourced:
        """The recipe's value at a dotted key, or what the scale's `systems.<system>` says at the same key."""
        ours: Any = getattr(self.scale.systems, system)
        for part in key.split("."):
            ours = getattr(ours, part, None)
        return self.either(ours, recipe[key], f"systems.{system}.{key}")
