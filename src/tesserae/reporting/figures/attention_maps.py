"""What tokens attend to: a row for each image, a column for each of some tokens (COMiT, Fig. 6)."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import style
from tesserae.reporting.drawing import Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.objects import Found, evenly, laid_over, read_objects

NONE: Mapping[str, str] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row what it makes of `objects`, of the stage `objectness`."""
    found, reasons = read_objects(work)
    plot(stem, tokenizers=found, reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path, *, tokenizers: Mapping[str, Found], scale: str, reasons: Mapping[str, str] = NONE, most: int = 6
) -> list[Path]:
    """At most `most` images of each tokenizer, each with the maps of the tokens that were kept of it."""
    title = f"What tokens attend to (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    rows: list[tuple[str, Row]] = []
    columns = 0
    for label, found in tokenizers.items():
        images, maps = found.arrays["originals"], found.arrays["maps"]  # (K, S, S, 3), (K, T, G, G)
        columns = max(columns, 1 + maps.shape[1])
        for place in evenly(len(images), most):
            alike = images[place][None].repeat(maps.shape[1], axis=0)
            numbers = ", ".join(map(str, found.arrays["tokens"][place]))
            shown = np.concatenate([images[place][None], laid_over(alike, maps[place])])
            rows.append((f"{label}\ntokens {numbers}", shown))
    with style.look():
        figure = draw_sheet(rows, ["image", "best", *[""] * (columns - 2)], title)
        measure = next(iter(tokenizers.values())).metrics["measure"]
        notes = [
            f"Attention of tokens of the message to positions of the image, block {measure['block']} or in proportion, "
            f"t = {measure['time']:g}, mean over heads; of each map its own scale of colours",
            f"First the token whose map fits the object best at {measure['share']} %, then each time the one that "
            "attends least to where those before do; numbers are places in the message",
            "Pictures are those of the first seed",
        ]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)
