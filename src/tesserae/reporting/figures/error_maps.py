"""Originals, reconstructions, where in an image these differ most, and how fast samples are drawn: TaTok, Fig. 6.

Shapes: K images, H x W pixels; images are uint8 (K, H, W, 3).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import published as printed_numbers
from tesserae.reporting import style
from tesserae.reporting.drawing import FigureError, Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.figure_inputs import first_seeds
from tesserae.reporting.overlays import colours
from tesserae.reporting.tables import same_measure

GROUP = "tokenizers"
SPEED = "T"  # the column of the published table
CITED = "cited by the paper, not run here"
SHARE = 99  # percentile of all errors that has the lightest colour
ALIKE = 0.1  # at most, the mean difference in [-1, 1] of one image that was made for two sizes
NONE: Mapping[str, Any] = MappingProxyType({})

Arrays = Mapping[str, np.ndarray]  # `originals` and `reconstructions`


def draw(work: Work, stem: Path) -> None:
    """Inputs: of every row `images` of the stage `reconstruction`, and the `speed` of its generator if there is one."""
    spec, table = work.spec, work.spec["published"]
    printed: dict[str, float | None] = {}
    if table:
        frame = printed_numbers.load(work.sources["published"])
        labels = [*spec["published_rows"], *(label for _, label in spec["rows"])]
        printed = {label: printed_numbers.lookup(frame, table, label, SPEED) for label in labels}
    plot(
        stem,
        tokenizers=first_seeds(work, GROUP, "images", "images.npz"),
        speeds=first_seeds(work, GROUP, "speed", "metrics.json") if "speed" in spec["inputs"][GROUP] else NONE,
        published=printed,
        published_from=table,
        cited=spec["published_rows"],
        scale=spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Arrays | str],
    scale: str,
    speeds: Mapping[str, Mapping[str, Any] | str] = NONE,
    published: Mapping[str, float | None] = NONE,
    published_from: str | None = None,
    cited: Sequence[str] = (),
    most: int = 6,
) -> list[Path]:
    """Below the originals two rows per tokenizer, at most `most` images in each: reconstruction and error map.

    tokenizers: label -> its arrays, or why it was not run; speeds: label -> metrics.json of its generator's throughput,
    or why there is none; published: label -> images a second as printed in `published_from`; cited: labels of which
    nothing is run. The maps of all have one scale of colours; larger images are shown as large as the smallest ones.
    Raises FigureError if originals show different images, TableError for speeds that were measured in two ways.
    """
    found = {label: arrays for label, arrays in tokenizers.items() if not isinstance(arrays, str)}
    reasons = {label: arrays for label, arrays in tokenizers.items() if isinstance(arrays, str)}
    timed = {label: speed for label, speed in speeds.items() if not isinstance(speed, str)}
    same_measure({label: speed["measure"] for label, speed in timed.items()}, where="images a second")
    title = f"Reconstructions and their errors (scale {scale})"
    nothing = dict.fromkeys(cited, CITED) | reasons
    if not found:
        return empty_sheet(stem, nothing, title)
    side = min(arrays["originals"].shape[1] for arrays in found.values())
    smallest = next(arrays["originals"] for arrays in found.values() if arrays["originals"].shape[1] == side)
    for label, arrays in found.items():
        if not show_the_same(arrays["originals"], smallest):
            raise FigureError(f"reconstructions of different images stand in one figure: see {label}")
    chosen = np.linspace(0, len(smallest) - 1, min(most, len(smallest))).astype(int)
    errors = {
        label: error_map(arrays["originals"][chosen], arrays["reconstructions"][chosen])
        for label, arrays in found.items()
    }
    highest = float(np.percentile(np.concatenate([error.ravel() for error in errors.values()]), SHARE))
    rows: list[tuple[str, Row]] = [("original", smallest[chosen])]
    rows += [(label, CITED) for label in cited]
    for label in tokenizers:
        if label in reasons:
            rows.append((label, reasons[label]))
            continue
        speed = f" ({timed[label]['values']['samples_per_second']:.3g}/s)" if label in timed else ""
        rebuilt = at_side(found[label]["reconstructions"][chosen], side)
        rows += [(label + speed, rebuilt), ("its error", at_side(colours(errors[label], highest), side))]
    with style.look():
        figure = draw_sheet(rows, [""] * len(chosen), title)
        mean = ", ".join(f"{label} {error.mean():.3f}" for label, error in errors.items())
        notes = [
            "Error: the absolute difference of values in [-1, 1], averaged over channels; black is none, the lightest "
            f"colour {highest:.2f} and more",
            f"Mean over these images: {mean}",
            *_of_speeds(timed, {label: speeds[label] for label in found if isinstance(speeds.get(label), str)}),
            *_of_published(published, published_from),
            "Pictures are those of the first seed",
        ]
        notes += [f"Not run: {left_out(nothing)}"] if nothing else []
        note(figure, notes)
        return style.save(figure, stem)


def error_map(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Mean over channels of |x - x'|, of images (K, H, W, 3) read as values in [-1, 1]: (K, H, W)."""
    return np.abs(originals.astype(np.float32) - reconstructions).mean(axis=-1) / 127.5


def at_side(images: np.ndarray, side: int) -> np.ndarray:
    """Images (K, H, H, 3) made smaller, or as they are: (K, side, side, 3)."""
    from PIL import Image

    if images.shape[1] == side:
        return images
    return np.stack([Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in images])


def show_the_same(images: np.ndarray, smaller: np.ndarray) -> bool:
    """Whether two data sets' versions of images, of two sizes or of one, show the same."""
    if len(images) != len(smaller) or images.shape[1] == smaller.shape[1]:
        return np.array_equal(images, smaller)
    differences = error_map(at_side(images, smaller.shape[1]), smaller).mean(axis=(1, 2))
    return bool((differences <= ALIKE).all())


def _of_speeds(timed: Mapping[str, Mapping[str, Any]], reasons: Mapping[str, str]) -> list[str]:
    """What a note says of the numbers in parentheses; reasons: why tokenizers that are shown have none."""
    device = next((speed["measure"]["device"] for speed in timed.values()), None)
    said = [] if device is None else [f"In parentheses images a second, drawn and decoded, on {device}"]
    return said + ([f"Not timed: {left_out(reasons)}"] if reasons else [])


def _of_published(printed: Mapping[str, float | None], table: str | None) -> list[str]:
    """What a note says of printed speeds."""
    numbers = ", ".join(f"{label} {number:g}" for label, number in printed.items() if number is not None)
    return [f"Images a second on an A100 as printed in {table}: {numbers}"] if numbers else []
