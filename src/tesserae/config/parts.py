"""What the recipes of several systems are made of, in paper terms."""

from typing import Literal

from pydantic import Field, model_validator

from tesserae.config.files import Strict


class Training(Strict):
    epochs: int | None = Field(None, gt=0, description="passes over the training set; give this or steps")
    steps: int | None = Field(None, gt=0, description="updates, where the paper counts them instead of passes")
    batch: int = Field(gt=0, description="global batch size, in images")
    base_lr: float | None = Field(None, gt=0, description="learning rate per 256 images of batch (linear scaling)")
    lr: float | None = Field(None, gt=0, description="learning rate as it is; give this or base_lr")
    warmup_epochs: float = Field(0.0, ge=0, description="linear warm-up, per step")
    warmup_steps: int | None = Field(None, ge=0, description="the same in updates; instead of warmup_epochs")
    warmup: Literal["linear", "from_hundredth", "from_first"] = Field(
        "linear", description="from 0; from a hundredth of the rate; or from the rate of a first step"
    )
    decay: Literal["cosine", "late_cosine", "constant", "wsd", "square_root"] = Field(
        description="after the warm-up: half cosine; one that is as long as the run, and so cut off; constant; "
        "constant and then a fall by 1 - sqrt(progress) to 0; or the square root of what is left"
    )
    final: float = Field(0.0, ge=0, lt=1, description="where all but constant end, as a fraction of the rate")
    decay_fraction: float = Field(0.2, gt=0, le=1, description="fraction of the steps in which wsd falls")
    betas: list[float] = Field(min_length=2, max_length=2, description="AdamW")
    weight_decay: float = Field(ge=0, description="AdamW; each system names the parameters it spares")
    clip: float | None = Field(gt=0, description="largest gradient norm, or null")
    ema: float = Field(ge=0, lt=1, description="decay of the averaged weights, per step")
    ema_warmup: bool = Field(False, description="at step s at most (1 + s) / (10 + s)")
    precision: Literal["fp32", "bf16"] = Field(description="autocast of the forward pass; losses are always fp32")
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _one_rate(self) -> "Training":
        if (self.lr is None) == (self.base_lr is None):
            raise ValueError("give exactly one of lr and base_lr")
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps")
        return self


class Discriminator(Strict):
    channels: int = Field(gt=0, description="channels of the first layer (ndf)")
    layers: int = Field(gt=0)


class ScaledWeights(Strict):
    """Weights of loss terms that a scale may choose for all recipes of a system."""

    perceptual: float | None = Field(None, ge=0)


class Size(Strict):
    width: int = Field(gt=0)
    blocks: int = Field(gt=0)
    heads: int = Field(gt=0)


class Trained(Strict):
    """What every recipe says: a thing that is trained, or whose published weights are taken."""

    training: Training
    source: Literal["training", "official"] = Field(
        "training", description="official: no training, the weights are read from `file`"
    )
    file: str | None = Field(None, description="published weights, by their name in the folder $TESSERAE_WEIGHTS")

    @model_validator(mode="after")
    def _file_of_official(self) -> "Trained":
        if (self.source == "official") != (self.file is not None):
            raise ValueError("`file` belongs to `source: official`: give both, or none")
        return self


class Tokenizer(Trained):
    """What every tokenizer's recipe says."""

    dataset: str = Field(description="role of the data set; the scale says which data play it")
    image_size: int = Field(gt=0)
    finetune: str | None = Field(
        None,
        description="tokenizer recipe whose weights this one starts from; its encoder stays as it is, unless it learns "
        "codes of a proxy",
    )
    continues: str | None = Field(
        None,
        description="tokenizer recipe of the same network whose weights this one starts from; all of it learns on",
    )
    latent_mean: float | list[float] | None = Field(
        None, description="tokens are standardised with this mean (of a channel); null: computed from the training set"
    )
    latent_std: float | list[float] | None = Field(None, description="and this standard deviation; null: computed")

    @model_validator(mode="after")
    def _both_or_none(self) -> "Tokenizer":
        if (self.latent_mean is None) != (self.latent_std is None):
            raise ValueError("latent_mean and latent_std: give both, or none")
        return self

    @model_validator(mode="after")
    def _one_start(self) -> "Tokenizer":
        if self.continues is not None and self.finetune is not None:
            raise ValueError("continues and finetune: a training starts from one tokenizer, give one of them")
        if self.continues is not None and self.source == "official":
            raise ValueError("`continues` with `source: official`: published weights continue nothing, leave one out")
        return self

    @property
    def tokens_of(self) -> str | None:
        """The recipe whose tokens it makes: the one that it starts from, where the encoder stays as it is."""
        return self.finetune


class AdversarialTokenizer(Tokenizer):
    """A tokenizer that is trained against a discriminator from some epoch on."""

    gan_start_epoch: int | None = Field(ge=0, description="epoch from which the GAN loss is on; null: never")
    discriminator: Discriminator


class ProxyTokenizer(AdversarialTokenizer):
    """A tokenizer that learns the codes of another one first, its proxy, and then pixels with that one's decoder."""

    proxy: str = Field(description="tokenizer recipe whose codes it learns, and whose codebook and decoder it takes")
    learns: Literal["codes", "pixels"] = Field(
        description="the stage: codes of the proxy, or, with a fixed encoder, pixels from what `finetune` names"
    )

    @model_validator(mode="after")
    def _stages_in_turn(self) -> "ProxyTokenizer":
        if self.learns == "codes" and self.source == "official":
            raise ValueError("`learns: codes` with `source: official`: published weights are those of `learns: pixels`")
        if self.learns == "codes" and self.gan_start_epoch is not None:
            raise ValueError("`learns: codes` knows no images and no GAN: write gan_start_epoch: null")
        if self.learns == "pixels" and self.source == "training" and self.finetune is None:
            raise ValueError("`learns: pixels` goes on from a recipe that learns codes: name it as `finetune`")
        return self

    @property
    def tokens_of(self) -> str | None:
        """As for all, but for a stage that learns codes: its encoder learns, too."""
        return self.finetune if self.learns == "pixels" else None


class Generator(Trained):
    """What every generator's recipe says."""

    tokenizer: str = Field(description="recipe whose tokens it learns")
    size: str = Field(description="by its name in the scale's sizes of the system")
    label_dropout: float = Field(ge=0, lt=1)


class DiffLoss(Strict):
    blocks: int = Field(gt=0)
    width: int = Field(gt=0)
    batch_multiplier: int = Field(gt=0, description="draws of (t, noise) per condition in a training step")
    steps: int = Field(gt=0, description="length of the training diffusion")
    schedule: Literal["cosine", "linear"]
    prediction: Literal["noise", "velocity"] = Field("noise", description="what the head predicts of a noisy token")


class DiffLossScale(Strict):
    width: int = Field(gt=0)
    blocks: int = Field(gt=0)
    batch_multiplier: int = Field(gt=0)
    prediction: Literal["noise", "velocity"] | None = None
