"""What a step of the graph is, which files each stage leaves, and how seeds and parts are named."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesserae.config.project import Project
from tesserae.config.resolve import Spec
from tesserae.config.seeds import of_seeds
from tesserae.lineage import walk

# stage -> the files of its artifact, beside the manifest. The rules of workflow/rules name the same (a test looks).
OUTPUTS: dict[str, tuple[str, ...]] = {
    "dataset": (
        "train_images.npy",
        "train_labels.npy",
        "val_images.npy",
        "val_labels.npy",
        "index.json",
        "captions.json",
    ),
    "reference": ("train.npz", "val.npz", "val_features.npy"),
    "semantic_features": ("features.npy",),
    "sae": ("weights.safetensors", "curves.jsonl", "metrics.json"),
    "prompts": ("features.npy", "prompts.json"),
    "concepts": (
        "train_indices.npy",
        "train_offsets.npy",
        "val_indices.npy",
        "val_offsets.npy",
        "counts.npy",
        "class_counts.npy",
    ),
    "tokenizer": ("weights.safetensors", "curves.jsonl"),
    "reconstruction": ("metrics.json", "images.npz"),
    "denoising": ("denoising.npz",),
    "concept_f1": ("metrics.json",),
    "concept_examples": ("examples.npz", "metrics.json"),
    "latent_clusters": ("clusters.npz", "metrics.json"),
    "tokens": ("moments.npy", "labels.npy", "sums.npz"),
    "codes": ("codes.npy", "labels.npy", "counts.npy"),
    "generator": ("weights.safetensors", "curves.jsonl"),
    "sizes": ("metrics.json",),
    "settings": ("metrics.json",),
    "search_samples": ("samples.npy", "index.json"),
    "search": ("search.json",),
    "samples": ("samples.npy", "labels.npy", "index.json"),
    "features": ("features.npy", "logits.npy", "preview.npy"),
    "metrics": ("metrics.json", "preview.npy"),
    "table": ("table.csv", "table.md", "table.tex", "table.html", "metrics.json"),
    "figure": ("figure.png", "figure.svg", "figure.pdf"),
    "claims": ("claims.json", "claims.html", "claims.md", "metrics.json"),
    "notebook": ("notebook.ipynb", "notebook.html"),
    "lineage": ("lineage.html",),
    "forecast": ("forecast.json", "gantt.png", "gantt.svg"),
    "report": ("index.html",),
}
KINDS = ("cfg", "nocfg", "best")  # samples with guidance, without, at the best point of the whole search
PROMPTS = ("shuffled", "constant")  # instead of the prompt of an image's own class
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
    weights: str | None = None  # published weights: a file in $TESSERAE_WEIGHTS

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.recipe}"


def upstream(found: dict[str, Job], wanted: Iterable[str]) -> set[str]:
    """Ids of `wanted` and of all that they are made from."""
    return walk.upstream(lambda name: found[name].inputs.values(), wanted)


def home(recipe: Any) -> tuple[str]:
    """The paper whose file has a recipe."""
    return (recipe.file.stem,)


def extended(name: str, kind: str) -> str:
    """`mar_b_joint.seed2` and `cfg` -> `mar_b_joint-cfg.seed2`: the seed stays the last part of a name."""
    recipe, dot, seed = name.partition(".")
    return f"{recipe}-{kind}{dot}{seed}"


@dataclass(frozen=True)
class Part:
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
        spec.set("part", self.number, self.origin)
        spec.set("parts", self.count, self.origin)


def parts_of(project: Project, stage: str) -> list[Part]:
    count = getattr(project.scale.parts, stage)
    origin = f"{project.context.scale_file}: parts.{stage}"
    return [Part(number, count, origin) for number in range(1, count + 1)]


def gathered(project: Project, stage: str, parts: str, recipe: str) -> dict[str, str]:
    """Roles and ids of all parts of a stage's recipe."""
    return {part.role(stage): f"{stage}/{part.of(recipe)}" for part in parts_of(project, parts)}


def seeds_of(project: Project) -> list[int]:
    return list(range(1, project.scale.seeds + 1))


def roles_of_seeds(project: Project, artifact: str) -> dict[str, str]:
    """Role -> id of an artifact for each seed: both the same, so that the role tells the seed."""
    return {name: name for name in of_seeds(artifact, seeds_of(project))}
