"""The published trainings whose hours are known: l-DeTok (arXiv 2507.15856), A.1 and A.2. Plain data."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IMAGES = 1_281_167  # per epoch: ImageNet-1k
# l-DeTok's trainings of 800 epochs include evaluations: the official code's defaults are 10,000 images every 40 epochs
# in 64 iterations, with guidance (twice the batch).
EVALUATED = {"every": 40, "images": 10_000, "halves": 2}
MAR_L = {"width": 1024, "heads": 16, "encoder_blocks": 16, "decoder_blocks": 16}  # MAR (arXiv 2406.11838), Sec. 5


@dataclass(frozen=True)
class Anchor:
    """A published training: its row, the job whose network it trains, what differs, and whether it is fitted."""

    row: str
    job: str
    epochs: int
    fitted: bool
    gan_from: int | None = None  # epoch
    model: Mapping[str, Any] | None = None  # settings of the network that differ from the job's
    evaluated: bool = False

    def spec(self, trained: Mapping[str, Any], sampler: Mapping[str, Any]) -> dict[str, Any]:
        """What decides its cost, as plain data: from the spec of its job, and the `sampler` of MAR."""
        spec = copy.deepcopy({key: trained[key] for key in ("module", "model", "training")})
        for key, value in (self.model or {}).items():
            spec["model"][key] = spec["model"][key] | value if isinstance(value, Mapping) else value
        steps_per_epoch = IMAGES // spec["training"]["batch"]
        spec["training"] |= {"steps": self.epochs * steps_per_epoch}
        if "gan_start_step" in spec["model"]:
            spec["model"]["gan_start_step"] = None if self.gan_from is None else self.gan_from * steps_per_epoch
        evaluated = (
            {"sampler": dict(sampler), "evaluated": EVALUATED | {"epochs": self.epochs}} if self.evaluated else {}
        )
        return {"row": self.row, "fitted": self.fitted, **spec, **evaluated}


ANCHORS = (
    Anchor("Tokenizer S-B, 50 epochs, no GAN", "tokenizer/detok_sb_joint", 50, True),
    Anchor("Tokenizer S-B, 50 epochs, GAN from epoch 20", "tokenizer/detok_sb_joint", 50, True, 20),
    Anchor("Tokenizer B-B, 200 epochs, GAN from epoch 100", "tokenizer/detok_bb_extended", 200, False, 100),
    Anchor("SiT-B, 100 epochs", "generator/sit_b_joint", 100, False),
    Anchor("DiT-B, 100 epochs", "generator/dit_b_extended", 100, False),
    Anchor("LightningDiT-B, 100 epochs", "generator/lightningdit_b_extended", 100, False),
    Anchor("RandomAR-B, 100 epochs", "generator/randomar_b_extended", 100, False),
    Anchor("RasterAR-B, 100 epochs", "generator/rasterar_b_extended", 100, False),
    Anchor("MAR-B, 100 epochs", "generator/mar_b_joint", 100, True),
    Anchor("MAR-B, 800 epochs", "generator/mar_b_joint", 800, False, None, {"diffloss": {"blocks": 6}}, evaluated=True),
    Anchor(
        "MAR-L, 800 epochs",
        "generator/mar_b_joint",
        800,
        False,
        None,
        MAR_L | {"diffloss": {"blocks": 8, "width": 1280}},
        evaluated=True,
    ),
)
