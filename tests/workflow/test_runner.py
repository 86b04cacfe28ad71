"""The runner's guards: a finished artifact means what its fingerprint says, or there is none."""

import json
from pathlib import Path

import pytest

from tesserae.audit import evidence
from tesserae.lineage import manifest as manifests

STAGE = """
from tesserae.config.stages import STAGES
from tesserae.lineage.work import Work


def run(work: Work):
    for name in STAGES["dataset"].files:
        (work.out / name).write_text("made")
    return {"count": 1}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("dataset")
"""
FOLDER = Path("results/pocket/dataset/emoji-32")


@pytest.fixture
def toy(copy):
    """A copy whose dataset stage does nothing but write its files."""
    (copy.root / "src/tesserae/stages/dataset.py").write_text(STAGE)
    return copy


def make(toy, *arguments: str):
    return toy.python("-m", "tesserae.stages.dataset", "emoji-32", *arguments)


def with_body(toy, line: str) -> None:
    toy.edit("src/tesserae/stages/dataset.py", "    return {", f"    {line}\n    return {{")


def refused(toy, done, *words: str) -> None:
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not (toy.root / FOLDER / "manifest.json").exists()
    assert not list((toy.root / FOLDER.parent).glob(".*"))  # nothing half-made stays


def test_an_output_that_is_not_declared_is_refused_and_not_lost_in_silence(toy):
    with_body(toy, '(work.out / "extra.npy").write_text("x")')
    refused(toy, make(toy), "dataset/emoji-32 wrote extra.npy", "does not declare it", "src/tesserae/config/stages.py")


def test_an_artifact_that_lacks_an_output_of_its_stage_is_stale_and_says_so(toy):
    assert make(toy).returncode == 0
    file = toy.root / FOLDER / "manifest.json"
    record = json.loads(file.read_text())
    record["outputs"] = [entry for entry in record["outputs"] if not entry["path"].endswith("captions.json")]
    file.write_text(json.dumps(record))
    said = toy.python("-m", "tesserae.cli.main", "--scale", "pocket", "why", "dataset/emoji-32")
    assert said.returncode == 0, said.stderr
    assert "1 artifact would run" in said.stdout
    assert "it was made without captions.json, which its stage writes now" in said.stdout


def test_a_job_leaves_files_and_a_manifest(toy):
    done = make(toy, "--fingerprint", toy.fingerprints()["dataset/emoji-32"])
    assert done.returncode == 0, done.stderr
    record = json.loads((toy.root / FOLDER / "manifest.json").read_text())
    assert record["fingerprint"] == toy.fingerprints()["dataset/emoji-32"]
    assert {Path(entry["path"]).name for entry in record["outputs"]} == {
        "train_images.npy",
        "train_labels.npy",
        "val_images.npy",
        "val_labels.npy",
        "index.json",
        "captions.json",
    }
    assert all(entry["bytes"] == 4 for entry in record["outputs"])
    assert record["metrics"] == {"count": 1} and record["spec"]["image_size"] == 32
    assert {entry["path"] for entry in record["sources"]} == {"data/emoji/emoji.npz", "data/emoji/SHA256SUMS"}
    assert record.keys() == set(manifests.FIELDS) == evidence.Manifest.model_fields.keys()
    assert manifests.missing(record) == []


def test_an_edit_after_planning_is_refused(toy):
    planned = toy.fingerprints()["dataset/emoji-32"]
    with_body(toy, "x = 1")
    refused(toy, make(toy, "--fingerprint", planned), "changed after planning")


def test_an_edit_while_running_discards_the_result(toy):
    with_body(toy, "import pathlib; f = pathlib.Path(__file__); f.write_text(f.read_text() + 'x = 1')")
    refused(toy, make(toy), "tesserae.stages.dataset was edited while it ran")


def test_a_read_that_is_not_declared_is_refused(toy):
    with_body(toy, "open(work.root / 'config' / 'config.yaml').read()")
    refused(toy, make(toy), "read files it does not declare", "config/config.yaml")


def test_a_dynamic_import_is_refused(toy):
    with_body(toy, "__import__('importlib').import_module('tesserae.' + 'nn.rope')")
    refused(toy, make(toy), "tesserae.nn", "does not cover")


def test_a_missing_output_is_refused(toy):
    with_body(toy, "(work.out / 'index.json').unlink()")
    refused(toy, make(toy), "did not write index.json")


def test_a_failing_stage_leaves_nothing(toy):
    with_body(toy, "raise RuntimeError('the disk is full')")
    refused(toy, make(toy), "dataset/emoji-32 failed: the disk is full")


def test_a_job_without_its_inputs_says_what_to_make(toy):
    done = toy.python("-m", "tesserae.workflow.runner", "reference", "emoji-32")
    assert (
        done.returncode == 1
        and "needs dataset/emoji-32" in done.stderr
        and "`tesserae --scale pocket reproduce results/pocket/dataset/emoji-32" in done.stderr
    )


def test_inputs_of_another_version_are_refused(toy):
    assert make(toy).returncode == 0
    with_body(toy, "x = 1")
    done = toy.python("-m", "tesserae.workflow.runner", "reference", "emoji-32")
    assert done.returncode == 1 and "another version of dataset/emoji-32" in done.stderr


def test_an_unknown_recipe_names_those_there_are(toy):
    done = toy.python("-m", "tesserae.workflow.runner", "tokenizer", "detok")
    assert done.returncode == 1 and "detok_sb_joint" in done.stderr


def test_every_stage_runs_by_hand(copy):
    stages = sorted(
        file.stem for file in (copy.root / "src/tesserae/stages").glob("*.py") if "def run(work" in file.read_text()
    )
    code = (
        "import sys; from tesserae.workflow.runner import main\n"
        "for stage in sys.argv[1:]:\n"
        "    try: main([stage, '--help'])\n"
        "    except SystemExit as end: print('exit', end.code)\n"
    )
    done = copy.python("-c", code, *stages)
    assert done.returncode == 0, done.stderr
    helps = done.stdout.split("exit 0\n")
    assert helps.pop() == "" and len(helps) == len(stages) > 20
    for stage, said in zip(stages, helps):
        assert "--scale" in said
        assert f'by_hand("{stage}")' in (copy.root / f"src/tesserae/stages/{stage}.py").read_text()
