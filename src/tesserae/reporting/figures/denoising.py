"""Images decoded from latents mixed with more and more noise: l-DeTok, Fig. A.1."""

from pathlib import Path

from tesserae.lineage.work import Work
from tesserae.reporting.damaged import Damage, draw_damaged

NOISE = Damage(
    "taus", "images", "psnr", "latents mixed with noise, (1 − τ) z + τ γ ε with γ = {gamma:g}", "noise level τ"
)


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `images`, those of the stage `denoising`."""
    draw_damaged(work, stem, NOISE)
