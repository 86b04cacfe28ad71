"""`tesserae data`: a report, one message for each problem, and no torch."""

import hashlib
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tesserae.cli.data import data
from tesserae.config.files import read_yaml, validated
from tesserae.config.types import Datasets
from tesserae.data import textocr, visual_genome
from tesserae.data.providers import PROVIDERS
from tests.data import trees

ROOT = Path(__file__).parents[2]
COUNTS = {"imagenet": {"classes": 2, "train_images": 2, "val_images": 2}} | {
    "own": {"classes": 2, "train_images": 3, "val_images": 2},
    "imagenet100": {"train_images": 100, "val_images": 100},
    "imagenette": {"train_images": 10, "val_images": 10},
    "coco": {"counts": {"train": 3, "val": 1, "train captions": 15}},
    "visual_genome": {"counts": {"all": 3}},
    "ecssd": {"counts": {"all": 3, "all masks": 3}},
    "deepglobe": {"counts": {"train": 7, "val": 1, "test": 2}},
    "chestxray14": {"counts": {"train": 3, "test": 1}},
    "textocr": {"counts": {"train": 2, "train words": 2}},
    "llava_next": {"counts": {"train rows": 10}},
}
ROOTS = {"imagenet100": "imagenet100"}  # apart from `imagenet`, whose folder it shares in the real file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose data.root holds the miniatures a test asks for, and whose published counts are theirs."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "config", project / "config")
    shutil.copytree(ROOT / "data" / "emoji", project / "data" / "emoji")
    change(project / "config/config.yaml", lambda content: content["data"].update(root="../sets"))

    def small(content: dict) -> None:
        for name, changes in COUNTS.items():
            content["datasets"][name] |= changes
            content["datasets"][name]["root"] = ROOTS.get(name, content["datasets"][name]["root"])

    change(project / "config/datasets.yaml", small)
    return project


def change(path: Path, edit) -> None:
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def run(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(data, arguments, obj={"root": project, "scale": None})


def made(project: Path, name: str) -> Path:
    root = project.parent / "sets" / name
    getattr(trees, name)(root)
    return root


def without_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """A miniature has none of the published checksums."""
    monkeypatch.setattr(textocr.TextOcr, "checksums", dict.fromkeys(textocr.TextOcr.checksums))


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("deep", [False, True])
def test_a_whole_set_passes(project: Path, monkeypatch: pytest.MonkeyPatch, name: str, deep: bool):
    without_sums(monkeypatch)
    made(project, name)
    result = run(project, "check", name, *(["--deep"] if deep else []))
    assert result.exit_code == 0, result.output
    assert "as needed" in result.output and "free disk, cache at 256 pixels" in result.output
    assert ("files that can be decoded" in result.output) == deep


@pytest.mark.parametrize("name", COUNTS)
def test_a_wrong_count_fails_with_one_message(project: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    without_sums(monkeypatch)
    made(project, name)

    def more(content: dict) -> None:
        entry = content["datasets"][name]
        counts = entry.get("counts", entry)
        key = "train_images" if "train_images" in counts else list(counts)[-1]
        counts[key] += 1234

    change(project / "config/datasets.yaml", more)
    result = run(project, "check", name)
    assert result.exit_code == 1 and result.stderr.count("Problem:") == 1
    assert "expected 1,2" in result.stderr or "expected 1,3" in result.stderr


def test_sets_of_domains_are_looked_at_as_well(project: Path):
    root, file = made(project, "chestx_det"), project / "config/domains.yaml"
    change(
        file,
        lambda content: content["sets"]["chestx_det"].update(
            counts={"train": 4, "val": 2}, train_images=4, val_images=2
        ),
    )
    result = run(project, "check", "chestx_det", "--deep")
    assert result.exit_code == 0 and "files that can be decoded" in result.output, result.output
    (root / "train_data/train3.png").write_bytes(b"no image")
    result = run(project, "check", "chestx_det", "--deep")
    assert result.exit_code == 1 and "train3.png: expected an image file that can be decoded" in result.stderr
    change(file, lambda content: content["sets"]["chestx_det"].update(counts={"train": 3025, "val": 2}))
    result = run(project, "check", "chestx_det")
    assert result.exit_code == 1 and "expected 3,025 train; found 4" in result.stderr
    assert "chestx_det" in run(project, "list").output


def test_every_problem_has_a_message(project: Path):
    root = made(project, "imagenet")
    shutil.rmtree(root / "val" / "n02102040")
    next((root / "train" / "n01440764").iterdir()).unlink()
    result = run(project, "check", "imagenet")
    assert result.exit_code == 1
    problems = [line for line in result.stderr.splitlines() if line.startswith("Problem:")]
    assert len(problems) == 3  # an empty class, a class too few in val, the splits differ
    assert "3 problems" in result.stdout and "train " not in result.stdout


def test_deep_finds_every_damaged_image(project: Path):
    root = made(project, "ecssd")
    for name in ("images/0001.jpg", "ground_truth_mask/0003.png"):
        (root / name).write_bytes(b"no image")
    assert run(project, "check", "ecssd").exit_code == 0
    result = run(project, "check", "ecssd", "--deep")
    assert result.exit_code == 1 and result.stderr.count("Problem:") == 2
    assert "images/0001.jpg" in result.stderr and "ground_truth_mask/0003.png" in result.stderr


def test_published_checksums_are_compared(project: Path, monkeypatch: pytest.MonkeyPatch):
    root = made(project, "textocr")
    files = [root / name for name in textocr.TextOcr.checksums]
    result = run(project, "check", "textocr")
    assert result.exit_code == 1 and result.stderr.count("Problem:") == 2
    sums = {path.name: f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}" for path in files}
    assert all(f"found {digest[4:]}" in result.stderr for digest in sums.values())
    monkeypatch.setattr(textocr.TextOcr, "checksums", sums)
    assert run(project, "check", "textocr").exit_code == 0
    assert not (project / ".tesserae").exists()


def test_a_hash_that_nobody_published_is_kept_and_compared(project: Path):
    root = made(project, "visual_genome")
    first = run(project, "check", "visual_genome")
    assert first.exit_code == 0 and first.output.count("no published checksum") == 2
    kept = json.loads((project / ".tesserae/data/visual_genome.json").read_text())
    digest = hashlib.sha256((root / "relationships.json").read_bytes()).hexdigest()
    assert kept["relationships.json"]["sha256"] == digest
    assert run(project, "check", "visual_genome").exit_code == 0
    (root / "relationships.json").write_text("[]")
    result = run(project, "check", "visual_genome")
    assert result.exit_code == 1 and "changed since" in result.stderr and digest in result.stderr


def test_archives_that_were_kept_are_hashed_only_on_request(project: Path):
    root = made(project, "visual_genome")
    (root / "images.zip").write_bytes(b"half of it")
    assert run(project, "check", "visual_genome").exit_code == 0
    result = run(project, "check", "visual_genome", "--deep")
    assert result.exit_code == 1 and "images.zip" in result.stderr
    assert visual_genome.VisualGenome.archives["images.zip"][7:] in result.stderr


def test_a_disk_too_small_for_the_cache(project: Path, monkeypatch: pytest.MonkeyPatch):
    made(project, "ecssd")
    needed = 3 * (3 * 128**2 + 8)
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=needed - 1))
    result = run(project, "check", "ecssd", "--size", "128")
    assert (
        result.exit_code == 1 and f"{needed:,} bytes" in result.stderr and f"{needed - 1:,} are free" in result.stderr
    )
    assert run(project, "check", "ecssd", "--size", "64").exit_code == 0


def test_the_embedded_corpus_passes(project: Path):
    assert run(project, "check", "emoji").exit_code == 0
    with (project / "data/emoji/emoji.npz").open("ab") as file:
        file.write(b"x")
    result = run(project, "check", "emoji")
    assert result.exit_code == 1 and "SHA-256" in result.stderr


def test_a_set_that_is_not_there(project: Path):
    result = run(project, "check", "coco")
    assert result.exit_code == 1 and str(project.parent / "sets" / "coco") in result.stderr.replace("project/../", "")


def test_no_data_root(project: Path):
    change(project / "config/config.yaml", lambda content: content["data"].update(root=None))
    result = run(project, "check", "coco")
    assert result.exit_code == 1 and "data.root is not set" in result.stderr
    assert "data.root is not set" in run(project, "list").output


def test_an_unknown_name_lists_the_known_ones(project: Path):
    result = run(project, "check", "cocos")
    assert result.exit_code == 1 and "visual_genome" in result.stderr


def test_list(project: Path):
    made(project, "ecssd")
    lines = {line.split()[0]: line.split() for line in run(project, "list").output.splitlines() if line.strip()}
    assert lines["ecssd"][1] == "ecssd" and lines["ecssd"][-1] == "yes"
    assert lines["coco"][-1] == "no" and lines["emoji"][-1] == "yes"


def test_every_provider_is_configured():
    file = Path("config/datasets.yaml")
    datasets = validated(Datasets, read_yaml(ROOT / file), file).datasets
    assert {entry.provider for entry in datasets.values()} == set(PROVIDERS)


def test_a_check_loads_no_torch(project: Path):
    made(project, "llava_next")
    code = (
        "import sys, pathlib; from click.testing import CliRunner; from tesserae.cli.data import data; "
        "result = CliRunner().invoke(data, ['check', 'llava_next', '--deep'], "
        "obj={'root': pathlib.Path(sys.argv[1])}); "
        "sys.exit(result.exit_code or 2 * any(name in sys.modules for name in ('torch', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(project)], check=False).returncode == 0
