"""The embedded corpus: Noto Color Emoji glyphs with Unicode's names, drawn on seeded backgrounds.

`data/emoji/build.py` makes the corpus file. A training image is a pure function of (seed, glyph, variant, size): which
other images are drawn, and in which order, changes nothing.

Shapes: N glyphs, M images to draw, S image side.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tesserae.data.base import Labelled
from tesserae.data.errors import DataError

REBUILD = "Restore the file and SHA256SUMS from version control, or rebuild both with data/emoji/build.py."

# DECISION: how glyphs are shown; no paper uses this corpus. Mild enough that a small network can learn it.
SCALES = (0.65, 1.0)  # side of the glyph, as a fraction of the image side
SOLID = 1 / 3  # fraction of one-colour backgrounds; the others fade between two colours of similar hue
LOWEST, HIGHEST = np.array([0.0, 0.08, 0.58]), np.array([1.0, 0.40, 0.96])  # hue (turns), saturation, value
SHIFT = np.array([0.12, 0.15, 0.25])  # largest difference of each between the two colours of a gradient
CANDIDATES = 4  # backgrounds drawn; the one that differs most from the glyph's outline is used


class Corpus(NamedTuple):
    """The glyphs, in Unicode's order; all fields have length N."""

    images: np.ndarray  # (N, 64, 64, 4) uint8, RGBA, not premultiplied
    names: tuple[str, ...]  # "grinning face"
    groups: tuple[str, ...]  # one of 9
    subgroups: tuple[str, ...]  # one of 99
    codepoints: tuple[str, ...]  # "1F468-200D-1F4BB"; unique


class Split(NamedTuple):
    """Indices of glyphs, sorted; no glyph is in both."""

    train: np.ndarray  # int64
    val: np.ndarray  # int64


class Appearance(NamedTuple):
    """How one image shows its glyph. Colours are RGB in [0, 1]."""

    scale: float  # side of the glyph / side of the image
    left: float  # fraction of the free room that is left of the glyph
    top: float  # fraction of the free room that is above it
    angle: float  # direction of the gradient, radians
    start: np.ndarray  # (3,)
    end: np.ndarray  # (3,)


def load_corpus(path: Path) -> Corpus:
    """Read the corpus file after checking it against SHA256SUMS in the same folder.

    Raises DataError if one of the two files is missing or the checksum differs.
    """
    path = Path(path)
    verify_checksum(path)
    with np.load(path, allow_pickle=False) as file:
        texts = [tuple(file[key].tolist()) for key in ("names", "groups", "subgroups", "codepoints")]
        return Corpus(file["images"], *texts)


def verify_checksum(path: Path) -> None:
    """Compare the file's SHA-256 with its line in SHA256SUMS beside it; DataError if they differ or are missing."""
    sums = path.with_name("SHA256SUMS")
    for needed in (path, sums):
        if not needed.is_file():
            raise DataError(needed, expected="a file of the embedded corpus", found="nothing", remedy=REBUILD)
    listed = {
        name: digest
        for digest, name in (line.split() for line in sums.read_text(encoding="utf-8").splitlines() if line)
    }
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if listed.get(path.name) != digest:
        wanted = listed.get(path.name, f"(no line for {path.name} in SHA256SUMS)")
        raise DataError(path, expected=f"SHA-256 {wanted}", found=digest, remedy=REBUILD)


def classes_of(corpus: Corpus, label: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels (N,) int64 and class names in Unicode's order; `label` is "group" (9) or "subgroup" (99)."""
    columns = {"group": corpus.groups, "subgroup": corpus.subgroups}
    if label not in columns:
        raise ValueError(f"emoji are labelled by 'group' or 'subgroup', not by {label!r}")
    names = tuple(dict.fromkeys(columns[label]))
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[name] for name in columns[label]], dtype=np.int64), names


def split(corpus: Corpus, *, validation_fraction: float, seed: int) -> Split:
    """Divide the glyphs, subgroup by subgroup (hence also by group).

    Each subgroup of n >= 2 glyphs gives round(fraction * n), at least one and not all, to validation; a subgroup of one
    stays in training. Emoji that share one picture (flags of some territories) stay in training, so that no validation
    picture was seen in training.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"validation_fraction must lie between 0 and 1, not {validation_fraction}")
    rng = np.random.default_rng(seed)
    pictures = [image.tobytes() for image in corpus.images]
    copies = Counter(pictures)
    subgroup_of, subgroups = classes_of(corpus, "subgroup")
    val = []
    for subgroup in range(len(subgroups)):
        glyphs = np.flatnonzero(subgroup_of == subgroup)
        unique = np.array([i for i in glyphs if copies[pictures[i]] == 1], dtype=np.int64)
        wanted = min(max(1, round(validation_fraction * len(glyphs))), len(glyphs) - 1)
        val.append(rng.permutation(unique)[:wanted])
    val = np.sort(np.concatenate(val))
    return Split(np.setdiff1d(np.arange(len(corpus.names)), val), val)


def render(corpus: Corpus, glyphs: Sequence[int], variants: Sequence[int], *, size: int, seed: int) -> np.ndarray:
    """Draw M images: glyphs[m] in its variant variants[m]. Returns uint8 (M, S, S, 3) with S = `size`.

    Not mirrored: the flip is an augmentation of the training.
    """
    stream = render_stream(corpus, glyphs, variants, size=size, seed=seed)
    return np.stack(list(stream)) if len(glyphs) else np.empty((0, size, size, 3), np.uint8)


def render_stream(
    corpus: Corpus, glyphs: Sequence[int], variants: Sequence[int], *, size: int, seed: int
) -> Iterator[np.ndarray]:
    """As `render`, one uint8 (S, S, 3) at a time."""
    for glyph, variant in zip(glyphs, variants, strict=True):
        picture = corpus.images[glyph]
        appearance = draw_appearance(picture, seed=seed, glyph=int(glyph), variant=int(variant))
        yield compose(picture, appearance, size)


def draw_appearance(picture: np.ndarray, *, seed: int, glyph: int, variant: int) -> Appearance:
    """The random choices for one image, from a random stream of its own."""
    rng = np.random.default_rng((seed, glyph, variant))
    scale = SCALES[0] + (SCALES[1] - SCALES[0]) * rng.random()
    left, top, turn, solid = rng.random(4)
    first = LOWEST + (HIGHEST - LOWEST) * rng.random((CANDIDATES, 3))
    second = first + SHIFT * (2 * rng.random((CANDIDATES, 3)) - 1)
    second[:, 1:] = np.clip(second[:, 1:], LOWEST[1:], HIGHEST[1:])
    colours = hsv_to_rgb(np.stack([first, second], axis=1))  # (candidates, 2, 3)
    if solid < SOLID:
        colours[:, 1] = colours[:, 0]
    contrast = np.abs(colours - outline_colour(picture)).sum(-1).min(-1)
    start, end = colours[contrast.argmax()]
    return Appearance(scale, left, top, 2 * math.pi * turn, start, end)


def outline_colour(picture: np.ndarray) -> np.ndarray:
    """Mean RGB in [0, 1] of the opaque pixels of an RGBA picture that touch a transparent one or the border."""
    opaque = np.zeros((picture.shape[0] + 2, picture.shape[1] + 2), dtype=bool)
    opaque[1:-1, 1:-1] = picture[..., 3] > 127
    inner = opaque[:-2, 1:-1] & opaque[2:, 1:-1] & opaque[1:-1, :-2] & opaque[1:-1, 2:]
    return picture[opaque[1:-1, 1:-1] & ~inner, :3].mean(0) / 255


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Hue (in turns, wraps around), saturation and value (..., 3) to RGB (..., 3), all in [0, 1]."""
    hue, saturation, value = hsv[..., 0:1], hsv[..., 1:2], hsv[..., 2:3]
    position = (6 * hue + np.array([5.0, 3.0, 1.0])) % 6
    return value * (1 - saturation * np.clip(np.minimum(position, 4 - position), 0, 1))


def compose(picture: np.ndarray, appearance: Appearance, size: int) -> np.ndarray:
    """Lay an RGBA picture over its background: uint8 (S, S, 3). Resized with premultiplied alpha, so without halos."""
    side = max(1, round(appearance.scale * size))
    left, top = (round(fraction * (size - side)) for fraction in (appearance.left, appearance.top))
    premultiplied = Image.fromarray(picture).convert("RGBa")
    glyph = np.asarray(premultiplied.resize((side, side), Image.Resampling.HAMMING), dtype=np.float32)
    canvas = background(appearance, size)
    under = canvas[top : top + side, left : left + side]
    under *= 1 - glyph[..., 3:] / 255
    under += glyph[..., :3]
    return (canvas + 0.5).astype(np.uint8)  # in range: no premultiplied colour exceeds its alpha


def background(appearance: Appearance, size: int) -> np.ndarray:
    """A linear gradient from `start` to `end` across the whole image: float32 (S, S, 3) in [0, 255]."""
    across, down = math.cos(appearance.angle), math.sin(appearance.angle)
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    progress = 0.5 + (steps * across + steps[:, None] * down) / (abs(across) + abs(down))  # (S, S) in [0, 1]
    colours = 255 * (appearance.start + progress[..., None] * (appearance.end - appearance.start))
    return colours.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Emoji(Labelled):
    """The embedded corpus: each glyph is drawn in several variants. `label` is "group" (9 classes) or "subgroup" (99).

    `seed` decides the split of the glyphs and every drawing.
    """

    root: Path | None
    label: str
    validation_fraction: float
    train_variants: int
    val_variants: int
    seed: int
    name = "emoji"
    layout = "the corpus file emoji.npz (shipped as data/emoji/emoji.npz)"

    def __post_init__(self):
        if min(self.train_variants, self.val_variants) < 1:
            raise ValueError(f"each split needs a variant, not {self.train_variants} and {self.val_variants}")

    @cached_property
    def corpus(self) -> Corpus:
        return load_corpus(self.need_root(self.layout))

    @cached_property
    def classes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Label of each glyph, and the names."""
        return classes_of(self.corpus, self.label)

    @cached_property
    def glyphs(self) -> Split:
        return split(self.corpus, validation_fraction=self.validation_fraction, seed=self.seed)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes[1]

    def problems(self) -> Iterator[DataError]:
        classes_of(self.corpus, self.label)  # refuses an unknown label
        return self.need_images()

    def drawings(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Glyph and variant of every image of the split, all variants of a glyph together."""
        glyphs, variants = {
            "train": (self.glyphs.train, self.train_variants),
            "val": (self.glyphs.val, self.val_variants),
        }[split]
        return np.repeat(glyphs, variants), np.tile(np.arange(variants), len(glyphs))

    def keys(self, split: str) -> list[str]:
        points = self.corpus.codepoints
        return [f"{points[glyph]}/{variant}" for glyph, variant in zip(*self.drawings(split), strict=True)]

    def labels(self, split: str) -> np.ndarray:
        return self.classes[0][self.drawings(split)[0]]

    def captions(self, split: str) -> list[str]:
        """Unicode's name of each image's glyph."""
        return [self.corpus.names[glyph] for glyph in self.drawings(split)[0]]

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        glyphs, variants = (entries[start:] for entries in self.drawings(split))
        return render_stream(self.corpus, glyphs, variants, size=size, seed=self.seed)
