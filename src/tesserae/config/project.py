"""The whole configuration of a project folder, read once: settings, scale, data sets, papers and their recipes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml, validated
from tesserae.config.recipes import Recipe, concrete, read_recipe
from tesserae.config.types import Cluster, Datasets, Equivalents, Paper, Scale, Settings

EQUIVALENTS = Path("config/equivalent-code.yaml")
CLUSTER = Path("config/cluster.yaml")


@dataclass(frozen=True)
class Project:
    """A project folder under one scale. All paths in it are relative to `root`."""

    root: Path
    settings: Settings
    scale: Scale
    datasets: Datasets
    papers: dict[str, Paper]
    tokenizers: dict[str, Recipe]
    generators: dict[str, Recipe]
    equivalents: Equivalents
    cluster: Cluster

    @cached_property
    def context(self) -> specs.Context:
        return specs.Context(
            self.scale,
            Path(f"config/scales/{self.scale.scale}.yaml"),
            self.datasets.datasets,
            Path("config/datasets.yaml"),
        )

    def tokenizer(self, name: str, wanted_by: Recipe) -> Recipe:
        """The tokenizer a generator names; ConfigError at the generator if there is none."""
        if name not in self.tokenizers:
            file, key = wanted_by.where("tokenizer")
            raise ConfigError(
                file, key, f"unknown tokenizer recipe {name!r}", f"one of {', '.join(sorted(self.tokenizers))}"
            )
        return self.tokenizers[name]


def read_project(root: Path, scale: str | None = None) -> Project:
    """Read and check everything below `root`/config; `scale` overrides config.yaml's."""
    settings = _read(Settings, root, Path("config/config.yaml"))
    name = scale or settings.scale
    scale_file = Path(f"config/scales/{name}.yaml")
    scale_ = _read(Scale, root, scale_file)
    if scale_.scale != name:
        raise ConfigError(scale_file, "scale", f"says {scale_.scale!r}", f"write {name!r}: the file's own name")
    datasets = _read(Datasets, root, Path("config/datasets.yaml"))
    papers: dict[str, Paper] = {}
    recipes: dict[str, dict[str, Recipe]] = {"tokenizers": {}, "generators": {}}
    for paper in settings.papers:
        file = Path(f"config/papers/{paper}.yaml")
        papers[paper] = _read(Paper, root, file)
        for section, found in recipes.items():
            entries = getattr(papers[paper], section)
            for recipe in concrete(entries):
                if recipe in found:
                    raise ConfigError(
                        file,
                        f"{section}.{recipe}",
                        f"also a recipe of {found[recipe].file}",
                        "recipes of all papers share one name space: rename one",
                    )
                found[recipe] = read_recipe(section, recipe, entries, file, scale_, scale_file)
    unused = set(scale_.exceptions) - {name for found in recipes.values() for name in found}
    if unused:
        raise ConfigError(
            scale_file,
            f"exceptions.{sorted(unused)[0]}",
            "no such recipe",
            f"one of {', '.join(sorted(name for found in recipes.values() for name in found))}",
        )
    equivalents = _read(Equivalents, root, EQUIVALENTS)
    cluster = _read(Cluster, root, CLUSTER)
    return Project(
        root, settings, scale_, datasets, papers, recipes["tokenizers"], recipes["generators"], equivalents, cluster
    )


def _read(model, root: Path, file: Path):
    try:
        content = read_yaml(root / file)
    except ConfigError as error:
        raise ConfigError(file, error.key, error.problem, error.remedy) from None
    return validated(model, content, file)
