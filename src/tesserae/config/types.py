"""What the configuration files may say: recipes in paper terms, scales, tables and figures.

Every field is followed by its meaning; `tesserae schema` exports these types as JSON schema for editors.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tesserae.config.files import Strict

# ---- recipes, in paper terms --------------------------------------------------------------------------------


class Training(Strict):
    epochs: int = Field(gt=0, description="passes over the training set")
    batch: int = Field(gt=0, description="global batch size, in images")
    base_rate: float | None = Field(None, gt=0, description="learning rate per 256 images of batch (linear scaling)")
    rate: float | None = Field(None, gt=0, description="learning rate as it is; give this or base_rate")
    warmup_epochs: float = Field(ge=0, description="linear warm-up from 0, per step")
    decay: Literal["cosine", "constant"] = Field(description="after the warm-up: half cosine to 0, or constant")
    betas: list[float] = Field(min_length=2, max_length=2, description="AdamW")
    weight_decay: float = Field(ge=0, description="AdamW; each system names the parameters it spares")
    clip: float | None = Field(gt=0, description="largest gradient norm, or null")
    ema: float = Field(ge=0, lt=1, description="decay of the averaged weights, per step")
    precision: Literal["fp32", "bf16"] = Field(description="autocast of the forward pass; losses are always fp32")
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _one_rate(self) -> "Training":
        if (self.rate is None) == (self.base_rate is None):
            raise ValueError("give exactly one of rate and base_rate")
        return self


class LossWeights(Strict):
    mse: float = Field(ge=0)
    perceptual: float = Field(ge=0)
    kl: float = Field(ge=0)
    gan: float = Field(ge=0)


class Discriminator(Strict):
    channels: int = Field(gt=0, description="channels of the first layer (ndf)")
    layers: int = Field(gt=0)


class DeTokRecipe(Strict):
    """l-DeTok, Sec. 3 and A.1. gamma = 0 with mask_ratio = 0 is the conventional autoencoder."""

    system: Literal["detok"]
    dataset: str = Field(description="role of the data set; the scale says which data play it")
    image_size: int = Field(gt=0)
    encoder: str = Field(description="size, by its name in the scale's sizes.detok")
    decoder: str = Field(description="size, by its name in the scale's sizes.detok")
    patch_size: int = Field(gt=0)
    latent_channels: int = Field(gt=0)
    noise: Literal["interpolative", "additive"] = Field(description="Eq. 4, or the variant of Fig. 2a")
    gamma: float = Field(ge=0, description="scale of the latent noise; 0: none")
    mask_ratio: float = Field(ge=0, lt=1, description="M: largest (random) or only (constant) masking ratio; 0: none")
    mask_mode: Literal["random", "constant"]
    perceptual: Literal["lpips+convnext", "none"]
    loss_weights: LossWeights
    gan_start_epoch: int | None = Field(ge=0, description="epoch from which the GAN loss is on; null: never")
    discriminator: Discriminator
    training: Training


class DiffLoss(Strict):
    blocks: int = Field(gt=0)
    width: int = Field(gt=0)
    batch_multiplier: int = Field(gt=0, description="draws of (t, noise) per condition in a training step")
    steps: int = Field(gt=0, description="length of the training diffusion")
    schedule: Literal["cosine", "linear"]


class MARSampling(Strict):
    iterations: int = Field(gt=0, description="autoregressive iterations")
    diffusion_steps: int = Field(gt=0)
    guidance_schedule: Literal["linear", "constant"]
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance, at temperature 1")
    temperature: list[float] = Field(min_length=1, description="temperatures tried without guidance")
    x0_limit: float | None = Field(None, gt=0, description="clamp of the predicted clean token; null: none")


class MARRecipe(Strict):
    """MAR (arXiv 2406.11838) as l-DeTok Sec. A.2 trains it."""

    system: Literal["mar"]
    tokenizer: str = Field(description="recipe whose tokens it learns")
    size: str = Field(description="by its name in the scale's sizes.mar")
    buffer_size: int = Field(gt=0)
    attention_dropout: float = Field(ge=0, lt=1)
    projection_dropout: float = Field(ge=0, lt=1)
    label_dropout: float = Field(ge=0, lt=1)
    mask_ratio_min: float = Field(gt=0, le=1)
    mask_ratio_std: float = Field(gt=0)
    diffloss: DiffLoss
    training: Training
    sampling: MARSampling


class FlowSampling(Strict):
    method: Literal["dopri5", "euler", "heun", "euler_maruyama"]
    steps: int = Field(gt=1, description="equal steps of a fixed grid; dopri5 chooses its own")
    atol: float = Field(gt=0)
    rtol: float = Field(gt=0)
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")


class SiTRecipe(Strict):
    """SiT (arXiv 2401.08740) as l-DeTok Sec. A.2 trains it."""

    system: Literal["sit"]
    tokenizer: str = Field(description="recipe whose tokens it learns")
    size: str = Field(description="by its name in the scale's sizes.sit")
    label_dropout: float = Field(ge=0, lt=1)
    training: Training
    sampling: FlowSampling


TokenizerRecipe = DeTokRecipe
GeneratorRecipe = Annotated[MARRecipe | SiTRecipe, Field(discriminator="system")]

# ---- what the paper shows ----------------------------------------------------------------------------------


class Column(Strict):
    artifact: str = Field(description="artifact of the number; {row} stands for the row's key")
    value: str = Field(description="name of the number in the artifact's metrics.json")
    direction: Literal["lower", "higher", "none"] = Field(description="which is better")


class Table(Strict):
    source: str = Field(description="the table's name in config/published/<paper>.csv")
    title: str
    rows: dict[str, str] = Field(description="key -> label as printed")
    columns: dict[str, Column] = Field(description="name as in the published file -> where the number comes from")


class Figure(Strict):
    title: str
    draw: str = Field(description="function of tesserae.reporting.figures, by its name")
    rows: dict[str, str] = Field(description="key -> label as printed")
    inputs: dict[str, dict[str, str]] = Field(description="group -> role -> artifact; {row} stands for each row's key")
    published: str | None = Field(None, description="table of config/published/<paper>.csv that is shown beside it")


class Paper(Strict):
    paper: str
    title: str
    arxiv: str
    published: str = Field(description="file with the printed numbers")
    notebook: str
    tokenizers: dict[str, dict]
    generators: dict[str, dict]
    tables: dict[str, Table]
    figures: dict[str, Figure]


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
    provider: Literal["imagenet", "imagenet100", "cifar10"]
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
    datasets: dict[str, Dataset]


# ---- scales -------------------------------------------------------------------------------------------------


class Size(Strict):
    width: int = Field(gt=0)
    blocks: int = Field(gt=0)
    heads: int = Field(gt=0)


class TrainingScale(Strict):
    """How a recipe's training shrinks. What is null stays the paper's."""

    batch: int | None = Field(None, gt=0)
    steps_per_epoch: int | None = Field(None, gt=0, description="null: training images / batch")
    rate: float | None = Field(None, gt=0, description="peak learning rate")
    warmup_fraction: float | None = Field(None, ge=0, lt=1, description="share of the steps")
    decay: Literal["cosine", "constant"] | None = None
    ema_window: float | None = Field(None, gt=0, description="w: decay 1 - w/steps, so that averages shrink with runs")
    precision: Literal["fp32", "bf16"] | None = None
    discriminator: Discriminator | None = None
    shares: int = Field(
        1, gt=0, description="equal parts of a batch, each with its own random stream; processes divide them"
    )


class DiffLossScale(Strict):
    width: int = Field(gt=0)
    blocks: int = Field(gt=0)
    batch_multiplier: int = Field(gt=0)


class MARScale(Strict):
    buffer_size: int | None = None
    diffloss: DiffLossScale | None = None
    sampling: MARSampling | None = None


class SiTScale(Strict):
    sampling: FlowSampling | None = None


class DeTokScale(Strict):
    perceptual: Literal["lpips+convnext", "none"] | None = None


class Systems(Strict):
    detok: DeTokScale = DeTokScale()
    mar: MARScale = MARScale()
    sit: SiTScale = SiTScale()


class Parts(Strict):
    """Into how many jobs of equal size a stage is scattered. No sample and no token depends on it."""

    samples: int = Field(1, gt=0, description="and their features")
    search_samples: int = Field(1, gt=0)
    tokens: int = Field(1, gt=0)


class Evaluation(Strict):
    extractor: Literal["embedded", "inception-v3-compat"]
    layer: str = Field(description="features of FID, precision and recall")
    samples: int = Field(gt=0, description="images behind a number of a table")
    search_samples: int = Field(gt=0, description="images behind each point of a guidance search")
    reference_samples: int | None = Field(description="training images of the reference statistics; null: all")
    precision_recall_reference: int = Field(gt=0, description="validation images of precision and recall")
    neighbourhood: int = Field(gt=0, description="k of improved precision and recall")
    splits: int = Field(gt=0, description="splits of the inception score")
    quantisation: Literal["truncate", "round"] = Field(description="how 255x becomes uint8")
    batch: int = Field(gt=0)
    shown: int = Field(gt=0, description="images in qualitative figures")
    seed: int


TRAININGS = ("tokenizer", "generator")  # stages that several processes can share


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


class ScaleException(Strict):
    """One recipe that does not follow the scale's rule, with the reason."""

    set: dict[str, float | int | str | bool | None] = Field(description="dotted key of the recipe -> value")
    reason: str


class Scale(Strict):
    scale: str
    purpose: str
    image_size: dict[int, int] = Field(description="paper's value -> ours; what is not listed stays")
    patch_size: dict[int, int]
    latent_channels: dict[int, int]
    datasets: dict[str, str] = Field(description="role -> data set of datasets.yaml")
    sizes: dict[Literal["detok", "mar", "sit"], dict[str, Size]]
    tokenizer_training: TrainingScale
    generator_training: TrainingScale
    systems: Systems
    evaluation: Evaluation
    parts: Parts = Parts()
    resources: dict[str, Resources] = Field(description="stage -> what a job of it asks for; `default` for the rest")
    confirm_above: float | None = Field(
        ge=0, description="hours of artifacts made again that need a confirmation; null: never ask"
    )
    forecast: Forecast | None = Field(None, description="null: the report forecasts nothing")
    exceptions: dict[str, ScaleException]

    @model_validator(mode="after")
    def _processes(self) -> "Scale":
        for stage, asked in self.resources.items():
            if asked.world > 1 and stage not in TRAININGS:
                raise ValueError(
                    f"resources.{stage}: {asked.world} processes, but only {' and '.join(TRAININGS)} share their work; "
                    f"scatter the stage with `parts`, or set processes: 1"
                )
        for stage in TRAININGS:
            world = self.resources.get(stage, self.resources["default"]).world
            shares = getattr(self, f"{stage}_training").shares
            if shares % world:
                raise ValueError(
                    f"{stage}_training.shares: {shares} shares of a batch cannot be divided by {world} processes "
                    f"(resources.{stage}: nodes x processes); choose a multiple"
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
    why: str = Field(min_length=8)
    by: str = Field(min_length=1)


class Equivalents(Strict):
    """config/equivalent-code.yaml."""

    equivalents: list[Equivalent]

    @model_validator(mode="after")
    def _one_meaning_each(self) -> "Equivalents":
        seen = [(entry.module, entry.code) for entry in self.equivalents]
        for module, digest in seen:
            if seen.count((module, digest)) > 1:
                raise ValueError(f"{module} {digest} stands twice")
        return self

    def reviewed(self) -> dict[str, dict[str, str]]:
        """module -> digest -> the digest it counts as."""
        found: dict[str, dict[str, str]] = {}
        for entry in self.equivalents:
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
