"""What a step of the graph is, what it reads of others, and how seeds and shards are named."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesserae.config.project import Project
from tesserae.config.resolve import Spec
from tesserae.config.seed_counts import DEFAULT
from tesserae.config.seeds import of_seeds, seed_of
from tesserae.config.stages import STAGES, stage_of
from tesserae.lineage import walk

KINDS = ("cfg", "nocfg", "best")  # samples with guidance, without, at the best point of the whole search
PROMPTS = ("shuffled", "constant")  # instead of the prompt of an image's own class
JUDGES = {"mode_connectivity": ("critic", "other_critic"), "swaps": ("critic",)}  # keys of measures.learnability
PAPER = "paper"  # the scale of published sizes, and of trainings whose published hours costs are calibrated on


@dataclass(frozen=True)
class Job:
    """One step: its stage and recipe, the spec it is told, the artifacts and the tracked files it reads by role."""

    stage: str
    recipe: str
    spec: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)  # role -> job id
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)  # job id -> the files read, if not all of them
    sources: dict[str, Path] = field(default_factory=dict)  # role -> file below the project folder
    papers: tuple[str, ...] = ()  # whose file has the recipe; none: shared
    comments: tuple[Path, ...] = ()  # files read for their comments only: no part of the identity
    data: str | None = None  # folder below data.root of a real data set
    named_at: dict[str, str] = field(default_factory=dict)  # role -> key of the paper's file that names the artifact
    weights: str | None = None  # published weights: a file in $TESSERAE_WEIGHTS
    without: dict[str, str] = field(default_factory=dict)  # number of its stage that it does not have -> why

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.recipe}"


def upstream(found: dict[str, Job], wanted: Iterable[str]) -> set[str]:
    """Ids of `wanted` and of all that they are made from."""
    return walk.upstream(lambda name: found[name].inputs.values(), wanted)


def reads_of(stage: str, inputs: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Job id -> the files that a job of `stage` reads of it, for those `inputs` of which it does not read all.

    KeyError for an input of a stage that the table of stages does not let it read.
    """
    declared = STAGES[stage].reads
    return {name: declared[stage_of(name)] for name in inputs.values() if declared[stage_of(name)]}


def home(recipe: Any) -> tuple[str]:
    """The paper whose file has a recipe."""
    return (recipe.file.stem,)


def extended(name: str, kind: str) -> str:
    """`mar_b_joint.seed2` and `cfg` -> `mar_b_joint-cfg.seed2`: the seed stays the last part of a name."""
    recipe, dot, seed = name.partition(".")
    return f"{recipe}-{kind}{dot}{seed}"


@dataclass(frozen=True)
class Shard:
    """One of the equal pieces that a stage is scattered into; the only one has no number in its name."""

    number: int  # from 1
    count: int
    origin: str

    @property
    def _digits(self) -> str:
        return f"{self.number:0{len(str(self.count))}d}"

    def of(self, recipe: str) -> str:
        return recipe if self.count == 1 else f"{recipe}-{self._digits}of{self.count}"

    def role(self, name: str) -> str:
        return name if self.count == 1 else f"{name}.{self._digits}"

    def describe(self, spec: Spec) -> None:
        spec.set("shard", self.number, self.origin)
        spec.set("shards", self.count, self.origin)


def shards_of(project: Project, stage: str) -> list[Shard]:
    count = getattr(project.scale.shards, stage)
    origin = f"{project.context.scale_file}: shards.{stage}"
    return [Shard(number, count, origin) for number in range(1, count + 1)]


def gathered(project: Project, stage: str, shards: str, recipe: str) -> dict[str, str]:
    """Roles and ids of all shards of a stage's recipe."""
    return {shard.role(stage): f"{stage}/{shard.of(recipe)}" for shard in shards_of(project, shards)}


def seeds_of(project: Project, artifact: str) -> list[int]:
    """The seeds, from 1, of what is made for each seed of a recipe: those of the recipe in its name.

    A critic judges what has its own seed, so that there are no more of what it judges than of it.
    """
    counts = [project.seeds.get(recipe_in(project, artifact), project.scale.seeds[DEFAULT])]
    counts += [project.seeds[critic] for critic in judges(project, stage_of(artifact)) if critic in project.seeds]
    return list(range(1, min(counts) + 1))


def recipe_in(project: Project, artifact: str) -> str:
    """The recipe with seeds that stands first in an artifact's name, of the first seed; "" for none."""
    parts = seed_of(artifact.split("/")[1])[0].split("-")
    names = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in project.seeds), "")


def judges(project: Project, stage: str) -> list[str]:
    """The recipes whose critics judge in a stage, of the first seed."""
    told = [paper.measures.learnability for paper in project.papers.values()]
    return [getattr(settings, key) for settings in told if settings is not None for key in JUDGES.get(stage, ())]


def made_of(project: Project, artifact: str, seeds: Sequence[int] | None = None) -> list[str]:
    """Ids of an artifact for each of its seeds, or of the given ones; one id for what no seed changes."""
    if not STAGES[stage_of(artifact)].seeded:
        return [artifact]
    return of_seeds(artifact, seeds_of(project, artifact) if seeds is None else seeds)


def roles_of_seeds(project: Project, artifact: str, seeds: Sequence[int] | None = None) -> dict[str, str]:
    """Role -> id of an artifact for each seed, as `made_of`: both the same, so that the role tells the seed."""
    return {name: name for name in made_of(project, artifact, seeds)}


def told_seeds(of: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """What a job that reads several seeds is told of them, given those of each artifact.

    `seeds`, the most that any has, and `seeds_of` {artifact: its seeds} for those that have fewer, if some do.
    """
    most = list(max(of.values(), key=len, default=[1]))
    fewer = {artifact: list(seeds) for artifact, seeds in sorted(of.items()) if len(seeds) < len(most)}
    return {"seeds": most} | ({"seeds_of": fewer} if fewer else {})
