"""What the configuration files may say: recipes in paper terms, scales, tables and figures.

Every field is followed by its meaning; `tesserae schema` exports these types as JSON schema for editors.
"""

import itertools
from typing import Annotated, Literal

from pydantic import Field, create_model, field_validator, model_validator

from tesserae.config import measures
from tesserae.config.domains import DomainScale
from tesserae.config.files import Name, Strict
from tesserae.config.parts import Discriminator, Size
from tesserae.config.policies import Policy, unfit
from tesserae.config.probing import ProbeScale
from tesserae.config.seed_counts import DEFAULT, Seeds
from tesserae.config.stages import SETTINGS, STAGES, TRAININGS, stage_of
from tesserae.config.studies import Study, Varies

# ---- what the paper shows ----------------------------------------------------------------------------------


class Column(Strict):
    artifact: str = Field(description="artifact of the number; {row} stands for the row's key")
    value: str = Field(description="name of the number in the artifact's metrics.json")
    direction: Literal["lower", "higher", "none"] = Field(description="which is better")
    rows: list[str] | None = Field(None, description="keys of the rows that have this number; null: all")
    values: dict[str, str] = Field({}, description="row -> name of its number, where it is another one")
    artifacts: dict[str, str] = Field({}, description="row -> its artifact, where the pattern does not give it")
    digits: int | None = Field(
        None, ge=0, description="of measured numbers after the point; null: as papers print such numbers, mostly two"
    )
    own: bool = Field(False, description="a column of ours in a printed table: measured numbers alone, marked so")
    varies: list[Varies] = Field(
        [], description="of how numbers are measured, in what rows may differ, since the paper's do: the notes say how"
    )

    def of(self, row: str) -> str:
        """The artifact of a row's number."""
        return self.artifacts.get(row) or self.artifact.format(row=row)


class Table(Strict):
    source: str = Field(description="the table's name in config/published/<paper>.csv; of one of ours, its heading")
    title: str
    own: bool = Field(False, description="a table that no paper prints: measured numbers alone, rows in this order")
    rows: dict[str, str] = Field(description="key -> label as printed")
    own_rows: list[str] = Field([], description="keys of the rows that the paper does not print: ours, marked so")
    published_rows: list[str] = Field([], description="labels of rows that are cited: printed numbers, none of ours")
    columns: dict[str, Column] = Field(description="name as in the published file -> where the number comes from")
    note: str | None = Field(None, description="said below the table")

    def prints(self, row: str, column: str) -> bool:
        """Whether a row's key and a column are of the paper's own table."""
        return not (self.own or row in self.own_rows or self.columns[column].own)

    @model_validator(mode="after")
    def _ours(self) -> "Table":
        if unknown := [key for key in self.own_rows if key not in self.rows]:
            raise ValueError(f"own_rows: {unknown[0]!r} is not a key of rows ({', '.join(self.rows)})")
        if both := [label for label in self.published_rows if label in self.rows.values()]:
            raise ValueError(f"published_rows: {both[0]!r} is a row of ours too, which keeps its printed numbers")
        if self.own and (self.own_rows or self.published_rows or any(column.own for column in self.columns.values())):
            raise ValueError("a table of ours (own: true) has no published_rows, own_rows or own columns")
        return self


class Axis(Strict):
    label: str
    values: dict[str, float] = Field(description="row -> where it stands")


class Figure(Strict):
    title: str
    draw: str = Field(description="its kind, one of tesserae.config.figures.KINDS: the module that draws it")
    source: str | None = Field(None, description="the figure's name in the published file and in claims")
    rows: dict[str, str] = Field(description="key -> label as printed")
    inputs: dict[str, dict[str, str]] = Field(description="group -> role -> artifact; {row} stands for each row's key")
    series: dict[str, list[str]] | None = Field(None, description="name of a curve -> its rows; null: one curve")
    x: Axis | None = Field(None, description="a swept number; null: rows stand side by side")
    published: str | None = Field(None, description="table of config/published/<paper>.csv that is shown beside it")
    published_rows: list[str] = Field(
        [], description="rows of that table which the paper's figure shows and of which nothing is run"
    )
    pair: int | None = Field(
        None,
        gt=0,
        description="which pair of images is shown, of those whose pictures are kept; null: it shows no pair",
    )


class Decoded(Strict):
    """A trained generator whose tokens another tokenizer decodes: one that was fine-tuned with a frozen encoder."""

    generator: str
    decoder: str = Field(description="tokenizer recipe, fine-tuned from the one that the generator learned")


class _Measures(Strict):
    """How a paper's numbers are taken, where it is not as the scale's `evaluation` says."""

    labels: Literal["cycled", "random"] = Field("cycled", description="classes of the samples: in turn, or drawn")
    rounding: Literal["truncate", "round"] | None = Field(None, description="how 255x becomes uint8")
    measured_at: int | None = Field(
        None, gt=0, description="pixels to which images are resized before they are measured; null: as they are made"
    )
    prompt: str | None = Field(
        None, description="what tokenizers that read prompts are given; {} stands for the class", pattern=r"\{\}"
    )
    policies: dict[Name, Policy] = Field(
        {}, description="name -> which crops of an image a tokenizer that looks at crops is shown, for all that looks"
    )
    masks: str | None = Field(
        None, description="role of the images in which objects are masked; null: none, and nothing is measured by them"
    )
    learnability: measures.Learnability | None = Field(
        None, description="how AvgIG and MC are measured; null: another paper's file says it, or nothing does"
    )
    throughput: measures.Throughput | None = Field(None, description="how generators are timed; null: they are not")

    @field_validator("policies")
    @classmethod
    def _possible(cls, policies: dict[str, Policy]) -> dict[str, Policy]:
        for name, policy in policies.items():
            if problem := unfit(policy.model_dump()):
                raise ValueError(f"{name}: {problem}")
        return policies


def _default(settings: type[Strict]) -> Strict | None:
    """What holds if a paper's file says nothing of a stage: None where something must be said."""
    return None if any(field.is_required() for field in settings.model_fields.values()) else settings()


Measures = create_model(
    "Measures",
    __base__=_Measures,
    **{
        name: (settings | None, Field(_default(settings), description=f"settings of the stage: {STAGES[name].purpose}"))
        for name, settings in SETTINGS.items()
    },
)


class Contradiction(Strict):
    """Where a paper contradicts itself, what it cites, or what can be."""

    says: str = Field(description="what stands against what, with the places")
    at: list[str] = Field([], description="keys of the paper's tables and figures that it concerns")


class Front(Strict):
    """What stands for a paper on the report's first page."""

    table: str = Field(description="key of one of the paper's tables")
    figure: str = Field(description="key of one of the paper's figures")


class Paper(Strict):
    paper: str
    name: str = Field(description="what the paper calls its method, as links and headings show it")
    title: str
    arxiv: str | None = Field(description="null: not there")
    published: str = Field(description="file with the printed numbers")
    claims: str | None = Field(None, description="file with the statements about them; null: none are evaluated")
    reported: str | None = Field(None, description="file with the numbers that others told in public; null: none")
    notebook: str
    front: Front
    measures: Measures = Measures()
    saes: dict[Name, dict] = {}
    tokenizers: dict[Name, dict]
    generators: dict[Name, dict]
    decoded: dict[Name, Decoded] = {}
    studies: dict[Name, Study] = Field(
        {}, description="correlations over tokenizers: correlations/<name> has its numbers"
    )
    tables: dict[Name, Table]
    figures: dict[Name, Figure]
    contradictions: list[Contradiction] = Field(
        [], description="said below what they concern, and together on its page"
    )

    def contradictions_at(self, key: str) -> list[str]:
        """What contradicts itself in a table or figure, with the numbers that the paper's page gives them."""
        return [f"{place}. {found.says}" for place, found in enumerate(self.contradictions, 1) if key in found.at]


# ---- data sets ----------------------------------------------------------------------------------------------


class EmojiData(Strict):
    provider: Literal["emoji"]
    corpus: str = Field(description="the shipped file, below the repository")
    labels: Literal["group", "subgroup"]
    classes: int
    train_variants: int = Field(gt=0, description="renderings of each training glyph")
    val_variants: int = Field(gt=0)
    validation_fraction: float = Field(gt=0, lt=1)
    seed: int


class FolderData(Strict):
    provider: Literal["folder", "imagenet", "imagenet100", "cifar10"]
    root: str = Field(description="folder below data.root of config.yaml")
    classes: int
    train_images: int = Field(description="how many there must be; epochs are counted from it")
    val_images: int


class ImagenetteData(FolderData):
    provider: Literal["imagenette"]
    edition: Literal["full", "320px", "160px"]


class CollectionData(Strict):
    """Images with annotations of their own kind, and no classes."""

    provider: Literal["coco", "visual_genome", "ecssd", "deepglobe", "chestxray14", "textocr", "llava_next"]
    root: str = Field(description="folder below data.root of config.yaml")
    counts: dict[str, int] = Field(description="published numbers: images of each split, and annotations by kind")


Dataset = Annotated[EmojiData | FolderData | ImagenetteData | CollectionData, Field(discriminator="provider")]


class Datasets(Strict):
    datasets: dict[Name, Dataset]


# ---- scales -------------------------------------------------------------------------------------------------


class Muon(Strict):
    """The optimizer of the matrices in a network's blocks (training/optimizers.py)."""

    lr: float = Field(gt=0, description="peak learning rate; its schedule is that of the others")
    lrs: dict[str, float] = Field({}, description="system -> its peak learning rate, where `lr` does not suit it")
    momentum: float = Field(0.95, ge=0, lt=1)


class TrainingScale(Strict):
    """How a recipe's training shrinks. What is null stays the paper's."""

    batch: int | None = Field(None, gt=0)
    steps_per_epoch: int | None = Field(None, gt=0, description="null: training images / batch")
    steps: int | None = Field(None, gt=0, description="of recipes that count updates instead of epochs")
    lr: float | None = Field(None, gt=0, description="peak learning rate")
    lrs: dict[str, float] = Field({}, description="system -> its peak learning rate, where `lr` does not suit it")
    batches: dict[str, int] = Field({}, description="system -> its batch, where `batch` does not suit it")
    steps_per_epochs: dict[str, int] = Field({}, description="system -> its steps_per_epoch, likewise")
    warmup_fraction: float | None = Field(None, ge=0, lt=1, description="fraction of the steps")
    continued_rate: float = Field(1.0, gt=0, description="factor on the rates of what continues another recipe")
    decay: Literal["cosine", "constant"] | None = None
    ema_window: float | None = Field(None, gt=0, description="w: decay 1 - w/steps, so that averages shrink with runs")
    precision: Literal["fp32", "bf16"] | None = None
    discriminator: Discriminator | None = None
    muon: Muon | None = Field(None, description="null: AdamW for all parameters, as the papers")
    first_weights: Literal["narrow"] | None = Field(None, description="null: the papers'; nn/first_weights.py")
    microbatches: int = Field(
        1, gt=0, description="equal parts of a batch, each with its own random stream; processes divide them"
    )


class Shards(Strict):
    """Into how many jobs of equal size a stage is scattered. No sample and no token depends on it."""

    samples: int = Field(1, gt=0, description="and their features")
    search_samples: int = Field(1, gt=0)
    tokens: int = Field(1, gt=0)
    semantic_features: int = Field(1, gt=0)
    teacher_features: int = Field(1, gt=0)


class Evaluation(Strict):
    extractor: Literal["embedded", "inception-v3-compat"]
    layer: str = Field(description="features of FID, precision and recall")
    samples: int = Field(gt=0, description="images behind a number of a table")
    search_samples: int = Field(gt=0, description="images behind each point of a guidance search")
    reference_samples: int | None = Field(description="training images of the reference statistics; null: all")
    precision_recall_reference: int = Field(gt=0, description="validation images of precision and recall")
    neighbourhood: int = Field(gt=0, description="k of improved precision and recall")
    splits: int = Field(gt=0, description="splits of the inception score")
    rounding: Literal["truncate", "round"] = Field(description="how 255x becomes uint8")
    batch: int = Field(gt=0)
    shown: int = Field(gt=0, description="images in qualitative figures")
    curve_points: int | None = Field(
        None, ge=0, description="of curves of which every point is measured anew, beside those printed; null: all"
    )
    seed: int


class ScaledLearnability(Strict):
    """How AvgIG, MC and swaps shrink. What is null stays the paper's."""

    encoder: Literal["clip_vitb32", "embedded"] | None = None
    anchors: int | None = Field(None, gt=0)
    images: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    checks: bool | None = None
    drawing_steps: int | None = Field(None, gt=0)
    calibration_images: int | None = Field(None, gt=1)
    real_images: int | None = Field(None, gt=1)
    swap_pairs: int | None = Field(None, gt=0)
    sensitivity_pairs: int | None = Field(None, gt=0)
    batch: int = Field(32, gt=0, description="images that are descended, or pairs that are walked, together")


class Resources(Strict):
    """What one job asks for."""

    threads: int = Field(1, gt=0, description="CPU cores of one process")
    mem_mb: int = Field(2000, gt=0, description="of one node")
    runtime: int = Field(60, gt=0, description="minutes")
    nodes: int = Field(1, gt=0)
    gpus: int = Field(0, ge=0, description="of one node")
    processes: int | None = Field(None, gt=0, description="of one node; null: one for each GPU, else one")

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes or max(1, self.gpus)

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.nodes * self.per_node


class Forecast(Strict):
    """What the report says a scale would cost (`tesserae plan`)."""

    scale: str
    gpus: int = Field(gt=0)
    gpu: Literal["a100", "h100"]


class Spread(Strict):
    """Of which generators `spread/<recipe>` can be asked for: where the scatter of their numbers comes from."""

    recipes: list[Name] = Field(min_length=1, description="generators, with all their seeds")
    samplings: int = Field(4, gt=1, description="sampling seeds of each training")
    parts: int = Field(2, gt=1, description="of the samples of each sampling")


class ScaleException(Strict):
    """One recipe that does not follow the scale's rule, with the reason."""

    set: dict[str, float | int | str | bool | list[float] | None] = Field(
        description="dotted key of the recipe -> value"
    )
    reason: str


class Omitted(Strict):
    """Recipes, or single artifacts, that are not made, and what stands in the place of their numbers."""

    reason: str = Field(min_length=1, max_length=24, description="stands in cells and figures, such as `at desk`")
    recipes: list[str] = Field([], description="names, or patterns with *")
    artifacts: list[str] = Field(
        [], description="names of artifacts of recipes that are run, or patterns: probe/comit_b-*-random"
    )

    @field_validator("artifacts")
    @classmethod
    def _of_stages(cls, artifacts: list[str]) -> list[str]:
        for pattern in artifacts:
            if stage_of(pattern) not in STAGES:
                raise ValueError(f"{pattern!r} begins with no stage: write <stage>/<name>")
        return artifacts

    @model_validator(mode="after")
    def _something(self) -> "Omitted":
        if not self.recipes and not self.artifacts:
            raise ValueError("name recipes or artifacts that are not run")
        return self


class GeneralScale(Strict):
    """What a scale says of all systems alike; config/scales.py adds what it says of each."""

    scale: str
    purpose: str
    image_size: dict[int, int] = Field(description="paper's value -> ours; what is not listed stays")
    patch_size: dict[int, int]
    latent_channels: dict[int, int]
    datasets: dict[str, str] = Field(description="role -> data set of datasets.yaml")
    sizes: dict[str, dict[str, Size]] = Field(description="system -> name of a size -> what it is")
    sae_training: TrainingScale = TrainingScale()
    tokenizer_training: TrainingScale
    generator_training: TrainingScale
    systems: Strict = Field(description="what is particular to a system")
    probes: ProbeScale = Field(ProbeScale(), description="how the probes of probes.yaml shrink, and what they look at")
    domains: DomainScale = Field(DomainScale(), description="what plays the domains of domains.yaml, and who answers")
    evaluation: Evaluation
    learnability: ScaledLearnability = Field(ScaledLearnability(), description="how AvgIG and MC shrink")
    shards: Shards = Shards()
    resources: dict[str, Resources] = Field(description="stage -> what a job of it asks for; `default` for the rest")
    confirm_above: float | None = Field(
        ge=0, description="hours of artifacts made again that need a confirmation; null: never ask"
    )
    forecast: Forecast | None = Field(None, description="null: the report forecasts nothing")
    spread: Spread | None = Field(None, description="null: of no generator; what is asked for is no part of a run")
    exceptions: dict[str, ScaleException]
    seeds: Seeds = Field(
        {DEFAULT: 1},
        description="how often each recipe is trained, with its own seed and the next ones: a number, or by patterns "
        "of names, {default: 3, detok_sb_*: 8}, of which the last that matches decides; what a recipe is made from is "
        "trained as often",
    )
    omit: list[Omitted] = Field([], description="recipes that this scale does without, in groups of one reason each")

    @model_validator(mode="after")
    def _processes(self) -> "GeneralScale":
        for stage, request in self.resources.items():
            if stage not in (*STAGES, "default"):
                raise ValueError(f"resources.{stage}: there is no such stage; one of {', '.join(STAGES)}, or default")
            if request.world > 1 and stage not in TRAININGS:
                raise ValueError(
                    f"resources.{stage}: {request.world} processes, but only {', '.join(TRAININGS)} share their work; "
                    f"scatter the stage with `shards`, or set processes: 1"
                )
        for stage in TRAININGS:
            world = self.resources.get(stage, self.resources["default"]).world
            microbatches = getattr(self, f"{stage}_training").microbatches
            if microbatches % world:
                raise ValueError(
                    f"{stage}_training.microbatches: {microbatches} micro-batches cannot be divided by {world} "
                    f"processes (resources.{stage}: nodes x processes); choose a multiple"
                )
        return self


# ---- equivalent-code.yaml -----------------------------------------------------------------------------------


class Equivalent(Strict):
    """An edit of one module that was reviewed and changes no number."""

    module: str = Field(pattern=r"^tesserae(\.\w+)*$")
    code: str = Field(pattern="^[0-9a-f]{16}$", description="digest of what the module says now")
    same_as: str = Field(
        pattern="^([0-9a-f]{16}|absent)$", description="digest it may count as; absent: a new module that adds nothing"
    )
    stages: list[str] = Field(
        default=[], description="whose artifacts it holds for, all if none: what one stage newly uses is old to others"
    )
    why: str = Field(min_length=8)
    by: str = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _known(cls, stages: list[str]) -> list[str]:
        if unknown := sorted(set(stages) - set(STAGES)):
            raise ValueError(f"there is no stage {', '.join(unknown)}")
        return stages

    def holds_for(self, stage: str) -> bool:
        return not self.stages or stage in self.stages

    def __str__(self) -> str:
        where = f" in artifacts of {', '.join(self.stages)}" if self.stages else ""
        return f"{self.module} {self.code} counts as {self.same_as}{where}"


class Equivalents(Strict):
    """config/equivalent-code.yaml."""

    equivalents: list[Equivalent]

    @model_validator(mode="after")
    def _one_meaning_each(self) -> "Equivalents":
        for entry, other in itertools.combinations(self.equivalents, 2):
            shared = set(entry.stages) & set(other.stages) if entry.stages and other.stages else {"all"}
            if (entry.module, entry.code) == (other.module, other.code) and shared:
                raise ValueError(f"{entry.module} {entry.code} stands twice for {', '.join(sorted(shared))}")
        return self

    def reviewed(self, stage: str) -> dict[str, dict[str, str]]:
        """module -> digest -> the digest it counts as in artifacts of a stage."""
        found: dict[str, dict[str, str]] = {}
        for entry in self.equivalents:
            if entry.holds_for(stage):
                found.setdefault(entry.module, {})[entry.code] = entry.same_as
        return found


# ---- cluster.yaml -------------------------------------------------------------------------------------------


class ByKind(Strict):
    """One value for jobs that ask for GPUs, one for the others."""

    gpu: str | None = None
    cpu: str | None = None


class Cluster(Strict):
    """config/cluster.yaml: what a SLURM site calls things. Nothing here enters an artifact's identity."""

    partition: ByKind = Field(description="null: the site's default")
    account: str | None = Field(description="whom SLURM charges; null: the user's default")
    qos: str | None
    constraint: ByKind = Field(description="features that nodes must have, as for sbatch --constraint")
    sbatch: list[str] = Field(description="more options of sbatch, such as --exclude=node07")
    warn_minutes: int = Field(
        gt=0, description="before the wall limit: a training saves its state and goes to the end of the queue"
    )
    backoff_minutes: float = Field(
        ge=0, description="before a failed job is tried again; doubles with each try; nothing is held meanwhile"
    )


# ---- config.yaml --------------------------------------------------------------------------------------------


class DataSettings(Strict):
    root: str | None = Field(description="folder of real data sets; the embedded corpus needs none")


class Settings(Strict):
    """config/config.yaml: what a user edits first. Nothing here enters an artifact's identity."""

    scale: str
    papers: list[str] = Field(min_length=1)
    data: DataSettings
    device: Literal["auto", "cpu", "cuda"]
