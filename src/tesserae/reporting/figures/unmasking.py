"""Images decoded from latents of fewer and fewer patches: l-DeTok, Fig. A.2."""

from pathlib import Path

from tesserae.lineage.work import Work
from tesserae.reporting.damaged import Damage, draw_damaged

MASK = Damage("ratios", "masked_images", "masked_psnr", "images of which the encoder saw a part only", "mask ratio m")


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `images`, those of the stage `denoising`."""
    draw_damaged(work, stem, MASK)
