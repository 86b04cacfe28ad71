"""Build the embedded corpus `emoji.npz` from the Debian packages fonts-noto-color-emoji and unicode-data.

    apt-get install fonts-noto-color-emoji unicode-data
    python data/emoji/build.py            # writes emoji.npz, SHA256SUMS and the two licence files beside this script
    python data/emoji/build.py --check    # rebuilds in memory and compares with the shipped file

Every fully-qualified emoji of Unicode's emoji-test.txt that has no skin-tone modifier becomes one 64 x 64 RGBA image.
A sequence is turned into one glyph with the font's own ligature table, and the glyph's colour bitmap (136 x 128 pixels,
artwork in the middle 128 columns) is averaged over 2 x 2 blocks. All arithmetic is in integers: the arrays depend on no
version of numpy or Pillow. Needs fontTools besides the project's own dependencies.
"""

import argparse
import hashlib
import io
import re
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image

HERE = Path(__file__).resolve().parent
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
EMOJI_TEST = Path("/usr/share/unicode/emoji/emoji-test.txt")
FONT_COPYRIGHT = Path("/usr/share/doc/fonts-noto-color-emoji/copyright")
UNICODE_COPYRIGHT = Path("/usr/share/doc/unicode-data/copyright")

SIDE = 64
VARIATION_SELECTOR = 0xFE0F  # "show as a picture": the font has no glyph for it and needs none
SKIN_TONES = range(0x1F3FB, 0x1F400)
PLACEHOLDERS = (".notdef", "glyph01467")  # missing glyph, and the flag with a question mark for unknown regions
LEAST_COVERAGE = 0.02  # share of pixels that must be visible; the smallest real glyphs cover 6 %
LINE = re.compile(r"(?P<points>[0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E[\d.]+ (?P<name>.+)")


def read_emoji_test(path: Path) -> list[tuple[tuple[int, ...], str, str, str]]:
    """(code points, name, group, subgroup) of every fully-qualified emoji without skin tone, in Unicode's order."""
    rows, group, subgroup = [], "", ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ")
        elif line.startswith("# subgroup: "):
            subgroup = line.removeprefix("# subgroup: ")
        elif match := LINE.fullmatch(line):
            points = tuple(int(point, 16) for point in match["points"].split())
            if not any(point in SKIN_TONES for point in points):
                rows.append((points, match["name"], group, subgroup))
    return rows


class ColourFont:
    """The ligatures and bitmaps of a CBDT colour font."""

    def __init__(self, path: Path):
        font = TTFont(path)
        self.version = font["name"].getDebugName(5)
        self.copyright = font["name"].getDebugName(0)
        self.characters = font.getBestCmap()
        self.ligatures = font["GSUB"].table.LookupList.Lookup[0].SubTable[0].ligatures
        self.bitmaps = font["CBDT"].strikeData[0]
        self.placeholders = [self.pixels(name).tobytes() for name in PLACEHOLDERS if name in self.bitmaps]

    def shape(self, points: tuple[int, ...]) -> list[str]:
        """Glyph names of a sequence after the longest ligatures are taken, left to right."""
        left = [self.characters.get(point, ".notdef") for point in points if point != VARIATION_SELECTOR]
        glyphs = []
        while left:
            fitting = [x for x in self.ligatures.get(left[0], []) if left[1 : 1 + len(x.Component)] == x.Component]
            longest = max(fitting, key=lambda x: len(x.Component), default=None)
            glyphs.append(longest.LigGlyph if longest else left[0])
            left = left[1 + len(longest.Component) if longest else 1 :]
        return glyphs

    def pixels(self, glyph: str) -> np.ndarray:
        """The bitmap of a glyph, RGBA (128, 136, 4) uint8."""
        return np.asarray(Image.open(io.BytesIO(self.bitmaps[glyph].imageData)).convert("RGBA"))


def halve(pixels: np.ndarray) -> np.ndarray:
    """RGBA (128, 136, 4) to (64, 64, 4): central 128 columns, 2 x 2 means with colours weighted by their alpha."""
    margin = (pixels.shape[1] - 2 * SIDE) // 2
    if pixels.shape[0] != 2 * SIDE or pixels[:, :margin, 3].any() or pixels[:, margin + 2 * SIDE :, 3].any():
        raise ValueError(f"artwork outside the central {2 * SIDE} x {2 * SIDE} pixels of a bitmap of {pixels.shape}")
    blocks = pixels[:, margin : margin + 2 * SIDE].astype(np.int64).reshape(SIDE, 2, SIDE, 2, 4)
    alpha = blocks[..., 3:].sum((1, 3))  # 0 ... 4 * 255
    colour = (blocks[..., :3] * blocks[..., 3:]).sum((1, 3))
    colour = (colour + alpha // 2) // np.maximum(alpha, 1)
    out = np.concatenate([colour, (alpha + 2) // 4], axis=-1)
    out[out[..., 3] == 0] = 0
    return out.astype(np.uint8)


def why_not(font: ColourFont, points: tuple[int, ...]) -> str | None:
    """The reason why this emoji has no usable picture, or None."""
    glyphs = font.shape(points)
    if len(glyphs) != 1:
        return f"the font has no single glyph for it ({' '.join(glyphs)})"
    if glyphs[0] not in font.bitmaps:
        return f"glyph {glyphs[0]} has no bitmap"
    pixels = font.pixels(glyphs[0])
    if pixels.tobytes() in font.placeholders:
        return f"glyph {glyphs[0]} is the placeholder for unknown emoji"
    visible = pixels[..., 3] > 127
    if visible.mean() < LEAST_COVERAGE:
        return f"glyph {glyphs[0]} is blank"
    return None


def build(font: ColourFont, emoji_test: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The corpus as named arrays, and one line for every emoji that was skipped."""
    kept, skipped = [], []
    for points, name, group, subgroup in read_emoji_test(emoji_test):
        codes = "-".join(f"{point:04X}" for point in points)
        if reason := why_not(font, points):
            skipped.append(f"{codes} {name}: {reason}")
        else:
            kept.append((halve(font.pixels(font.shape(points)[0])), name, group, subgroup, codes))
    images, *texts = zip(*kept, strict=True)
    arrays = {"images": np.stack(images)}
    for key, column in zip(("names", "groups", "subgroups", "codepoints"), texts, strict=True):
        arrays[key] = np.array(column)
    return arrays, skipped


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A compressed .npz with a fixed date and fixed order, so that rebuilding gives the same bytes (same zlib)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(entry, data.getvalue(), compresslevel=9)


def licence_texts(font: ColourFont) -> dict[str, str]:
    """The two licence files, taken from the packages' own copyright files."""
    lines = FONT_COPYRIGHT.read_text(encoding="utf-8").splitlines()
    files = lines.index("Files:     fonts/*")
    holders = [line.removeprefix("Copyright:").strip() for line in lines[files + 1 : files + 3]]
    start = len(lines) - lines[::-1].index("License:   SIL-1.1")  # the licence's own paragraph is the last
    ofl = ["" if line.strip() == "." else line.strip() for line in lines[start:]]
    head = [f"Noto Color Emoji: Copyright {', '.join(holders)}", f"(in the font file itself: {font.copyright})", ""]
    notice = UNICODE_COPYRIGHT.read_text(encoding="utf-8").splitlines()
    notice = [line.rstrip() for line in notice[notice.index("EXHIBIT 1") + 1 :]]
    version = ["Names, groups and subgroups of emoji: emoji-test.txt, © 2022 Unicode®, Inc.", ""]
    return {
        "LICENSE-OFL.txt": "\n".join(head + ofl).strip() + "\n",
        "LICENSE-UNICODE.txt": "\n".join(version + notice).strip() + "\n",
    }


def describe(arrays: dict[str, np.ndarray], skipped: list[str]) -> None:
    """Print what the corpus holds, and everything that was left out."""
    subgroups = set(zip(arrays["groups"], arrays["subgroups"], strict=True))
    print(f"{len(arrays['names'])} glyphs, {len(set(arrays['groups']))} groups, {len(subgroups)} subgroups")
    for group, count in Counter(arrays["groups"].tolist()).items():
        print(f"  {count:4d}  {group}")
    pictures = Counter(picture.tobytes() for picture in arrays["images"])
    repeated = [n for n in pictures.values() if n > 1]
    print(f"{len(repeated)} pictures stand for more than one emoji ({sum(repeated)} emoji)")
    print(f"{len(skipped)} skipped", *skipped, sep="\n  ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the shipped file instead of writing it")
    check = parser.parse_args().check
    for path in (FONT, EMOJI_TEST, FONT_COPYRIGHT, UNICODE_COPYRIGHT):
        if not path.is_file():
            print(f"{path} is missing: apt-get install fonts-noto-color-emoji unicode-data", file=sys.stderr)
            return 1
    font = ColourFont(FONT)
    arrays, skipped = build(font, EMOJI_TEST)
    print(font.version)
    describe(arrays, skipped)
    target = HERE / "emoji.npz"
    if check:
        with np.load(target) as shipped:
            differing = [key for key in arrays if not np.array_equal(arrays[key], shipped[key])]
        print(f"differs from {target.name}: {', '.join(differing)}" if differing else f"equal to {target.name}")
        return int(bool(differing))
    write_npz(target, arrays)
    for name, text in licence_texts(font).items():
        (HERE / name).write_text(text, encoding="utf-8")
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    (HERE / "SHA256SUMS").write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
