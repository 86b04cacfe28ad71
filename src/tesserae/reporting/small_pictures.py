"""Figures small enough for a git repository."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

WIDEST = 1200  # pixels
HEAVIEST = 150_000  # bytes
SHRINKING = 0.85  # of each side, until a picture is light enough


def shrink(file: Path, *, widest: int = WIDEST, heaviest: int = HEAVIEST) -> bytes:
    """A picture as PNG of at most `widest` pixels a line and `heaviest` bytes, on white, in at most 256 colours.

    The same file gives the same bytes (with the same Pillow). A picture that is small enough stays as it is.
    """
    from PIL import Image

    raw = file.read_bytes()
    with Image.open(io.BytesIO(raw)) as opened:
        opened.load()
        if len(raw) <= heaviest and opened.width <= widest:
            return raw
        whole = Image.new("RGB", opened.size, "white")
        rgba = opened.convert("RGBA")
        whole.paste(rgba, mask=rgba.getchannel("A"))
    width = min(widest, whole.width)
    while True:
        found = _encoded(whole, width)
        if len(found) <= heaviest or width == 1:
            return found
        width = max(1, int(width * SHRINKING))


def _encoded(whole: "Image", width: int) -> bytes:
    from PIL import Image

    height = max(1, round(whole.height * width / whole.width))
    small = whole if width == whole.width else whole.resize((width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
