"""Sheets of images and training curves, from plain arrays and dictionaries.

What is given a `stem` writes `stem`.png, .svg and .pdf and returns the paths.
Shapes: K images, M samples, H x W pixels; images are uint8 (..., H, W, 3).
"""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tesserae.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.06  # between two images of a sheet, in parts of an image
SIDE = 128  # smallest side of a printed image in pixels: smaller ones are enlarged without smoothing


class FigureError(ValueError):
    """Inputs that do not belong in one figure."""


def note(figure: "Figure", sentences: Sequence[str]) -> None:
    """Sentences below a figure, broken to its width."""
    text = textwrap.fill(". ".join(sentences) + ".", int(15.5 * figure.get_figwidth()))
    figure.supxlabel(text, fontsize=8, color=style.INK)


def blank(stem: str | Path, reasons: Sequence[str]) -> list[Path]:
    """In place of a figure of which nothing is run: why."""
    from matplotlib.figure import Figure

    with style.look():
        figure = Figure(figsize=(6.4, 0.8), layout="constrained")
        note(figure, [f"Not run: {'; '.join(reasons)}"])
        return style.save(figure, stem)


# ----------------------------------------------------------------------------------------------------- sheets of images
def qualitative(
    stem: str | Path,
    *,
    originals: np.ndarray,
    reconstructions: Mapping[str, np.ndarray],
    scale: str,
    missing: Sequence[str] = (),
) -> list[Path]:
    """Originals (K, H, W, 3) in the first row, then one row of reconstructions (K, H, W, 3) per tokenizer label.

    missing: labels of tokenizers that were not run.
    """
    rows = {"original": originals, **reconstructions}
    title = f"Reconstructions (scale {scale}){_not_run(missing)}"
    with style.look():
        return style.save(draw_sheet(rows, [""] * len(originals), title), stem)


def samples_sheet(
    stem: str | Path,
    *,
    samples: Mapping[str, np.ndarray],
    scale: str,
    labels: Mapping[str, Sequence] | None = None,
    per_row: int = 12,
    missing: Sequence[str] = (),
) -> list[Path]:
    """Generated samples (M, H, W, 3), one row per generator label: the first `per_row` of each, not picked.

    labels: the class (name or number) of each sample, by generator; they head the columns once. missing: labels of
    generators that were not run. Raises FigureError if generators show different classes, since columns would compare
    what cannot be compared.
    """
    shown = {label: np.asarray(images)[:per_row] for label, images in samples.items()}
    classes = {label: [str(name) for name in labels[label]][:per_row] for label in samples} if labels else {}
    heads = next(iter(classes.values()), [""] * per_row)
    for label, names in classes.items():
        if names != heads:
            raise FigureError(f"samples of {label!r} are of classes {names}, not {heads} as in the first row")
    title = f"Generated samples (scale {scale}){_not_run(missing)}"
    with style.look():
        return style.save(draw_sheet(shown, heads, title), stem)


def _not_run(labels: Sequence[str]) -> str:
    return "\n" + textwrap.fill(f"not run: {', '.join(labels)}", 100) if labels else ""


def draw_sheet(
    rows: Mapping[str, np.ndarray] | Sequence[tuple[str, np.ndarray]],
    heads: Sequence[str],
    title: str,
    *,
    curves: float = 0.0,
    breaks: int = 0,
) -> "Figure":
    """A figure of labelled rows of images with column heads; `curves` inches below are left as a second axes.

    `breaks` > 0 leaves a wider gap after every so many rows.
    """
    from matplotlib.figure import Figure

    rows = list(rows.items()) if isinstance(rows, Mapping) else list(rows)
    canvas, xs, ys = mosaic([images for _, images in rows], breaks=breaks)
    height, width = canvas.shape[:2]
    inches = min(0.95, 9.0 / max(len(heads), 1))  # side of one printed image
    per_pixel = inches / (xs[1] - xs[0] if len(xs) > 1 else width)
    size = (width * per_pixel + 2.0, height * per_pixel + 0.9 + curves)
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


def mosaic(rows: Sequence[np.ndarray], *, breaks: int = 0) -> tuple[np.ndarray, list[float], list[float]]:
    """Rows of images (K, H, W, 3) uint8 -> one sheet (h, w, 4) uint8, transparent between images, and the centres.

    Images below SIDE pixels are enlarged by a whole factor, each pixel a square. Returns (sheet, column centres, row
    centres) in pixels of the sheet. Raises FigureError unless all images have one size and are uint8.
    """
    shapes = {(images.shape[1:], images.dtype) for images in map(np.asarray, rows)}
    if len(shapes) != 1 or next(iter(shapes))[1] != np.uint8 or len(next(iter(shapes))[0]) != 3:
        raise FigureError(f"a sheet takes uint8 images (H, W, 3) of one size, found {sorted(map(str, shapes))}")
    height, width = next(iter(shapes))[0][:2]
    factor = max(1, math.ceil(SIDE / min(height, width)))
    height, width = height * factor, width * factor
    gap = max(1, round(GAP * height))
    columns = max(len(images) for images in rows)
    tops, top = [], 0
    for index in range(len(rows)):
        if breaks and index and index % breaks == 0:
            top += 3 * gap
        tops.append(top)
        top += height + gap
    sheet = np.zeros((top - gap, columns * (width + gap) - gap, 4), np.uint8)
    for images, top in zip(rows, tops, strict=True):
        for column, image in enumerate(images):
            left = column * (width + gap)
            sheet[top : top + height, left : left + width, :3] = image.repeat(factor, 0).repeat(factor, 1)
            sheet[top : top + height, left : left + width, 3] = 255
    return sheet, [column * (width + gap) + width / 2 for column in range(columns)], [top + height / 2 for top in tops]


# -------------------------------------------------------------------------------------------------------------- curves
def read_curves(path: str | Path) -> list[dict]:
    """The lines of a curves.jsonl in order of their step; of a step written twice (a resumed run) the last one.

    Raises FigureError, naming file and line, for a line that is not a JSON object with a "step".
    """
    by_step: dict[int, dict] = {}
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            by_step[line["step"]] = line
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise FigureError(f"{path}:{number}: not a JSON object with a step: {text[:80]!r}") from error
    return [by_step[step] for step in sorted(by_step)]


def read_runs(folder: str | Path, runs: Mapping[str, str]) -> dict[str, list[dict]]:
    """The curves of several trainings: {label: artifact, e.g. "tokenizer/detok_sb_joint"} -> {label: lines}.

    A training that left no curves.jsonl has no lines: it was not run.
    """
    files = {label: Path(folder) / artifact / "curves.jsonl" for label, artifact in runs.items()}
    return {label: read_curves(file) if file.is_file() else [] for label, file in files.items()}


def training_curves(
    stem: str | Path,
    *,
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    scale: str,
    terms: Sequence[str] | None = None,
) -> list[Path]:
    """Write what `draw_curves` draws."""
    return style.save(draw_curves(runs=runs, scale=scale, terms=terms), stem)


def draw_curves(
    *, runs: Mapping[str, Sequence[Mapping[str, float]]], scale: str, terms: Sequence[str] | None = None
) -> "Figure":
    """One panel per term, one line per run: label -> lines {"step": ..., term: value, ...} (see `read_curves`).

    Without `terms`, all that any run logs; a run without lines is named as not run. A faint line is the log, a strong
    one its moving mean over a twentieth of the points. Panels of positive losses that change much are
    logarithmic.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    logged = dict.fromkeys(name for lines in runs.values() for line in lines for name in line)
    terms = list(terms or [name for name in logged if name not in ("step", "images", "lr")])
    columns = 2 if len(terms) == 4 else max(1, min(3, len(terms)))
    rows = math.ceil(len(terms) / columns) or 1
    with style.look():
        figure = Figure(figsize=(3.4 * columns + 0.6, 2.5 * rows + 0.9), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        marks = style.marks(runs)
        for axes, term in zip(panels, terms, strict=False):
            _term(
                axes,
                term,
                {
                    marks[label][0]: [(line["step"], line[term]) for line in lines if term in line]
                    for label, lines in runs.items()
                },
            )
        for axes in panels[len(terms) :]:
            axes.set_visible(False)
        handles = [
            Line2D([], [], color=colour, linewidth=3, label=label if runs[label] else f"{label} (not run)")
            for label, (colour, _) in marks.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=(2, 3, 5)[columns - 1])
        figure.supxlabel(f"Training curves (scale {scale})", fontsize=8, color=style.INK)
    return figure


def _term(axes: "Axes", term: str, runs: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """One panel: {colour: [(step, value), ...]}."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    lowest, highest = math.inf, -math.inf
    for colour, points in runs.items():
        if not points:
            continue
        steps, values = np.array(points, dtype=float).T
        lowest, highest = min(lowest, values.min()), max(highest, values.max())
        window = 1 if term == "lr" else max(1, len(values) // 20)
        axes.plot(
            steps,
            values,
            color=colour,
            alpha=0.25 if window > 1 else 1.0,
            linewidth=1.0,
            marker="o" if len(values) < 3 else None,
            markersize=3,
        )
        if window > 1:
            box = np.ones(window)
            mean = np.convolve(values, box, "same") / np.convolve(np.ones_like(values), box, "same")
            axes.plot(steps, mean, color=colour, linewidth=1.6)
    if lowest > 0 and highest > 3 * lowest and term != "lr":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.set_title(term)
    axes.set_xlabel("step")
