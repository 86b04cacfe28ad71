"""What concepts look like, and what a tokenizer finds for them: ConceptTok, Fig. 3.

Shapes: S concepts, I images of each, H x W pixels, G x G patches.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.concept_pictures import (
    Arrays,
    Numbers,
    further_notes,
    heads_of,
    names_of,
    prompted_among,
    read_arrays,
    read_numbers,
    rounded,
    shared_by,
)
from tesserae.reporting.drawing import draw_sheet, empty_sheet, note
from tesserae.reporting.figure_inputs import reasons_by_label
from tesserae.reporting.overlays import shade

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HIT = "#009e73"
NONE: Mapping[str, str] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `examples`, those of the stage `concept_examples`."""
    tokenizers = read_arrays(work, "examples", "examples.npz")
    why = reasons_by_label(work, "tokenizers", "examples")
    plot(stem, tokenizers=tokenizers, numbers=read_numbers(work, "examples"), scale=work.spec["scale"], reasons=why)


def plot(
    stem: str | Path, *, tokenizers: Arrays, numbers: Numbers, scale: str, reasons: Mapping[str, str] = NONE
) -> list[Path]:
    """For each concept the patches that fire, and below them the images that each tokenizer finds for it.

    Framed are found images that have the concept in their set. reasons: label -> why it was not run. Raises
    FigureError if tokenizers were shown different concepts or images, or if there is nothing to show.
    """
    title = "Concepts and what is found for them"
    if not any(tokenizers.values()) and reasons:
        return empty_sheet(stem, reasons, title)
    found, first = shared_by(tokenizers, ("concepts", "names", "images", "fires"))
    rows, hits = [], {}
    for index, head in enumerate(heads_of(first)):
        rows.append((head, shade(first["images"][index], first["fires"][index])))
        for label in tokenizers:
            arrays = found.get(label, {})
            if label in reasons:
                rows.append((label, reasons[label]))
            if "found" in arrays:
                hits[len(rows)] = arrays["has"][index]
                rows.append((label, arrays["found"][index]))
    ranks = [str(rank) for rank in range(1, first["images"].shape[1] + 1)]
    notes = [
        f"Scale {scale}. Validation images, best first. Named row: where the concept is strongest in the autoencoder's "
        "features, the other patches darkened"
    ]
    if hits:
        notes += ["Rows below: where the tokenizer's logit of it is largest; framed: the concept is in the image's set"]
    notes += [_retrieval(label, numbers[label]) for label, arrays in found.items() if "found" in arrays]
    with style.look():
        figure = draw_sheet(rows, ranks, title, breaks=len(rows) // len(first["names"]))
        _frame(figure, hits)
        note(figure, [*notes, names_of(first), *prompted_among(found), *further_notes(reasons, numbers)])
        return style.save(figure, stem)


def _frame(figure: "Figure", hits: Mapping[int, np.ndarray]) -> None:
    """A frame around some images of a sheet: row -> bool (I,)."""
    from matplotlib.patches import Rectangle

    axes = figure.axes[0]
    xs, ys = axes.get_xticks(), axes.get_yticks()
    side = 2 * ys[0]  # the first row's centre is half an image below the edge
    for row, framed in hits.items():
        for x, hit in zip(xs, framed, strict=True):
            if hit:
                corner = x - side / 2, ys[row] - side / 2
                axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=HIT, linewidth=2.2, clip_on=False))


def _retrieval(label: str, metrics: Mapping[str, Any]) -> str:
    return (
        f"{label}, over {metrics['values']['ranked']:.0f} concepts: mean average precision {rounded(metrics, 'map')}, "
        f"precision@{metrics['measure']['first']} {rounded(metrics, 'precision')}, by chance "
        f"{metrics['values']['chance']:.3f}; {seeds.spread([metrics])}"
    )
