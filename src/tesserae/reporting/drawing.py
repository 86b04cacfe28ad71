"""Parts that figures of several kinds share: the note below, sheets of images, lines of means, and a blank.

A kind of figure is a module of reporting/figures: its `draw` reads what a job was given, its `plot` draws it.
Shapes: K images, H x W pixels; images are uint8 (..., H, W, 3).
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tesserae.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = np.ndarray | str  # images (K, H, W, 3) of a sheet's row, or why it has none
Point = tuple[float, float, float | None]  # x, mean over seeds, their sample standard deviation

GAP = 0.06  # between two images of a sheet, in parts of an image
EMPTY = 8  # images that a row of a sheet without any would have
LETTER = 0.068  # inches that a letter of a row's label takes on average
LOW = 0.35  # height of a row without images, in parts of one with
SIDE = 128  # smallest side of a printed image in pixels: smaller ones are enlarged without smoothing


class FigureError(ValueError):
    """Inputs that do not belong in one figure."""


def note(figure: "Figure", sentences: Sequence[str]) -> None:
    """Sentences below a figure, broken to its width."""
    text = textwrap.fill(". ".join(sentences) + ".", int(15.5 * figure.get_figwidth()))
    figure.supxlabel(text, fontsize=8, color=style.INK)


def empty_sheet(stem: str | Path, reasons: Mapping[str, str], title: str) -> list[Path]:
    """A sheet of which no row was run: label -> why."""
    with style.look():
        return style.save(draw_sheet(reasons, [""] * EMPTY, title), stem)


def left_out(reasons: Mapping[str, str]) -> str:
    """What was not run and why, by label, in words: "A, B (at desk); C (too dear)"."""
    alike: dict[str, list[str]] = {}
    for label, reason in reasons.items():
        alike.setdefault(reason, []).append(label)
    return "; ".join(f"{', '.join(labels)} ({reason})" for reason, labels in alike.items())


def say_empty(axes: "Axes", reasons: Iterable[str]) -> None:
    """In a panel of which nothing was run: why."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    centred = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, "\n".join(dict.fromkeys(reasons)), color=style.NEUTRAL, **centred)


def draw_sheet(
    rows: Mapping[str, Row] | Sequence[tuple[str, Row]],
    heads: Sequence[str],
    title: str,
    *,
    curves: float = 0.0,
    breaks: int = 0,
) -> "Figure":
    """A figure of labelled rows of images with column heads; `curves` inches below are left as a second axes.

    A row without images is an empty frame that says why. `breaks` > 0 leaves a wider gap after every so many rows.
    """
    from matplotlib.figure import Figure

    rows = list(rows.items()) if isinstance(rows, Mapping) else list(rows)
    shape = next((images.shape[1:] for _, images in rows if not isinstance(images, str)), (SIDE, SIDE, 3))
    nothing = np.zeros((0, *shape), np.uint8)
    pictures = [nothing if isinstance(images, str) else images for _, images in rows]
    columns = 0 if any(map(len, pictures)) else max(len(heads), 1)
    canvas, xs, ys, heights = mosaic(pictures, breaks=breaks, columns=columns)
    height, width = canvas.shape[:2]
    inches = min(0.95, 9.0 / max(len(heads), 1))  # side of one printed image
    per_pixel = inches / (xs[1] - xs[0] if len(xs) > 1 else width)
    labels = max(2.0, 0.4 + LETTER * max(len(label) for label, _ in rows))
    size = (width * per_pixel + labels, height * per_pixel + 0.9 + curves)
    figure = Figure(figsize=(max(size[0], 4.5), size[1]), layout="constrained")
    ratios = (height * per_pixel + 0.5, curves) if curves else (1,)
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    axes = figure.add_subplot(grid[0])
    axes.imshow(canvas, interpolation="none", aspect="equal")
    axes.set_anchor("W")
    axes.set_title(title, pad=8)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(
        length=0, labelsize=8.5, labelcolor=style.INK, top=False, bottom=False, labeltop=True, labelbottom=False
    )
    for (_, images), y, side in zip(rows, ys, heights, strict=True):
        if isinstance(images, str):
            _frame_empty(axes, y, side=side, width=width, reason=images)
    axes.set_yticks(ys, [label for label, _ in rows])
    axes.set_xticks(xs if any(heads) else [], heads if any(heads) else [])
    if any(len(head) > 9 for head in heads):
        axes.tick_params(axis="x", labelrotation=40)
        for text in axes.get_xticklabels():
            text.set_ha("left")
            text.set_rotation_mode("anchor")
    if curves:
        figure.add_subplot(grid[1])
    return figure


def _frame_empty(axes: "Axes", y: float, *, side: float, width: float, reason: str) -> None:
    """A frame around a row without images, at the height `y` of a sheet; lengths in pixels of the sheet."""
    from matplotlib.patches import Rectangle

    frame = {"fill": False, "edgecolor": "#cccccc", "linestyle": "--", "clip_on": False}
    axes.add_patch(Rectangle((0, y - side / 2), width, side, **frame))
    axes.text(width / 2, y, reason, ha="center", va="center", color=style.NEUTRAL)


def mosaic(
    rows: Sequence[np.ndarray], *, breaks: int = 0, columns: int = 0
) -> tuple[np.ndarray, list[float], list[float], list[int]]:
    """Rows of images (K, H, W, 3) uint8 -> one sheet (h, w, 4) uint8, transparent between images, and where they stand.

    It has at least `columns` columns. Images below SIDE pixels are enlarged by a whole factor, each pixel a square. A
    row without images is lower. Returns (sheet, column centres, row centres, row heights) in pixels of the sheet.
    Raises FigureError unless all images have one size and are uint8.
    """
    shapes = {(images.shape[1:], images.dtype) for images in map(np.asarray, rows)}
    if len(shapes) != 1 or next(iter(shapes))[1] != np.uint8 or len(next(iter(shapes))[0]) != 3:
        raise FigureError(f"a sheet takes uint8 images (H, W, 3) of one size, found {sorted(map(str, shapes))}")
    height, width = next(iter(shapes))[0][:2]
    factor = max(1, math.ceil(SIDE / min(height, width)))
    height, width = height * factor, width * factor
    gap = max(1, round(GAP * height))
    columns = max(columns, *map(len, rows))
    heights = [height if len(images) else round(LOW * height) for images in rows]
    tops, top = [], 0
    for index in range(len(rows)):
        if breaks and index and index % breaks == 0:
            top += 3 * gap
        tops.append(top)
        top += heights[index] + gap
    sheet = np.zeros((top - gap, columns * (width + gap) - gap, 4), np.uint8)
    for images, top in zip(rows, tops, strict=True):
        for column, image in enumerate(images):
            left = column * (width + gap)
            sheet[top : top + height, left : left + width, :3] = image.repeat(factor, 0).repeat(factor, 1)
            sheet[top : top + height, left : left + width, 3] = 255
    xs = [column * (width + gap) + width / 2 for column in range(columns)]
    return sheet, xs, [top + tall / 2 for top, tall in zip(tops, heights, strict=True)], heights


def draw_line(axes: "Axes", points: Sequence[Point], colour: str, marker: str, label: str = "") -> None:
    """Means joined by a line, in a band of one standard deviation to each side where there are several seeds."""
    if not points:
        return
    xs, means, deviations = zip(*points, strict=True)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.6}
    axes.plot(xs, means, color=colour, marker=marker, label=label or None, **edge)
    if None not in deviations:
        low, high = ([mean + sign * sd for _, mean, sd in points] for sign in (-1, 1))
        axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
