"""Whether tokens attend to objects: the best token's map, and mIoU beside what chance makes (COMiT, Fig. 2)."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.objects import Found, evenly, laid_over, printed, read_objects, same_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NONE: Mapping[Any, Any] = MappingProxyType({})
LINES = {  # beside a bar: what it is called, how it is drawn
    "chance": ("by chance: random maps", "-", "#000000"),
    "another": ("maps of another image", "--", "#444444"),
    "middle": ("the middle of the image", ":", "#444444"),
    "ceiling": ("most that any map can have", "-.", "#9a9a9a"),
}
HALF = 0.36  # of a bar's width


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row what it makes of `objects`, of the stage `objectness`."""
    found, reasons = read_objects(work)
    labels = {label for _, label in work.spec["rows"]}
    told = {row: value for row, value in printed(work).items() if row in labels}
    plot(stem, tokenizers=found, published=told, reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Found],
    scale: str,
    published: Mapping[str, float] = NONE,
    reasons: Mapping[str, str] = NONE,
    most: int = 8,
) -> list[Path]:
    """A row of images, one for each tokenizer with its best token's map, and below bars: published, then measured.

    published: label -> mIoU as printed. At most `most` images. Raises FigureError if tokenizers show different images.
    """
    title = f"Do tokens attend to objects? (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    images = same_images(tokenizers)
    chosen = evenly(len(images), most)
    first = next(iter(tokenizers.values()))
    share = first.metrics["measure"]["share"]
    rows: list[tuple[str, Row]] = [("image", images[chosen])]
    for label, found in tokenizers.items():
        at = found.arrays["shares"].tolist().index(share)
        maps = found.arrays["best_maps"][chosen, at]
        here = found.arrays["best"][chosen, at].mean()
        rows.append((f"{label}\nIoU {here:.2f} here", laid_over(images[chosen], maps)))
    with style.look():
        figure = draw_sheet(rows, [""] * len(chosen), title, curves=3.2)
        _bars(figure.axes[1], tokenizers, published, share)
        notes = [
            f"Measured: scale {scale}, {first.metrics['measure']['samples']} images, of which objects take "
            f"{first.masked:.0f} %; {seeds.spread([found.metrics for found in tokenizers.values()])}",
            f"mIoU: {share} % of a map are kept, and of each image the token counts that fits best: a choice by the "
            "mask itself. By chance: as many random maps that are as smooth",
            "Maps are those of the first seed, each with its own scale of colours",
        ]
        if published:
            notes.append("Published numbers are of other images: bars of the two groups cannot be compared")
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _bars(axes: "Axes", tokenizers: Mapping[str, Found], published: Mapping[str, float], share: int) -> None:
    marks = style.marks([*published, *tokenizers])
    gap = 0.6 if published else 0.0
    for place, (label, value) in enumerate(published.items()):
        axes.bar(place, value, 2 * HALF, color="white", edgecolor=marks[label][0], hatch="//")
        _tell(axes, place, value)
    places = [len(published) + gap + number for number in range(len(tokenizers))]
    for place, (label, found) in zip(places, tokenizers.items(), strict=True):
        values, deviation = found.metrics["values"], found.metrics["sd"].get("miou")
        axes.bar(place, values["miou"], 2 * HALF, yerr=deviation, capsize=3, color=marks[label][0], alpha=0.85)
        _tell(axes, place, values["miou"])
        for line, (name, style_of, colour) in LINES.items():
            ends = (place - HALF - 0.06, place + HALF + 0.06)
            told = name if place == places[0] else None
            axes.plot(ends, 2 * [values[line]], linestyle=style_of, color=colour, linewidth=1.4, label=told)
    names = [*(f"{label}\npublished" for label in published), *(f"{label}\nmeasured" for label in tokenizers)]
    axes.set_xticks([*range(len(published)), *places], names)
    axes.set(ylabel="mIoU", title=f"mIoU of the best token at {share} %")
    axes.set_ylim(0, 1)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _tell(axes: "Axes", place: float, value: float) -> None:
    """At the foot of a bar, where no line crosses it."""
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}
    axes.text(place, 0.05, f"{value:.2f}", ha="center", va="center", fontsize=8, bbox=box)
