"""How the latents of tokenizers cluster by concept: ConceptTok, Fig. 4."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.concept_pictures import (
    Arrays,
    Numbers,
    further_notes,
    prompted_among,
    read_arrays,
    read_numbers,
    rounded,
    shared_by,
)
from tesserae.reporting.drawing import empty_sheet, note, say_empty
from tesserae.reporting.figure_inputs import reasons_by_label

NONE: Mapping[str, str] = MappingProxyType({})
# Colour and marker of each concept; colours after Okabe and Ito as far as they go.
MARKS = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#e69f00", "v"),
    ("#56b4e9", "P"),
    ("#5e3c99", "X"),
    ("#8c510a", "<"),
    ("#7f7f7f", ">"),
    ("#a0b000", "*"),
)


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `clusters`, those of the stage `latent_clusters`."""
    tokenizers = read_arrays(work, "clusters", "clusters.npz")
    why = reasons_by_label(work, "tokenizers", "clusters")
    plot(stem, tokenizers=tokenizers, numbers=read_numbers(work, "clusters"), scale=work.spec["scale"], reasons=why)


def plot(
    stem: str | Path, *, tokenizers: Arrays, numbers: Numbers, scale: str, reasons: Mapping[str, str] = NONE
) -> list[Path]:
    """t-SNE of latents, coloured by concept, one panel per tokenizer, its silhouette and purity in the title.

    reasons: label -> why it was not run; its panel is empty and says so. Raises FigureError if tokenizers were
    shown different concepts or images, or if there is nothing to show.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if not any(tokenizers.values()) and reasons:
        return empty_sheet(stem, reasons, "Latents by concept")
    found, first = shared_by(tokenizers, ("concepts", "names", "labels"))
    shown = [label for label in tokenizers if label in found or label in reasons]
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    lines = -(-len(shown) // columns)
    with style.look():
        figure = Figure(figsize=(max(6.0, 3.5 * columns), 3.8 * lines + 1.6), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, label in zip(panels, shown, strict=False):
            for spine in axes.spines.values():
                spine.set(visible=True, color="#cccccc")
            if label in reasons:
                say_empty(axes, [reasons[label]])
                axes.set_title(label)
                continue
            arrays = found[label]
            for index, (colour, marker) in enumerate(_marks(first)):
                x, y = arrays["points"][arrays["labels"] == index].T
                axes.scatter(x, y, s=14, color=colour, marker=marker, alpha=0.8, linewidths=0)
            axes.set_title(f"{label}\n{_separation(numbers[label])}")
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        legend = zip(_marks(first), first["concepts"].tolist(), first["names"].tolist(), strict=True)
        handles = [
            Line2D([], [], linestyle="", color=colour, marker=marker, label=_shorter(f"{number}: {name}"))
            for (colour, marker), number, name in legend
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=columns + (columns > 1), fontsize=8)
        values = next(metrics["values"] for metrics in numbers.values() if metrics)
        notes = [
            f"Scale {scale}. t-SNE of the mean latent of {values['points']:.0f} validation images, each with the one "
            f"of {len(first['names'])} concepts that is strongest in it; {seeds.spread(numbers.values())}",
            f"Silhouette and {values['neighbours']:.0f}-NN purity: cosine, on the first principal components; purity "
            f"by chance: {values['chance']:.2f}",
            f"{values['same_class']:.0%} of the images are of the commonest class of their concept",
        ]
        note(figure, [*notes, *prompted_among(found), *further_notes(reasons, numbers)])
        return style.save(figure, stem)


def _shorter(text: str) -> str:
    return textwrap.shorten(text.removesuffix(": "), 34, placeholder="…")


def _marks(arrays: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    return [MARKS[index % len(MARKS)] for index in range(len(arrays["names"]))]


def _separation(metrics: Mapping[str, Any]) -> str:
    neighbours = metrics["values"]["neighbours"]
    return f"silhouette {rounded(metrics, 'silhouette')}, {neighbours:.0f}-NN purity {rounded(metrics, 'knn_purity')}"
