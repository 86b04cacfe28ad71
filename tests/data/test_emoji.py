"""The embedded corpus: what is shipped, how it is divided, how it is drawn."""

import colorsys
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.data import emoji
from tesserae.data.errors import DataError

FOLDER = Path(__file__).parents[2] / "data" / "emoji"
CORPUS = emoji.load_corpus(FOLDER / "emoji.npz")
COPIES = Counter(image.tobytes() for image in CORPUS.images)


# What is shipped


def test_the_corpus_is_unicode_15_without_skin_tones():
    assert CORPUS.images.shape == (1870, 64, 64, 4) and CORPUS.images.dtype == np.uint8
    assert len(set(CORPUS.groups)) == 9
    assert len(set(CORPUS.subgroups)) == 99
    assert len(set(CORPUS.codepoints)) == len(set(CORPUS.names)) == 1870
    skin_tones = {f"{point:04X}" for point in range(0x1F3FB, 0x1F400)}
    assert not any(skin_tones & set(points.split("-")) for points in CORPUS.codepoints)
    number = CORPUS.codepoints.index("1F468-200D-1F4BB")
    assert (CORPUS.names[number], CORPUS.groups[number]) == ("man technologist", "People & Body")


def test_no_picture_is_blank_a_box_or_repeated_by_mistake():
    alpha = CORPUS.images[..., 3]
    assert ((alpha > 127).mean((1, 2)) > 0.05).all()
    assert not CORPUS.images[alpha == 0].any()
    as_integers = CORPUS.images.view(np.uint32)[..., 0]
    assert min(len(np.unique(x[a > 127])) for x, a in zip(as_integers, alpha, strict=True)) > 10  # a plain box has few
    assert sum(n for n in COPIES.values() if n > 1) == 16  # flags of territories, one family


def test_red_is_red():
    red_heart = CORPUS.images[CORPUS.names.index("red heart")]
    red, green, blue = red_heart[32, 32, :3].astype(int)
    assert red > 200 and green < 100 and blue < 100


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in ("emoji.npz", "SHA256SUMS"):
        shutil.copy(FOLDER / name, tmp_path / name)
    return tmp_path / "emoji.npz"


def test_a_changed_byte_is_refused_by_name_and_sum(copied: Path):
    data = bytearray(copied.read_bytes())
    data[100_000] ^= 1
    copied.write_bytes(data)
    shipped = (FOLDER / "SHA256SUMS").read_text().split()[0]
    with pytest.raises(DataError) as caught:
        emoji.load_corpus(copied)
    message = str(caught.value)
    assert str(copied) in message and shipped in message and caught.value.found in message and "build.py" in message
    assert caught.value.found != shipped


@pytest.mark.parametrize("missing", ["emoji.npz", "SHA256SUMS"])
def test_a_missing_file_is_named(copied: Path, missing: str):
    copied.with_name(missing).unlink()
    with pytest.raises(DataError) as caught:
        emoji.load_corpus(copied)
    assert caught.value.path == copied.with_name(missing)


def test_a_sum_for_another_file_does_not_count(copied: Path):
    sums = copied.with_name("SHA256SUMS")
    sums.write_text(sums.read_text().replace("emoji.npz", "other.npz"))
    with pytest.raises(DataError, match="no line for"):
        emoji.load_corpus(copied)


@pytest.mark.skipif(
    not Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf").is_file()
    or not Path("/usr/share/unicode/emoji/emoji-test.txt").is_file(),
    reason="needs the Debian packages fonts-noto-color-emoji and unicode-data",
)
def test_the_script_rebuilds_the_shipped_arrays():
    pytest.importorskip("fontTools")
    run = subprocess.run(
        [sys.executable, "-B", FOLDER / "build.py", "--check"], capture_output=True, text=True, check=False
    )
    if "Version 2.042;" not in run.stdout:
        pytest.skip("another version of the font is installed")
    assert run.returncode == 0, run.stdout[-500:] + run.stderr[-500:]


# Classes and split


def test_classes_follow_unicode_order():
    labels, names = emoji.classes_of(CORPUS, "group")
    assert names[0] == "Smileys & Emotion" and names[-1] == "Flags" and len(names) == 9
    assert labels.dtype == np.int64
    assert [names[label] for label in labels] == list(CORPUS.groups)
    labels, names = emoji.classes_of(CORPUS, "subgroup")
    assert [names[label] for label in labels] == list(CORPUS.subgroups)
    with pytest.raises(ValueError, match="colour"):
        emoji.classes_of(CORPUS, "colour")


@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0.02, 0.9), seed=st.integers(0, 2**32))
def test_split_is_disjoint_complete_stratified_and_deterministic(fraction: float, seed: int):
    train, val = emoji.split(CORPUS, validation_fraction=fraction, seed=seed)
    assert sorted([*train, *val]) == list(range(1870))
    in_train = Counter(CORPUS.subgroups[i] for i in train)
    in_val = Counter(CORPUS.subgroups[i] for i in val)
    for subgroup, size in Counter(CORPUS.subgroups).items():
        assert in_train[subgroup] >= 1
        if size > 1:
            assert in_val[subgroup] >= 1
        if subgroup not in {"country-flag", "family"}:  # pictures that occur twice are kept out of validation there
            assert abs(in_val[subgroup] - fraction * size) <= 1
    again = emoji.split(CORPUS, validation_fraction=fraction, seed=seed)
    assert np.array_equal(again.train, train) and np.array_equal(again.val, val)


def test_no_validation_picture_is_seen_in_training():
    train, val = emoji.split(CORPUS, validation_fraction=0.5, seed=3)
    assert not {CORPUS.images[i].tobytes() for i in train} & {CORPUS.images[i].tobytes() for i in val}


def test_another_seed_splits_otherwise():
    first, second = (emoji.split(CORPUS, validation_fraction=0.1, seed=seed) for seed in (0, 1))
    assert len(np.setdiff1d(first.val, second.val)) > 100


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_impossible_fractions_are_refused(fraction: float):
    with pytest.raises(ValueError, match="validation_fraction"):
        emoji.split(CORPUS, validation_fraction=fraction, seed=0)


# Drawing

GOLDEN_MEANS = [[191.59, 201.69, 136.22], [191.72, 122.49, 100.30], [164.36, 226.94, 178.86], [187.44, 157.65, 175.25]]


def test_drawing_depends_on_seed_glyph_and_variant_only():
    glyphs, variants = np.array([5, 900, 5, 1869]), np.array([0, 2, 1, 7])
    together = emoji.render(CORPUS, glyphs, variants, size=32, seed=4)
    assert together.shape == (4, 32, 32, 3) and together.dtype == np.uint8
    order = np.array([2, 0, 3, 1])
    assert np.array_equal(emoji.render(CORPUS, glyphs[order], variants[order], size=32, seed=4), together[order])
    alone = emoji.render(CORPUS, [900], [2], size=32, seed=4)
    assert np.array_equal(alone[0], together[1])
    assert not np.array_equal(together[0], together[2])  # variants differ
    assert not np.array_equal(emoji.render(CORPUS, [900], [2], size=32, seed=5)[0], alone[0])  # seeds differ


def test_drawing_nothing_gives_nothing():
    assert emoji.render(CORPUS, [], [], size=32, seed=0).shape == (0, 32, 32, 3)


def test_glyphs_and_variants_must_pair_up():
    with pytest.raises(ValueError):
        emoji.render(CORPUS, [1, 2], [0], size=32, seed=0)


def test_one_image_looks_alike_at_all_sizes():
    small = emoji.render(CORPUS, range(0, 200), [1] * 200, size=32, seed=0).astype(float)
    large = emoji.render(CORPUS, range(0, 200), [1] * 200, size=128, seed=0).astype(float)
    averaged = large.reshape(200, 32, 4, 32, 4, 3).mean((2, 4))
    differences = np.abs(averaged - small).mean((1, 2, 3))  # sub-pixel placement differs
    shuffled = np.abs(averaged[1:] - small[:-1]).mean((1, 2, 3))
    assert differences.max() < 20 and np.median(differences) < 6 < 30 < np.median(shuffled)


def test_numbers_of_a_few_drawings_have_not_moved():
    drawn = emoji.render(CORPUS, [0, 600, 1200, 1800], [0, 1, 2, 3], size=32, seed=0)
    np.testing.assert_allclose(drawn.mean((1, 2)), GOLDEN_MEANS, atol=0.5)


@settings(max_examples=50, deadline=None)
@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    start=st.tuples(*[st.floats(0, 1)] * 3),
    end=st.tuples(*[st.floats(0, 1)] * 3),
    glyph=st.integers(0, 1869),
    scale=st.floats(0.3, 1.0),
    size=st.integers(8, 96),
)
def test_edges_have_no_halo(colour, start, end, glyph, scale, size):
    """A one-coloured glyph on a gradient: every pixel lies between the glyph's colour and the two of the gradient."""
    picture = CORPUS.images[glyph].copy()
    picture[..., :3] = np.where(picture[..., 3:] > 0, np.array(colour, np.uint8), 0)
    appearance = emoji.Appearance(scale, 0.3, 0.6, 1.0, np.array(start), np.array(end))
    drawn = emoji.compose(picture, appearance, size)
    colours = np.array([colour, 255 * appearance.start, 255 * appearance.end])
    assert (drawn >= colours.min(0) - 3).all() and (drawn <= colours.max(0) + 3).all()


def test_glyphs_stand_out_from_their_backgrounds():
    for glyph in range(0, 1870, 3):
        picture = CORPUS.images[glyph]
        appearance = emoji.draw_appearance(picture, seed=0, glyph=glyph, variant=0)
        behind = emoji.background(appearance, 64)
        drawn = emoji.compose(picture, appearance._replace(scale=1.0), 64)
        visible = picture[..., 3] > 200
        contrast = np.abs(drawn - behind)[visible].sum(-1).mean()
        assert contrast > 60, CORPUS.names[glyph]


def test_glyphs_are_whole_and_where_they_are_said_to_be():
    picture = np.full((64, 64, 4), 255, np.uint8)
    black = np.zeros(3)
    for left, top in [(0.0, 0.0), (1.0, 1.0), (0.5, 0.25)]:
        drawn = emoji.compose(picture, emoji.Appearance(0.5, left, top, 0.0, black, black), 40)
        rows, columns = np.nonzero(drawn[..., 0] == 255)
        assert len(rows) == 400 and not drawn[drawn < 255].any()
        assert (columns.min(), rows.min()) == (20 * left, 20 * top)


def test_scales_and_directions_cover_their_ranges():
    drawn = [emoji.draw_appearance(CORPUS.images[7], seed=1, glyph=7, variant=v) for v in range(400)]
    scales = [x.scale for x in drawn]
    assert 0.65 <= min(scales) < 0.68 and 0.97 < max(scales) <= 1.0
    for field in ("left", "top"):
        values = [getattr(x, field) for x in drawn]
        assert 0 <= min(values) < 0.05 and 0.95 < max(values) <= 1
    solid = np.mean([np.array_equal(x.start, x.end) for x in drawn])
    assert 0.25 < solid < 0.42
    assert all(((x.start >= 0) & (x.start <= 1) & (x.end >= 0) & (x.end <= 1)).all() for x in drawn)


@given(st.floats(-2, 3), st.floats(0, 1), st.floats(0, 1))
def test_hsv_agrees_with_the_standard_library(hue: float, saturation: float, value: float):
    ours = emoji.hsv_to_rgb(np.array([hue, saturation, value]))
    np.testing.assert_allclose(ours, colorsys.hsv_to_rgb(hue % 1, saturation, value), atol=1e-6)
