"""Which patches are kept of pictures that show nothing: white, black, noise: TaTok, Fig. 8."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.kept import Kept, percent, read_kept
from tesserae.reporting.overlays import colours, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NONE: Mapping[str, str] = MappingProxyType({})
EDGE = "#cccccc"  # around a picture, which may be as white as the page
LIT, DIM = np.array([120, 190, 140], np.uint8), np.array([40, 40, 40], np.uint8)  # patches that are kept, and others


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row what it `kept`, of the stage `kept_tokens`."""
    found, reasons = read_kept(work)
    plot(stem, tokenizers=found, reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path, *, tokenizers: Mapping[str, Kept], scale: str, reasons: Mapping[str, str] = NONE
) -> list[Path]:
    """Three rows per tokenizer, a column for each picture: the picture, its kept patches, its scores."""
    title = f"Patches kept of pictures that show nothing (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    rows: list[tuple[str, Row]] = []
    for label, (arrays, _, _) in tokenizers.items():
        pictures = arrays["blanks"]
        size = pictures.shape[1:3]
        scores = spread(arrays["blank_scores"], *size)
        rows += [
            (label, pictures),
            ("kept", np.where(spread(arrays["blank_kept"], *size)[..., None], LIT, DIM)),
            ("score", np.stack([colours(one, one.max()) for one in scores])),
        ]
    names = [str(name) for name in next(iter(tokenizers.values())).arrays["blank_names"]]
    with style.look():
        figure = draw_sheet(rows, names, title, breaks=3)
        _frame(figure.axes[0], range(0, len(rows), 3))
        notes = ["Kept patches are green. Scores: a scale of colours for each picture"]
        for label, (arrays, metrics, _) in tokenizers.items():
            values = metrics["values"]
            said = "; ".join(
                f"{name}: {values[f'patches_{name}']:.1f} patches, "
                f"left or right {percent(values[f'left_right_{name}'])}, "
                f"top or bottom {percent(values[f'top_bottom_{name}'])}"
                for name in names
            )
            rate = float(arrays["blank_epsilon"])
            notes.append(
                f"{label}, ε = {rate:g}: {said}; by chance {percent(values['chance'])}; {seeds.spread([metrics])}"
            )
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _frame(axes: "Axes", lines: Iterable[int]) -> None:
    """A thin line around each picture of some rows of a sheet."""
    from matplotlib.patches import Rectangle

    xs, ys = axes.get_xticks(), axes.get_yticks()
    side = 2 * ys[0]  # the first row's centre is half an image below the edge
    for line in lines:
        for x in xs:
            corner = x - side / 2, ys[line] - side / 2
            axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=EDGE, linewidth=0.8, clip_on=False))
