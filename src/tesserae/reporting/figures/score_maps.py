"""What a tokenizer that scores patches sees in images: error, score and choice: TaTok, Fig. 6."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import style
from tesserae.reporting.drawing import Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.kept import Kept, read_kept
from tesserae.reporting.overlays import colours, shade, spread

NONE: Mapping[str, str] = MappingProxyType({})
SHARE = 99  # percentile of numbers that has the lightest colour


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row what it `kept`, of the stage `kept_tokens`."""
    found, reasons = read_kept(work)
    plot(stem, tokenizers=found, reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path, *, tokenizers: Mapping[str, Kept], scale: str, reasons: Mapping[str, str] = NONE, most: int = 6
) -> list[Path]:
    """Five rows per tokenizer, at most `most` images in each: original, reconstruction, error, scores, kept patches."""
    title = f"Where a reconstruction is wrong, and what patches are worth (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    rows: list[tuple[str, Row]] = []
    for label, (arrays, _, _) in tokenizers.items():
        images = arrays["originals"]
        chosen = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
        scores = spread(arrays["scores"], *images.shape[1:3])
        rows += [
            (label, images[chosen]),
            ("reconstruction", arrays["reconstructions"][chosen]),
            ("error", colours(arrays["errors"], np.percentile(arrays["errors"], SHARE))[chosen]),
            ("score", np.stack([colours(one, one.max()) for one in scores[chosen]])),
            ("kept", shade(images, arrays["kept"])[chosen]),
        ]
    with style.look():
        figure = draw_sheet(rows, [""] * len(rows[0][1]), title, breaks=5)
        means = ", ".join(
            f"{arrays['kept'].mean(axis=0).sum():.1f} ({label})" for label, (arrays, _, _) in tokenizers.items()
        )
        patches = next(iter(tokenizers.values())).arrays["kept"][0].size
        notes = [
            "Error: the absolute difference of values, averaged over channels; one scale of colours for a row",
            "Score of a patch: what it adds to the global tokens, times the bits of its pixels; a scale for each image",
            f"Kept: other patches are darkened; of {patches} patches these images keep on average {means}",
            "Pictures are those of the first seed",
        ]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)
