"""Settings of the stages that look at a tokenizer, as a paper's file gives them: `measures.<stage>`. Imports no torch.

The table of stages names each; the type says what may be written, and which of it can be left out.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tesserae.config.files import Strict


class Followed(Strict):
    """A setting that is the value of the tokenizer's own recipe, or of another one where that has none."""

    key: str = Field(description="dotted key of the recipe; no such key, null and 0 all mean that it has none")
    otherwise: str = Field(description="tokenizer recipe whose value is taken then, even where a scale does without it")


class Reconstruction(Strict):
    splits: int | None = Field(None, gt=0, description="of the inception score of rIS; null: as the scale's evaluation")


class TokenCounts(Strict):
    patch_size: Followed = Field(description="of the patches that tokens are compared with in number")


class Throughput(Strict):
    """Of the stage that times generators; each with the one that it is compared with."""

    against: str = Field(description="generator recipe that is timed in turn with each other one")
    batch: int = Field(gt=0, description="images drawn and decoded together")
    samples: int = Field(gt=0, description="images of a loop; no more than the scale's evaluation.search_samples")
    loops: int = Field(gt=1, description="of which the median counts, after one that warms up")


class Learnability(Strict):
    """AvgIG, MC and swaps of tokenizers (CompTok, Sec. 3.2, Figs. 3 to 8): how, for those of all papers alike."""

    data: str = Field(description="role of the images that both look at, those of its validation split")
    encoder: Literal["clip_vitb32", "embedded"] = Field(description="which features say who is similar (pooled.py)")
    anchors: int = Field(gt=0, description="images that are paired, each with two others")
    images: int = Field(gt=0, description="that are descended to; as anchors, the first ones of each class in turn")
    steps: int = Field(gt=0, description="of a descent")
    rate: float = Field(gt=0, description="of a descent: on half the squared error, summed over an image in [0, 1]")
    checks: bool = Field(True, description="whether AvgIG is also of own tokens, and in the tokens' own units")
    points: int = Field(gt=1, description="of a path, its ends included")
    drawing_steps: int = Field(gt=0, description="in which decoders that draw do so")
    calibration_images: int = Field(gt=1, description="of the training set: they say how large tokens are")
    real_images: int = Field(gt=1, description="that say where the zero of a critic is")
    critic: str = Field(description="tokenizer recipe whose critic judges the paths of all tokenizers")
    other_critic: str = Field(description="another one, which saw other fakes: a check")
    seed: int = Field(ge=0, description="of the choice of calibration images, and of the order in which tokens swap")
    swap_columns: int = Field(gt=2, description="of a row of pictures, from no token of the other image to all; odd")
    swap_pairs: int = Field(gt=0, description="of images whose tokens are swapped")
    sensitivity_pairs: int = Field(gt=0, description="of which one token after another is swapped alone")
    swap_shown: int = Field(gt=0, description="pairs whose pictures are kept")

    @model_validator(mode="after")
    def _with_a_middle(self) -> "Learnability":
        if self.swap_columns % 2 == 0:
            raise ValueError(
                f"swap_columns: none of {self.swap_columns} columns has half of the tokens; take an odd one"
            )
        return self


class Denoising(Strict):
    gamma: Followed = Field(description="scale of the noise on the latents (Eq. 4)")
    taus: list[float] = Field(min_length=1, description="noise levels to decode at")
    ratios: list[float] = Field(min_length=1, description="shares of the patches that the encoder does not see")


class ConceptExamples(Strict):
    shown: int = Field(gt=0, description="concepts")
    images: int = Field(gt=0, description="of each")
    ranked: int = Field(gt=0, description="concepts over which rankings of images are averaged")


class LatentClusters(Strict):
    shown: int = Field(gt=0, description="concepts")
    images: int = Field(gt=0, description="of each")
    components: int = Field(gt=0, description="principal components of the latents before t-SNE")
    neighbours: int = Field(gt=0, description="of the purity of neighbourhoods")
    perplexity: float = Field(gt=0, description="of t-SNE")
    iterations: int = Field(gt=0, description="of t-SNE")


class Truncation(Strict):
    """Numbers of patches of the paper's grid; on another one as many in proportion are taken away."""

    patches: int = Field(gt=1, description="of the grid that the other numbers count on")
    part: int = Field(gt=0, description="taken away where the paper prints its numbers")
    curve: list[int] = Field([], description="taken away besides, for the curve; a scale may leave some out")

    @model_validator(mode="after")
    def _on_the_grid(self) -> "Truncation":
        beyond = [many for many in (self.part, *self.curve) if not 0 <= many < self.patches]
        if beyond:
            raise ValueError(f"of {self.patches} patches {beyond[0]} cannot be taken away: one has to be left")
        return self


class DrawingSweep(Strict):
    """Of a tokenizer whose decoder takes steps, with guidance: one is swept while the other is as its recipe has it."""

    steps: list[Annotated[int, Field(gt=0)]] = Field(min_length=1, description="evaluations of the velocity")
    guidance: list[Annotated[float, Field(ge=1)]] = Field(min_length=1, description="1: none")
    at_steps: Followed = Field(description="number of steps while guidance is swept")
    at_guidance: Followed = Field(description="guidance while the number of steps is swept")


class KeptTokens(Strict):
    epsilons: list[Annotated[float, Field(ge=0, lt=1)]] = Field(min_length=1, description="information loss rates")
    blank_epsilon: float = Field(ge=0, lt=1, description="that of white, black and noise")


SHARES = (10, 20, 30, 40)  # percent of a map that is kept (Fig. 8)
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)


class Objectness(Strict):
    """Where attention is read, and how much of a map is kept; one number is told at `share`, `layer` and `time`."""

    shares: list[int] = Field(min_length=1, description="percent of a map that is kept: some of 10, 20, 30, 40")
    share: int = Field(description="that of them at which one number is told")
    layer: int = Field(ge=0, description="block whose attention is read, from 0; of another depth in proportion")
    blocks: int = Field(gt=1, description="depth that `layer` counts in")
    time: float = Field(ge=0, le=1, description="of the noisy image, from noise, 0, to data, 1")
    times: list[float] = Field([], description="at which it is read besides: some of 0.1, 0.3, 0.5, 0.7, 0.9")
    steps: int = Field(gt=0, description="of the drawing in which it is read, whatever a scale draws images with")

    @model_validator(mode="after")
    def _in_the_model(self) -> "Objectness":
        if self.layer >= self.blocks:
            raise ValueError(f"of {self.blocks} blocks {self.layer} is none: the first is 0")
        if unknown := [share for share in self.shares if share not in SHARES]:
            raise ValueError(f"shares: {unknown[0]} has no name among the numbers; it is one of {list(SHARES)}")
        if self.share not in self.shares:
            raise ValueError(f"share: {self.share} is none of the shares {self.shares}")
        last = 1 - 1 / self.steps
        if late := [time for time in (self.time, *self.times) if time > last + 1e-6]:
            raise ValueError(
                f"times: no step of {self.steps} begins at {late[0]:g} or later: the last one is at {last:g}"
            )
        if unknown := [time for time in self.times if time not in TIMES]:
            raise ValueError(f"times: {unknown[0]:g} has no name among the numbers; it is one of {list(TIMES)}")
        return self
