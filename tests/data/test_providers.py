"""Every data set on a miniature tree in its real layout; every way in which one can be missing or wrong."""

import hashlib
import importlib.util
import io
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tesserae.data import cifar10, emoji
from tesserae.data.errors import DataError
from tesserae.data.imagenet import Imagenette, synonyms
from tesserae.data.imagenet100 import SYNSETS as SYNSETS_100
from tesserae.data.providers import PROVIDERS, Provider, check, open_provider, provider_class

WITHOUT_CLASSES = ("coco", "visual_genome", "ecssd", "deepglobe", "chestxray14", "textocr", "llava_next")
CORPUS = Path(__file__).parents[2] / "data" / "emoji" / "emoji.npz"
SYNSETS = ("n01440764", "n02102040", "n02979186")
SYNONYMS = ("tench, Tinca tinca", "English springer, English springer spaniel", "cassette player")
DIGEST = "a40d9be82eb4738becd1dd69991b89f87f309975e860a6f3f45395d8c06a7e0d"
IMAGENETTE = ("n01440764", "n02102040", "n02979186", "n03000684", "n03028079")
IMAGENETTE += ("n03394916", "n03417042", "n03425413", "n03445777", "n03888257")


def write_tree(root: Path, synsets: tuple[str, ...], per_class: int = 2) -> Path:
    """train/ and val/ folders; the mean grey of an image is 20 * its label, plus 5 in val."""
    for extra, split in enumerate(("train", "val")):
        for label, synset in enumerate(sorted(synsets)):
            folder = root / split / synset
            folder.mkdir(parents=True)
            for number in range(per_class):
                mode = "RGB" if number % 2 == 0 else "L"  # ImageNet has grey files, too
                grey = 20 * label + 5 * extra
                picture = Image.new(mode, (50 + number, 40), (grey,) * 3 if mode == "RGB" else grey)
                picture.save(folder / f"{synset}_{number}.JPEG", quality=95)
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "imagenet", SYNSETS)


def imagenet(root: Path | None, classes: int = 3) -> Provider:
    return open_provider("imagenet", root=root, classes=classes)


def emoji_provider(root: Path | None = CORPUS, **changes) -> Provider:
    settings = {"label": "group", "validation_fraction": 0.1, "train_variants": 3, "val_variants": 2, "seed": 0}
    return open_provider("emoji", root=root, **settings | changes)


def problem(provider: Provider) -> DataError:
    """The one error of a check; its message must hold path, expectation, finding and remedy."""
    with pytest.raises(DataError) as caught:
        check(provider)
    error = caught.value
    assert all(part in str(error) for part in (error.expected, error.found, error.remedy))
    assert error.path is None or str(error.path) in str(error)
    return error


# Registry


def test_names():
    assert all(provider_class(name).name == name for name in PROVIDERS)
    with pytest.raises(ValueError, match=r"cifar11.*chestxray14, cifar10, coco, deepglobe, ecssd, emoji, folder, "):
        open_provider("cifar11", root=None)


@pytest.mark.parametrize(
    "provider",
    [
        emoji_provider(None),
        imagenet(None),
        open_provider("imagenette", root=None, classes=10, edition="160px"),
        open_provider("cifar10", root=None, classes=10),
        open_provider("imagenet100", root=None, classes=100),
        *(open_provider(name, root=None) for name in WITHOUT_CLASSES),
    ],
    ids=lambda provider: provider.name,
)
def test_no_root_is_said_plainly(provider: Provider):
    error = problem(provider)
    assert "no path configured" in str(error) and "data.root" in error.remedy and provider.name in error.remedy


def test_settings_have_no_hidden_defaults():
    with pytest.raises(TypeError, match="seed"):
        open_provider("emoji", root=CORPUS, label="group", validation_fraction=0.1, train_variants=1, val_variants=1)
    with pytest.raises(TypeError, match="classes"):
        open_provider("imagenet", root=CORPUS)


def test_all_problems_come_in_one_error(tmp_path: Path, tree: Path):
    check(imagenet(tree), emoji_provider())
    with pytest.raises(DataError) as caught:
        check(imagenet(tmp_path / "a"), imagenet(tree), imagenet(tmp_path / "b"))
    assert str(tmp_path / "a") in str(caught.value) and str(tmp_path / "b") in str(caught.value)


# Emoji


def test_emoji_streams_what_render_draws():
    provider = emoji_provider()
    check(provider)
    assert provider.class_names[0] == "Smileys & Emotion" and len(provider.class_names) == 9
    corpus = emoji.load_corpus(CORPUS)
    glyphs = emoji.split(corpus, validation_fraction=0.1, seed=0)
    assert provider.count("train") == 3 * len(glyphs.train) and provider.count("val") == 2 * len(glyphs.val)
    pictures, labels = zip(*provider.images("val", size=16), strict=True)
    expected = emoji.render(corpus, np.repeat(glyphs.val, 2), [0, 1] * len(glyphs.val), size=16, seed=0)
    assert np.array_equal(np.stack(pictures), expected)
    assert [provider.class_names[label] for label in labels[::2]] == [corpus.groups[i] for i in glyphs.val]
    keys = provider.keys("val")
    assert keys[:2] == [f"{corpus.codepoints[glyphs.val[0]]}/{variant}" for variant in (0, 1)]
    assert len(set(keys)) == len(keys) == len(pictures)


def test_emoji_by_subgroup():
    provider = emoji_provider(label="subgroup")
    labels = [label for _, label in provider.images("val", size=4)]
    assert len(provider.class_names) == 99 and set(range(99)) - set(labels) == {
        provider.class_names.index("animal-amphibian")  # one emoji, which is in training
    }


def test_emoji_refuses_bad_settings():
    with pytest.raises(ValueError, match="variant"):
        emoji_provider(val_variants=0)
    with pytest.raises(ValueError, match="colour"):
        check(emoji_provider(label="colour"))


def test_emoji_without_its_file(tmp_path: Path):
    assert "emoji.npz" in problem(emoji_provider(tmp_path / "none.npz")).expected


# ImageNet


def test_imagenet_reads_every_image_with_sorted_labels(tree: Path):
    provider = imagenet(tree)
    check(provider)
    assert provider.class_names == SYNONYMS
    assert provider.keys("val") == [f"val/{synset}/{synset}_{number}.JPEG" for synset in SYNSETS for number in (0, 1)]
    for split, extra in (("train", 0), ("val", 5)):
        samples = list(provider.images(split, size=32))
        assert [label for _, label in samples] == [0, 0, 1, 1, 2, 2]
        for picture, label in samples:
            assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
            assert abs(picture.mean() - 20 * label - extra) < 2


def test_threads_change_nothing(tmp_path: Path):
    provider = imagenet(write_tree(tmp_path, SYNSETS, per_class=30))
    alone = list(provider.images("train", size=8))
    together = list(provider.images("train", size=8, workers=2))
    assert len(alone) == len(together) == 90
    assert all(np.array_equal(a, b) and x == y for (a, x), (b, y) in zip(alone, together, strict=True))


def test_files_come_sorted_whatever_the_folder_says(tree: Path):
    picture = (tree / "val" / SYNSETS[0] / f"{SYNSETS[0]}_0.JPEG").read_bytes()
    for number in np.random.default_rng(0).permutation(60):
        (tree / "val" / SYNSETS[0] / f"{number:02d}.JPEG").write_bytes(picture)
    keys = imagenet(tree).keys("val")
    assert len(keys) == 66 and keys == sorted(keys)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_corrupt_image_stops_with_its_path(tree: Path, damage: str, workers: int):
    path = tree / "train" / SYNSETS[1] / f"{SYNSETS[1]}_1.JPEG"
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) - 40], "text": b"<html>not an image</html>", "empty": b""}[damage])
    with pytest.raises(DataError) as caught:
        list(imagenet(tree).images("train", size=32, workers=workers))
    assert caught.value.path == path and str(path) in str(caught.value)


def test_missing_root(tmp_path: Path):
    assert problem(imagenet(tmp_path / "nowhere")).path == tmp_path / "nowhere"


@pytest.mark.parametrize("split", ["train", "val"])
def test_missing_split(tree: Path, split: str):
    (tree / split).rename(tree / "elsewhere")
    error = problem(imagenet(tree))
    assert error.path == tree / split and str(tree) in error.remedy


def test_no_images_at_all(tmp_path: Path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    assert problem(imagenet(tmp_path)).found == "no images"


def test_flat_validation_folder_is_recognised(tree: Path):
    for path in list((tree / "val").glob("*/*.JPEG")):
        path.rename(tree / "val" / path.name)
    for folder in list((tree / "val").iterdir()):
        if folder.is_dir():
            folder.rmdir()
    error = problem(imagenet(tree))
    assert error.path == tree / "val" and error.found == "images in no synset folder"


def test_an_empty_class_is_named(tree: Path):
    for path in (tree / "val" / SYNSETS[2]).iterdir():
        path.unlink()
    assert problem(imagenet(tree)).path == tree / "val" / SYNSETS[2]


def test_wrong_class_count(tree: Path):
    error = problem(imagenet(tree, classes=1000))
    assert "1000" in error.expected and error.found == "3"


def test_synsets_must_agree(tree: Path):
    (tree / "val" / SYNSETS[0]).rename(tree / "val" / "n09999999")
    error = problem(imagenet(tree))
    assert SYNSETS[0] in error.found and "n09999999" in error.found


def test_hidden_folders_and_other_files_are_no_classes(tree: Path):
    (tree / "train" / ".ipynb_checkpoints").mkdir()
    (tree / "train" / SYNSETS[0] / "notes.txt").write_text("no image")
    provider = imagenet(tree)
    check(provider)
    assert provider.class_names == SYNONYMS and provider.count("train") == 6


def test_the_synonyms_of_imagenet_are_those_of_the_published_prompts():
    """The digest is that of the 1000 names in TA-TiTok's imagenet_classes.py, one a line."""
    (timm,) = importlib.util.find_spec("timm").submodule_search_locations
    synsets = Path(timm, "data", "_info", "imagenet_synsets.txt").read_text().split()
    names = [synonyms()[synset] for synset in synsets]
    assert names[0] == "tench, Tinca tinca" and len(set(names)) == 999 and names.count("crane") == 2
    assert hashlib.sha256("\n".join(names).encode()).hexdigest() == DIGEST


def test_a_folder_that_is_no_synset_has_no_name(tmp_path: Path):
    provider = open_provider("imagenet", root=write_tree(tmp_path, ("n00000000", "n01440764")), classes=2)
    with pytest.raises(DataError, match=r"1 others \(n00000000\)"):
        _ = provider.class_names


# Imagenette and CIFAR-10, as torchvision unpacks them


def test_imagenette(tmp_path: Path):
    write_tree(tmp_path / "imagenette2-160", IMAGENETTE, per_class=1)
    provider = open_provider("imagenette", root=tmp_path, classes=10, edition="160px")
    check(provider)
    assert provider.class_names[0] == "tench" and provider.class_names[-1] == "parachute"
    samples = list(provider.images("val", size=16))
    assert [label for _, label in samples] == list(range(10))
    assert abs(samples[9][0].mean() - 185) < 2
    assert provider.keys("train")[3] == "train/n03000684/n03000684_0.JPEG"


def test_imagenette_problems(tmp_path: Path):
    provider = open_provider("imagenette", root=tmp_path, classes=10, edition="320px")
    error = problem(provider)
    assert error.path == tmp_path / "imagenette2-320" and "Download" in error.remedy
    write_tree(tmp_path / "imagenette2-320", IMAGENETTE[:9])
    assert "10" in problem(provider).expected


def cifar_batch(labels: list[int], seed: int) -> dict:
    data = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return {"data": data, "labels": labels, "filenames": [f"{i}.png" for i in range(len(labels))]}


CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-10 with two images a batch, whose MD5 sums the provider is told to expect."""
    folder = tmp_path / cifar10.FOLDER
    folder.mkdir()

    def write(name: str, content: dict) -> None:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        monkeypatch.setitem(cifar10.MD5, name, hashlib.md5(data).hexdigest())

    for i in range(1, 6):
        write(f"data_batch_{i}", cifar_batch([i, 9 - i], i))
    write("test_batch", cifar_batch([3, 1, 4], 0))
    write("batches.meta", {"label_names": CIFAR_CLASSES})
    return tmp_path


def test_cifar10(cifar: Path):
    provider = open_provider("cifar10", root=cifar, classes=10)
    check(provider)
    assert list(provider.class_names) == CIFAR_CLASSES
    assert (provider.count("train"), provider.count("val")) == (10, 3)
    samples = list(provider.images("val", size=32))
    assert [label for _, label in samples] == [3, 1, 4]
    expected = cifar_batch([3, 1, 4], 0)["data"].reshape(3, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(np.stack([picture for picture, _ in samples]), expected)
    assert next(iter(provider.images("train", size=64)))[0].shape == (64, 64, 3)
    assert next(iter(provider.images("train", size=64)))[1] == 1


def test_cifar10_has_ten_classes(cifar: Path):
    assert problem(open_provider("cifar10", root=cifar, classes=100)).expected == "100 classes"


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_cifar10_damaged_or_missing(cifar: Path, damage: str):
    path = cifar / "cifar-10-batches-py" / "data_batch_3"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    error = problem(open_provider("cifar10", root=cifar, classes=10))
    assert error.path == path and cifar10.MD5["data_batch_3"] in error.expected


def test_cifar10_names_the_published_sums():
    datasets = pytest.importorskip("torchvision.datasets")
    theirs = dict([*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list])
    assert {**theirs, "batches.meta": datasets.CIFAR10.meta["md5"]} == cifar10.MD5
    assert list(datasets.Imagenette._WNID_TO_CLASS) == sorted(datasets.Imagenette._WNID_TO_CLASS)
    assert Imagenette.class_names == tuple(names[0] for names in datasets.Imagenette._WNID_TO_CLASS.values())


# ImageNet-100


def test_the_list_of_imagenet100():
    assert len(set(SYNSETS_100)) == 100 and list(SYNSETS_100) == sorted(SYNSETS_100)
    assert all(re.fullmatch(r"n\d{8}", synset) for synset in SYNSETS_100)


def test_imagenet100_is_found_in_a_tree_of_more(tmp_path: Path):
    others = ("n01440764", "n02087394")  # of ImageNet-1k, not of the list
    write_tree(tmp_path, (*SYNSETS_100, *others), per_class=1)
    provider = open_provider("imagenet100", root=tmp_path, classes=100)
    check(provider)
    robin, gila = "robin, American robin, Turdus migratorius", "Gila monster, Heloderma suspectum"
    assert provider.class_names[:2] == (robin, gila) and len(provider.class_names) == 100
    assert [key.split("/")[1] for key in provider.keys("val")] == list(SYNSETS_100)
    assert provider.labels("train").tolist() == list(range(100))


def test_imagenet100_needs_all_of_its_classes(tmp_path: Path):
    write_tree(tmp_path, SYNSETS_100[:99], per_class=1)
    error = problem(open_provider("imagenet100", root=tmp_path, classes=100))
    assert error.expected == "100 synset folders" and error.found == "99"


def test_a_transparent_png_becomes_rgb(tree: Path):
    path = tree / "train" / SYNSETS[0] / "x.png"
    data = io.BytesIO()
    Image.new("RGBA", (10, 10), (200, 100, 50, 128)).save(data, "png")
    path.write_bytes(data.getvalue())
    samples = dict(zip(imagenet(tree).keys("train"), imagenet(tree).images("train", size=10), strict=True))
    assert samples[f"train/{SYNSETS[0]}/x.png"][0][5, 5].tolist() == [200, 100, 50]
