"""The best token's map with more and less of it kept, and its mIoU at each block (COMiT, Fig. 8)."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tesserae.lineage import cells
from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Point, Row, draw_line, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.objects import Found, at_shares, evenly, kept_of, printed, read_objects

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NONE: Mapping[Any, Any] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row what it makes of `objects`, of the stage `objectness`."""
    found, reasons = read_objects(work)
    plot(stem, tokenizers=found, published=at_shares(printed(work)), reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Found],
    scale: str,
    published: Mapping[int, float] = NONE,
    reasons: Mapping[str, str] = NONE,
    most: int = 8,
) -> list[Path]:
    """Per tokenizer a row of images, then one for each share of the map, from the largest; below a line over blocks.

    published: percent that is kept -> mIoU as printed. At most `most` images. A row's number is over all images.
    """
    title = f"What is left of the best token's map (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    rows: list[tuple[str, Row]] = []
    for label, found in tokenizers.items():
        chosen = evenly(len(found.arrays["originals"]), most)
        images, maps = found.arrays["originals"][chosen], found.arrays["best_maps"][chosen]
        shares = found.arrays["shares"].tolist()
        rows.append((label, images))
        for at, share in sorted(enumerate(shares), key=lambda entry: -entry[1]):
            values = found.metrics["values"]
            said = f"{share} %: mIoU {values[f'miou_{share}']:.2f}\nby chance {values[f'chance_{share}']:.2f}"
            rows.append((said, kept_of(images, maps[:, at], share)))
    with style.look():
        figure = draw_sheet(rows, [""] * len(rows[0][1]), title, curves=2.6, breaks=len(rows) // len(tokenizers))
        _over_layers(figure.axes[1], tokenizers)
        first = next(iter(tokenizers.values()))
        notes = [
            f"Measured: scale {scale}, {first.metrics['measure']['samples']} images, of which objects take "
            f"{first.masked:.0f} %; {seeds.spread([found.metrics for found in tokenizers.values()])}",
            "mIoU: of each image the token counts that fits best, so random maps of the same number and smoothness, "
            "by chance, are the floor",
            "Pictures are those of the first seed",
        ]
        if published:
            said = ", ".join(f"{value:.2f} at {share} %" for share, value in published.items())
            notes.append(f"Published, on other images: {said}")
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _over_layers(axes: "Axes", tokenizers: Mapping[str, Found]) -> None:
    """mIoU at each block, and by chance, dashed."""
    share = next(iter(tokenizers.values())).metrics["measure"]["share"]
    for label, (colour, marker) in style.marks(tokenizers).items():
        by_block = list(zip(*tokenizers[label].layers, strict=True))  # of each block, one entry per seed
        blocks = [found[0]["layer"] for found in by_block]
        points: list[Point] = [
            (block, *cells.over_seeds([entry["miou"] for entry in found])[:2])
            for block, found in zip(blocks, by_block, strict=True)
        ]
        draw_line(axes, points, colour, marker, label)
        chance = [cells.over_seeds([entry["chance"] for entry in found]).mean for found in by_block]
        axes.plot(blocks, chance, color=colour, linestyle="--", linewidth=1.0)
    axes.set(xlabel="block, from 0", ylabel="mIoU", title=f"mIoU at {share} %; dashed: by chance")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylim(bottom=0)
    axes.legend()
