"""Which patches are kept as more and more information may be lost: TaTok, Fig. 7."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.kept import Kept, percent, read_kept
from tesserae.reporting.overlays import shade

NONE: Mapping[str, str] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row what it `kept`, of the stage `kept_tokens`."""
    found, reasons = read_kept(work)
    plot(stem, tokenizers=found, reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path, *, tokenizers: Mapping[str, Kept], scale: str, reasons: Mapping[str, str] = NONE, most: int = 6
) -> list[Path]:
    """Per tokenizer a row of originals, then one for each loss rate with the patches that are not kept darkened.

    At most `most` images. Numbers of a row are over all validation images, not over those that are shown.
    """
    title = f"Patches kept at a growing loss rate ε (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    rows: list[tuple[str, Row]] = []
    for label, (arrays, _, sweep) in tokenizers.items():
        images = arrays["originals"]
        chosen = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
        rows.append((label, images[chosen]))
        for found, kept in zip(sweep, arrays["swept"], strict=True):
            numbers = f"{found['patches']:.1f} patches, {found['left_right']:.0f} % left or right"
            rows.append((f"ε = {found['epsilon']:g}\n{numbers}", shade(images, kept)[chosen]))
    with style.look():
        figure = draw_sheet(rows, [""] * len(rows[0][1]), title, breaks=len(rows) // len(tokenizers))
        notes = [
            "Patches kept on average over the validation images, and how many of them stand in the outermost columns"
        ]
        for label, (arrays, metrics, _) in tokenizers.items():
            values = metrics["values"]
            edges = ", ".join(
                f"{percent(values[f'left_right_{end}'])} and {percent(values[f'top_bottom_{end}'])} at ε = {rate:g}"
                for end, rate in (("lowest", arrays["epsilons"][0]), ("highest", arrays["epsilons"][-1]))
            )
            notes.append(
                f"{label}: left or right, and top or bottom {edges}; by chance {percent(values['chance'])}; "
                + (
                    f"kept sets lie within each other in {percent(values['nested'])} of images; "
                    if "nested" in values
                    else ""
                )
                + seeds.spread([metrics])
            )
        notes += ["Pictures and numbers beside them are those of the first seed"]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)
