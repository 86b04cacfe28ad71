"""Scenes of glyphs, of MSCOCO's pairs and of Visual Genome's relations: how they are divided, and what they show."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.data import emoji_scenes, targets
from tesserae.data.errors import DataError
from tesserae.data.pairs import divide_pairs
from tesserae.data.scenes import SCENES, open_scenes
from tesserae.data.triplets import divide, draw_negatives, most_frequent, numbered
from tests.conftest import ROOT
from tests.data.trees import picture, write

CORPUS = ROOT / "data/emoji/emoji.npz"
SMALL = {"root": CORPUS, "categories": "glyph", "kinds": 8, "images": 300, "validation_fraction": 0.2, "seed": 0}
ALL_PAIRS = {(a, b): 10 for a in range(6) for b in range(a + 1, 6)}


def test_every_provider_opens():
    for name, (module, kind) in SCENES.items():
        assert module in type(open_scenes(name, root=None, **more(name))).__module__, kind
    with pytest.raises(ValueError, match=r"no set of scenes is called 'emoji'.*emoji_pairs"):
        open_scenes("emoji", root=None)


def more(name: str) -> dict:
    divided = {"validation_fraction": 0.2, "seed": 0}
    if name.startswith("emoji"):
        return {"categories": "group", "kinds": 9, "images": 10, **divided}
    limits = {"share": 0.05, "most_names": 2, "most_predicates": 2} if name.startswith("visual") else {}
    return limits | divided


# ---- divided by pairs -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(categories=st.integers(7, 12), counts=st.randoms(), fraction=st.floats(0.02, 0.3), seed=st.integers(0, 3))
def test_a_split_by_pairs_has_every_category_in_both_and_no_pair(categories, counts, fraction, seed):
    images = {(a, b): counts.randint(1, 3) for a in range(categories) for b in range(a + 1, categories)}
    split = divide_pairs(images, fraction=fraction, seed=seed)
    assert not set(split.train) & set(split.val) and set(split.train) | set(split.val) == set(images)
    for part in split:
        assert {category for pair in part for category in pair} == {*range(categories)}
    assert sum(images[pair] for pair in split.val) >= fraction * sum(images.values())
    assert divide_pairs(dict(reversed(images.items())), fraction=fraction, seed=seed) == split


def test_validation_gets_hardly_more_than_its_share_of_many_pairs():
    many = {(a, b): 1 for a in range(40) for b in range(a + 1, 40)}
    split = divide_pairs(many, fraction=0.2, seed=0)
    assert 0.2 <= len(split.val) / len(many) < 0.2 + 1 / len(many)
    assert divide_pairs(many, fraction=0.2, seed=1) != split


@pytest.mark.parametrize(
    ("images", "fraction", "said"),
    [
        ({(0, 1): 5, (1, 2): 5, (0, 2): 5, (2, 3): 5}, 0.2, r"in one pair only, such as \[3\]"),
        (ALL_PAIRS, 0.9, "leave a category without one in training"),
        (ALL_PAIRS, 1.0, "lies between 0 and 1"),
        ({(0, 1): 1, (1, 2): 1, (0, 2): 1}, 0.2, "cannot be in both partitions"),  # a triangle
    ],
)
def test_what_cannot_be_divided_by_pairs_is_refused(images, fraction, said):
    with pytest.raises(ValueError, match=said):
        divide_pairs(images, fraction=fraction, seed=0)


def test_few_scenes_cannot_be_divided_and_say_how_to_mend_it():
    scenes = open_scenes("emoji_pairs", **SMALL | {"images": 5})
    with pytest.raises(DataError, match=r"a pair-disjoint split of emoji_pairs.*one pair only.*more images or categ"):
        scenes.keys("val")


# ---- emoji ------------------------------------------------------------------------------------------------------


def test_scenes_of_pairs_are_pair_disjoint_and_drawn_one_by_one():
    scenes = open_scenes("emoji_pairs", **SMALL)
    scenes.check()
    pairs = {split: [tuple(pair) for pair in scenes.annotations(split)] for split in scenes.splits}
    assert scenes.counts()["train"] + scenes.counts()["val"] == 300
    assert not set(pairs["train"]) & set(pairs["val"])
    assert {c for pair in pairs["train"] for c in pair} == {c for pair in pairs["val"] for c in pair} == {*range(8)}
    division = scenes.division()["pairs"]
    assert {tuple(pair) for pair in json.loads(json.dumps(division["val"]))} == set(pairs["val"])
    some = list(zip(range(3), scenes.pictures("val", size=32, start=5), strict=False))
    again = [image for _, image in zip(range(8), scenes.pictures("val", size=32), strict=False)][5:]
    assert all(np.array_equal(image, other) for (_, image), other in zip(some, again, strict=True))
    assert some[0][1].shape == (32, 32, 3) and some[0][1].dtype == np.uint8
    other = open_scenes("emoji_pairs", **SMALL | {"seed": 1})
    assert other.names != scenes.names


@settings(max_examples=80, deadline=None)
@given(predicate=st.integers(0, 4), seed=st.integers(0, 10_000))
def test_one_predicate_alone_holds_in_a_scene(predicate, seed):
    placed = {one.glyph: one for one in emoji_scenes.place(1, 2, predicate, np.random.default_rng(seed))}
    subject, object_ = placed[1], placed[2]
    for one in placed.values():
        assert one.left >= 0 and one.top >= 0 and one.left + one.side <= 1.0001 and one.top + one.side <= 1.0001
    centres = [np.array([one.left, one.top]) + one.side / 2 for one in (subject, object_)]
    across, down = centres[1] - centres[0]
    holds = {
        "left of": subject.left + subject.side <= object_.left + 1e-9,
        "right of": object_.left + object_.side <= subject.left + 1e-9,
        "above": subject.top + subject.side <= object_.top + 1e-9,
        "below": object_.top + object_.side <= subject.top + 1e-9,
        "inside": object_.left <= subject.left
        and object_.top <= subject.top
        and subject.left + subject.side <= object_.left + object_.side
        and subject.top + subject.side <= object_.top + object_.side,
    }
    name = emoji_scenes.PREDICATES[predicate]
    assert [word for word, true in holds.items() if true] == [name]
    if name != "inside":
        assert min(abs(across), abs(down)) <= emoji_scenes.SHIFT + 1e-9 < max(abs(across), abs(down))


def test_glyphs_are_drawn_where_they_are_placed():
    """The first glyph of a scene is replaced by nothing: pixels change in its place alone."""
    scenes = open_scenes("emoji_relations", **SMALL)
    first, second, _, rng = scenes.drawn(0)
    glyphs = [int(rng.choice(scenes.chosen[1][category])) for category in (first, second)]
    placed = emoji_scenes.place(*glyphs, 0, rng)
    state = rng.bit_generator.state
    whole = emoji_scenes.draw(scenes.corpus, placed, 64, rng)
    rng.bit_generator.state = state
    alone = emoji_scenes.draw(scenes.corpus, placed[:1], 64, rng)
    columns = np.flatnonzero((whole != alone).any(axis=(0, 2)))
    one = placed[1]
    assert columns.min() >= int(64 * one.left) and columns.max() <= int(np.ceil(64 * (one.left + one.side)))


def test_a_scene_of_a_relation_shows_it_both_ways():
    scenes = open_scenes("emoji_relations", **SMALL)
    words = Counter()
    for shown in scenes.annotations("train"):
        subject, predicate, object_ = shown[0]
        words[scenes.predicates[predicate]] += 1
        inverse = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
        other = inverse.get(scenes.predicates[predicate])
        assert shown[1:] == ([(object_, scenes.predicates.index(other), subject)] if other else [])
    assert words.keys() == {*scenes.predicates} and min(words.values()) > 20
    keys = [*scenes.keys("train"), *scenes.keys("val")]
    assert len(set(keys)) == len(keys) == 300 and len(scenes.keys("val")) == 60


@pytest.mark.parametrize("wrong", [{"categories": "colour"}, {"kinds": 10_000}])
def test_categories_that_there_are_not_are_refused(wrong):
    with pytest.raises(ValueError, match=r"no categories 'colour'|10000 of \d+ categories"):
        open_scenes("emoji_pairs", **SMALL | wrong).check()


# ---- MSCOCO and Visual Genome -----------------------------------------------------------------------------------


def test_coco_images_of_two_categories(tmp_path: Path):
    """Four categories of which every two are in three images; images of one, of three, and of crowds are left out."""
    shown = [(a, b) for a in (1, 18, 44, 90) for b in (1, 18, 44, 90) if a < b for _ in range(3)]
    things = {
        "train": [*shown[:-1], (1,), (1, 18, 44)],
        "val": [shown[-1], (44, 18, 18)],  # whatever the official split, and however many of a category
    }
    for split, images in things.items():
        listed = [{"id": i, "file_name": f"{i}.jpg"} for i in range(len(images))]
        entries = [
            {"image_id": i, "category_id": category, "bbox": [0, 0, 1, 1], "iscrowd": 0}
            for i, some in enumerate(images)
            for category in some
        ]
        crowd = {"image_id": 0, "category_id": 70, "bbox": [0, 0, 1, 1], "iscrowd": 1}
        annotations = {"images": listed, "annotations": [*entries, crowd]}
        write(tmp_path / f"annotations/instances_{split}2017.json", annotations)
        write(tmp_path / f"annotations/captions_{split}2017.json", {"images": listed, "annotations": []})
        for i in range(len(images)):
            picture(tmp_path / f"{split}2017/{i}.jpg", i)
    scenes = open_scenes("coco_pairs", root=tmp_path, validation_fraction=0.3, seed=0)
    scenes.check()
    pairs = {split: [tuple(pair) for pair in scenes.annotations(split)] for split in scenes.splits}
    assert sorted(pairs["train"] + pairs["val"]) == sorted([(a - 1, b - 1) for a, b in shown] + [(17, 43)])
    assert not set(pairs["train"]) & set(pairs["val"])
    assert {c for pair in pairs["val"] for c in pair} == {0, 17, 43, 89}
    found = targets.of_pairs(pairs["train"], pairs["val"], scenes.names)
    assert found.val.answers.shape[1] == 90
    first = next(scenes.pictures("val", size=8))
    assert first.shape == (8, 8, 3) and len(list(scenes.pictures("val", size=8))) == len(pairs["val"])


def test_visual_genome_relations_between_large_things(tmp_path: Path):
    def thing(name: str, side: int) -> dict:
        return {"name": name, "x": 0, "y": 0, "w": side, "h": side}

    def relation(subject: str, predicate: str, object_: str, side: int = 10) -> dict:
        return {"subject": thing(subject, side), "predicate": predicate, "object": thing(object_, 10)}

    shown = [
        [relation("Man", "ON", "horse"), relation("man", "on ", "horse"), relation("hat", "on", "man", side=4)],
        [relation("dog", "near", "man"), relation("man", "under", "sky")],  # `under` and `sky` are rare
        [relation("hat", "on", "man", side=4)],  # too small, so that nothing is left
        [relation("horse", "near", "dog")],
        [relation("dog", "on", "horse")],
        [relation("horse", "on", "dog")],
    ]
    address = "https://x/VG_100K/{}.jpg"
    images = [{"image_id": i, "url": address.format(i), "width": 20, "height": 20} for i in range(len(shown))]
    write(tmp_path / "image_data.json", images)
    write(tmp_path / "relationships.json", [{"image_id": i, "relationships": some} for i, some in enumerate(shown)])
    (tmp_path / "VG_100K_2").mkdir()
    for i in range(len(shown)):
        picture(tmp_path / f"VG_100K/{i}.jpg", i)
    scenes = open_scenes(
        "visual_genome_relations",
        root=tmp_path,
        share=0.05,
        most_names=3,
        most_predicates=2,
        validation_fraction=0.2,
        seed=0,
    )
    scenes.check()
    assert set(scenes.names) == {"man", "horse", "dog"} and scenes.predicates == ("on", "near")
    facts = dict(zip(scenes.keys("train"), scenes.annotations("train"), strict=True))
    facts |= dict(zip(scenes.keys("val"), scenes.annotations("val"), strict=True))
    words = {
        key: [(scenes.names[s], scenes.predicates[p], scenes.names[o]) for s, p, o in some]
        for key, some in facts.items()
    }
    assert words == {
        "VG_100K/0.jpg": [("man", "on", "horse")],
        "VG_100K/1.jpg": [("dog", "near", "man")],
        "VG_100K/3.jpg": [("horse", "near", "dog")],
        "VG_100K/4.jpg": [("dog", "on", "horse")],
        "VG_100K/5.jpg": [("horse", "on", "dog")],
    }
    assert len(scenes.keys("val")) == 1 and scenes.division()["images"]["val"] == scenes.keys("val")


# ---- triplets and targets ---------------------------------------------------------------------------------------

TRIPLETS = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 4))


@settings(max_examples=60, deadline=None)
@given(
    shown=st.lists(TRIPLETS, min_size=1, max_size=4),
    pool=st.lists(TRIPLETS, min_size=20, max_size=60, unique=True),
    hard=st.integers(0, 5),
    seed=st.integers(0, 5),
)
def test_negatives_are_different_and_not_shown(shown, pool, hard, seed):
    rng, positive = np.random.default_rng(seed), shown[0]
    drawn = draw_negatives(positive, shown, np.array(pool), count=6, hard=hard, predicates=4, rng=rng)
    found = [tuple(one) for one in drawn.tolist()]
    assert len(set(found)) == 6 and not set(found) & set(shown)
    near = {(positive[2], positive[1], positive[0]), *((positive[0], p, positive[2]) for p in range(4))} - set(shown)
    assert len(set(found[:hard]) & near) == min(hard, len(near))
    assert set(found) <= near | set(pool)


def test_too_small_a_pool_is_refused():
    with pytest.raises(ValueError, match="gave 1 that an image does not show, not 3"):
        draw_negatives(
            (0, 0, 1),
            [(0, 0, 1)],
            np.array([[0, 0, 1], [1, 1, 1]]),
            count=3,
            hard=0,
            predicates=2,
            rng=np.random.default_rng(0),
        )


def test_words_by_frequency_and_known_ones():
    assert most_frequent(["b", "a", "c", "a", "b", "d"], 3) == ("a", "b", "c")
    known = numbered([("x", "on", "y"), ("x", "on", "z"), ("x", "on", "y")], ["x", "y"], ["on"])
    assert known == [(0, 0, 1)]
    train, val = divide(10, fraction=0.2, seed=0)
    assert len(val) == 2 and sorted([*train, *val]) == list(range(10))
    with pytest.raises(ValueError, match="leave training or validation empty"):
        divide(2, fraction=0.1, seed=0)


def test_targets_of_each_task_come_back_from_disk(tmp_path: Path):
    scenes = open_scenes("emoji_relations", **SMALL)
    shown = [list(scenes.annotations(split)) for split in scenes.splits]
    relations = targets.of_relations(*shown, scenes.names, scenes.predicates, negatives=7, hard=4, seed=0)
    again = targets.of_relations(*shown, scenes.names, scenes.predicates, negatives=7, hard=4, seed=0)
    assert np.array_equal(relations.val.asked, again.val.asked)  # all tokenizers face the same ones
    assert relations.val.asked.shape == (60, 8, 3)
    for image, asked in enumerate(relations.val.asked.tolist()):
        true = {tuple(one) for one in relations.val.shown(image).tolist()}
        assert [tuple(one) in true for one in asked] == [True] + [False] * 7
        assert sum({one[0], one[2]} == {asked[0][0], asked[0][2]} for one in asked[1:]) >= 4
    fresh = [relations.candidates(0, np.random.default_rng(seed)) for seed in (0, 1)]
    assert not np.array_equal(*fresh)
    pairs = targets.of_pairs([(0, 1), (1, 2)], [(0, 2)], ["a", "b", "c"])
    classes = targets.of_classes(np.array([0, 1, 1]), np.array([1]), ["a", "b"])
    assert pairs.train.answers.tolist() == [[1, 1, 0], [0, 1, 1]] and classes.train.images == 3
    for wanted in (relations, pairs, classes):
        targets.save(tmp_path, wanted)
        found = targets.open_targets(tmp_path)
        assert found[:5] == wanted[:5]
        for split in ("train", "val"):
            for one, other in zip(getattr(found, split), getattr(wanted, split), strict=True):
                assert (one is None and other is None) or np.array_equal(one, other)


def test_targets_that_make_no_probe_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"pairs are in both splits, such as \(0, 1\)"):
        targets.of_pairs([(0, 1)], [(1, 0)], ["a", "b"])
    with pytest.raises(ValueError, match="exactly two different categories"):
        targets.of_pairs([(1, 1)], [(0, 1)], ["a", "b"])
    with pytest.raises(ValueError, match="without classes"):
        targets.of_classes(np.array([-1]), np.array([-1]), [])
    with pytest.raises(ValueError, match="3 of 2 negatives"):
        targets.of_relations([[(0, 0, 1)]], [[(0, 0, 1)]], ["a", "b"], ["on"], negatives=2, hard=3, seed=0)
    with pytest.raises(DataError, match=r"targets of a probe.*Run the stage `targets` again"):
        targets.open_targets(tmp_path)
