"""ConceptTok, Figs. 3 to 5: what concepts look like, what a tokenizer finds for them, and how its latents cluster.

Functions write `stem`.png, .svg and .pdf and return the paths. What they draw is what stages left, by tokenizer label,
once for each seed, never if a tokenizer was not run: arrays of examples.npz or clusters.npz; and `numbers`, the
metrics.json over its seeds (`reporting.seeds.over_seeds`), None if it was not run. Pictures are of the first seed.

Shapes: S concepts, I images of each, H x W pixels, G x G patches, N points.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tesserae.reporting import seeds, style
from tesserae.reporting.figures import FigureError, draw_sheet, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Arrays = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
Numbers = Mapping[str, Mapping[str, Any] | None]

DARK = 30 / 255  # what is left of a patch's light where the concept does not fire (the public PatchSAE demo)
HIT = "#009e73"
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
LEAKAGE = "the tokenizer reads the class prompt here as well"


def concepts(stem: str | Path, *, tokenizers: Arrays, numbers: Numbers, scale: str) -> list[Path]:
    """Fig. 3: for each concept the patches that fire, and below them the images that each tokenizer finds for it.

    Framed are found images that have the concept in their set. Raises FigureError if tokenizers were shown different
    concepts or images, or if there is nothing to show.
    """
    found, first = _same(tokenizers, ("concepts", "names", "images", "fires"))
    rows, hits = [], {}
    for index, head in enumerate(_heads(first)):
        rows.append((head, shade(first["images"][index], first["fires"][index])))
        for label, arrays in found.items():
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
        figure = draw_sheet(rows, ranks, "Concepts and what is found for them", breaks=len(rows) // len(first["names"]))
        _frame(figure, hits)
        note(figure, [*notes, _names(first), *_prompted(found), *_rest(tokenizers, found, numbers)])
        return style.save(figure, stem)


def concept_images(stem: str | Path, *, tokenizers: Arrays, scale: str) -> list[Path]:
    """Fig. 5: for each concept the images in which it is strongest, one row. Raises FigureError as `concepts`."""
    _, first = _same(tokenizers, ("concepts", "names", "images"))
    rows = list(zip(_heads(first), first["images"], strict=True))
    with style.look():
        figure = draw_sheet(rows, [""] * first["images"].shape[1], "Images in which a concept is strongest")
        note(figure, [f"Scale {scale}. Validation images by the mean activation of their patches", _names(first)])
        return style.save(figure, stem)


def clusters(stem: str | Path, *, tokenizers: Arrays, numbers: Numbers, scale: str) -> list[Path]:
    """Fig. 4: t-SNE of latents, coloured by concept, one panel per tokenizer, its silhouette and purity in the title.

    Raises FigureError if tokenizers were shown different concepts or images, or if there is nothing to show.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    found, first = _same(tokenizers, ("concepts", "names", "labels"))
    columns = 2 if len(found) == 4 else min(3, len(found))
    lines = -(-len(found) // columns)
    with style.look():
        figure = Figure(figsize=(max(6.0, 3.5 * columns), 3.8 * lines + 1.6), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, (label, arrays) in zip(panels, found.items(), strict=False):
            for index, (colour, marker) in enumerate(_marks(first)):
                x, y = arrays["points"][arrays["labels"] == index].T
                axes.scatter(x, y, s=14, color=colour, marker=marker, alpha=0.8, linewidths=0)
            axes.set_title(f"{label}\n{_separation(numbers[label])}")
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            for spine in axes.spines.values():
                spine.set(visible=True, color="#cccccc")
        for axes in panels[len(found) :]:
            axes.set_visible(False)
        told = zip(_marks(first), first["concepts"].tolist(), first["names"].tolist(), strict=True)
        handles = [
            Line2D([], [], linestyle="", color=colour, marker=marker, label=_shorter(f"{number}: {name}"))
            for (colour, marker), number, name in told
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
        note(figure, [*notes, *_prompted(found), *_rest(tokenizers, found, numbers)])
        return style.save(figure, stem)


def shade(images: np.ndarray, fires: np.ndarray) -> np.ndarray:
    """Images (..., H, W, 3) uint8 with all patches darkened but those that fire, bool (..., G, G)."""
    height, width = images.shape[-3:-1]
    down = np.arange(height) * fires.shape[-2] // height
    across = np.arange(width) * fires.shape[-1] // width
    lit = fires[..., down[:, None], across]
    return np.where(lit[..., None], images, np.round(DARK * images)).astype(np.uint8)


def _same(tokenizers: Arrays, names: Sequence[str]) -> tuple[dict[str, Mapping[str, np.ndarray]], Mapping[str, Any]]:
    """The first seed of each tokenizer that was run, and the first of these. FigureError if they differ in `names`."""
    found = {label: runs[0] for label, runs in tokenizers.items() if runs}
    if not found:
        raise FigureError("no tokenizer was run")
    label, first = next(iter(found.items()))
    for other, arrays in found.items():
        for name in names:
            if not np.array_equal(arrays[name], first[name]):
                raise FigureError(f"{name} of {other!r} are not those of {label!r}")
    return found, first


def _heads(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """What concepts are called beside their rows: their number and, below, a name if there is one."""
    pairs = zip(arrays["concepts"].tolist(), arrays["names"].tolist(), strict=True)
    return ["\n".join([f"concept {number}", *textwrap.wrap(name, 24)]) for number, name in pairs]


def _shorter(text: str) -> str:
    return textwrap.shorten(text.removesuffix(": "), 34, placeholder="…")


def _marks(arrays: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    return [MARKS[index % len(MARKS)] for index in range(len(arrays["names"]))]


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


def _number(metrics: Mapping[str, Any], name: str) -> str:
    spread = f" ± {metrics['sd'][name]:.2f}" if name in metrics["sd"] else ""
    return f"{metrics['values'][name]:.2f}{spread}"


def _separation(metrics: Mapping[str, Any]) -> str:
    neighbours = metrics["values"]["neighbours"]
    return f"silhouette {_number(metrics, 'silhouette')}, {neighbours:.0f}-NN purity {_number(metrics, 'knn_purity')}"


def _retrieval(label: str, metrics: Mapping[str, Any]) -> str:
    return (
        f"{label}, over {metrics['values']['ranked']:.0f} concepts: mean average precision {_number(metrics, 'map')}, "
        f"precision@{metrics['measure']['first']} {_number(metrics, 'precision')}, by chance "
        f"{metrics['values']['chance']:.3f}; {seeds.spread([metrics])}"
    )


def _names(arrays: Mapping[str, np.ndarray]) -> str:
    low, high = arrays["frequency"].min(), arrays["frequency"].max()
    return (
        "Numbers are of our autoencoder; names are what captions or classes of the shown images have in common. These "
        f"concepts are in the sets of {low:.1%} to {high:.1%} of the training images"
    )


def _prompted(found: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Whose pictures and numbers the class prompt has a part in."""
    told = [label for label, arrays in found.items() if arrays["prompted"]]
    return [f"{', '.join(told)}: {LEAKAGE}"] if told else []


def _rest(tokenizers: Arrays, found: Mapping[str, Any], numbers: Numbers) -> list[str]:
    several = any(metrics and metrics["seeds"] > 1 for metrics in numbers.values())
    missing = [label for label in tokenizers if label not in found]
    notes = ["Pictures: first seed"] if several else []
    return (
        notes
        + ["The paper shows pictures and prints no number"]
        + ([f"Not run: {', '.join(missing)}"] if missing else [])
    )
