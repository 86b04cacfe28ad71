"""What figures of damaged latents share: images decoded from them, and the PSNR that makes those pictures a number.

Shapes: L levels of damage, K images, H x W pixels; images are uint8 (..., H, W, 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tesserae.lineage import cells
from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import FigureError, Row, draw_line, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.figure_inputs import read, reasons_by_label


@dataclass(frozen=True)
class Damage:
    """Where one kind of damage lies in a denoising.npz, and what it is called."""

    levels: str  # (L,)
    images: str  # (L, K, H, W, 3)
    psnr: str  # (L,) in dB
    title: str
    axis: str


def draw_damaged(work: Work, stem: Path, damage: Damage) -> None:
    """Inputs: of the tokenizer in every row the `images` that were decoded from its damaged latents."""
    found = {label: read(work, "tokenizers", "images", row, "denoising.npz") for row, label in work.spec["rows"]}
    why = reasons_by_label(work, "tokenizers", "images")
    plot_damaged(stem, tokenizers=found, reasons=why, scale=work.spec["scale"], damage=damage)


def plot_damaged(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
    scale: str,
    damage: Damage,
    reasons: Mapping[str, str] = MappingProxyType({}),
    show: Sequence[int] = (0, 1),
) -> list[Path]:
    """One row of images per tokenizer and one column per level of damage, below them the mean PSNR of each.

    tokenizers: label -> what the stage `denoising` wrote, once for each seed, never if it was not run: "gamma",
    "count" (over how many images "psnr" is a mean), "originals" (K, H, W, 3), and what `damage` names, which
    tokenizers that cannot be damaged so have not. reasons: label -> why it was not run. Pictures are those of the first
    seed; `show` are the images (indices into K) to print. Writes `stem`.png, .svg and .pdf and returns the paths.
    Raises FigureError if levels, originals, gamma or count differ, or if there is nothing to show.
    """
    found = {label: runs for label, runs in tokenizers.items() if runs and damage.images in runs[0]}
    if not found and reasons:
        return empty_sheet(stem, reasons, f"Images at growing {damage.axis} (scale {scale})")
    if not found:
        raise FigureError(f"no tokenizer has {damage.images}")
    first_label, first = next((label, runs[0]) for label, runs in found.items())
    for label, runs in found.items():
        for run in runs:
            for name in (damage.levels, "originals", "gamma", "count"):
                if not np.array_equal(run[name], first[name]):
                    raise FigureError(f"{name} of {label!r} are not those of {first_label!r}")
    levels = np.asarray(first[damage.levels])

    def row(label: str, index: int) -> Row:
        if label in reasons:
            return reasons[label]
        run = found[label][0]
        return np.concatenate([run["originals"][index][None], run[damage.images][:, index]])

    labels = [label for label in tokenizers if label in found or label in reasons]
    rows = [(label, row(label, index)) for index in show for label in labels]
    with style.look():
        title = f"Decoded from {damage.title.format(gamma=float(first['gamma']))}"
        heads = ["original", *(f"{level:.1f}" for level in levels)]
        figure = draw_sheet(rows, heads, title, curves=2.6, breaks=len(labels))
        axes = figure.axes[1]
        for label, (colour, marker) in style.marks(found).items():
            by_level = zip(*(run[damage.psnr].tolist() for run in found[label]), strict=True)
            points = [
                (level, *cells.over_seeds(values)[:2]) for level, values in zip(levels.tolist(), by_level, strict=True)
            ]
            draw_line(axes, points, colour, marker, label)
        axes.set_title(f"Mean PSNR against {damage.axis}")
        axes.set_xlabel(damage.axis)
        axes.set_ylabel("PSNR ↑ (dB)")
        axes.set_xticks(levels)
        axes.legend(loc="best")
        counted = [{"seeds": len(runs)} for runs in found.values()]
        notes = [f"Scale {scale}. PSNR over {int(first['count'])} validation images; {seeds.spread(counted)}"]
        notes += ["Pictures: first seed"] if any(len(runs) > 1 for runs in found.values()) else []
        notes += ["The paper shows pictures and prints no number"]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        other = [label for label, runs in tokenizers.items() if runs and label not in found]
        notes += [f"Not made for: {', '.join(other)}"] if other else []
        note(figure, notes)
        return style.save(figure, stem)
