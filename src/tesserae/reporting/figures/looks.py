"""What a tokenizer that looks at crops draws after each of them, and at last: COMiT, Figs. 3, 4 and 10.

Shapes: K images, C crops, H x W pixels; images are uint8 (..., H, W, 3).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import SIDE, Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.figure_inputs import measured, reasons_by_label

NONE: Mapping[str, str] = MappingProxyType({})
MOST = 8  # rows of a sheet: policies share them
ORDER = "plasma"  # colours of frames, from the first crop to the last
WIDTH = 48  # a frame is a 48th of an image wide


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the policy in every row what a tokenizer `looks` at and draws, of the stage `looks`."""
    found, metrics = {}, {}
    for label, arrays, numbers in measured(work, "policies", "looks", "looks.npz"):
        found[label], metrics[label] = arrays, seeds.over_seeds(numbers)
    reasons = reasons_by_label(work, "policies", "looks")
    plot(stem, policies=found, numbers=metrics, reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path,
    *,
    policies: Mapping[str, Mapping[str, np.ndarray]],
    numbers: Mapping[str, Mapping[str, Any]],
    scale: str,
    reasons: Mapping[str, str] = NONE,
) -> list[Path]:
    """A row for each image under each policy: the image with its crops, what is drawn at last, and after each crop.

    policies: label -> arrays of the stage `looks`; numbers: label -> its metrics.json over seeds. Images are evenly
    spaced ones, as many as there is room for, and the same under all policies.
    """
    title = f"What is drawn after each crop (scale {scale})"
    if not policies:
        return empty_sheet(stem, reasons, title)
    most, rows = max(1, MOST // len(policies)), []
    for label, arrays in policies.items():
        chosen = np.linspace(0, len(arrays["originals"]) - 1, min(most, len(arrays["originals"]))).astype(int)
        rows += [(label if not at else " ", _row(arrays, image)) for at, image in enumerate(chosen)]
    crops = max(len(arrays["views"]) for arrays in policies.values())
    counted = [f"{many} crop" + "s" * (many > 1) for many in range(1, crops + 1)]
    rows += [(label, why) for label, why in reasons.items()]
    with style.look():
        figure = draw_sheet(rows, ["crops", "drawn", *counted], title, breaks=len(chosen) if not reasons else 0)
        notes = [
            "Frames: where crops are, from the first, dark, to the last, light",
            "Drawn: by all steps with guidance, after the last crop; after each crop: in one step without guidance, "
            "which shows the mean of what may be there",
            *(_numbers(label, metrics) for label, metrics in numbers.items()),
            "Pictures are those of the first seed",
        ]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _row(arrays: Mapping[str, np.ndarray], image: int) -> Row:
    """The pictures of one image, (2 + C, H, W, 3), enlarged so that frames are thin."""
    factor = max(1, math.ceil(SIDE / min(arrays["originals"].shape[1:3])))
    pictures = [arrays["originals"][image], arrays["reconstructions"][image], *arrays["views"][:, image]]
    large = np.stack(pictures).repeat(factor, axis=1).repeat(factor, axis=2)
    large[0] = framed(large[0], arrays["boxes"][:, image] * factor)
    return large


def framed(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) with a frame along the inner edge of each of the boxes (C, 4): left, top, width, height."""
    from matplotlib import colormaps

    found, thick = image.copy(), max(1, round(min(image.shape[:2]) / WIDTH))
    for place, (left, top, width, height) in enumerate(boxes.tolist()):
        colour = np.round(255 * np.array(colormaps[ORDER](place / max(1, len(boxes) - 1))[:3])).astype(np.uint8)
        inside = (slice(top, top + height), slice(left, left + width))
        for edge in (np.s_[:thick], np.s_[-thick:], np.s_[:, :thick], np.s_[:, -thick:]):
            found[inside][edge] = colour
    return found


def _numbers(label: str, metrics: Mapping[str, Any]) -> str:
    values = metrics["values"]
    said = f"PSNR {values['psnr']:.2f} dB, in one step {values['view_psnr']:.2f} dB, rFID {values['rfid']:.1f}"
    return f"{label}, over all validation images: {said}; {seeds.spread([metrics])}"
