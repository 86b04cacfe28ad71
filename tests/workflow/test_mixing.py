"""No table ever mixes old and new: after crashes, edits in bad moments and remade inputs, what is there is what a
run from scratch would have made. The stages are toys, the plan, the runner and Snakemake are real."""

import shutil
import time

import pytest

from tesserae.lineage.hashes import SETTLED_NS
from tests.workflow.conftest import Toys, toys_in

CRASH = "if work.recipe in ('detok_bb_extended', 'detok_sb_joint'): raise RuntimeError('crash')"


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Toys:
    """A run from scratch."""
    toys = toys_in(tmp_path_factory.mktemp("once"))
    done = toys.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return toys


@pytest.fixture
def finished(once, tmp_path) -> Toys:
    """A project in which everything was made."""
    return once.copied(tmp_path)


def from_scratch(toys) -> str:
    shutil.rmtree(toys.root / "results")
    shutil.rmtree(toys.root / ".snakemake")
    assert toys.snakemake().returncode == 0
    return toys.made()


def test_a_crash_in_the_middle_then_a_second_run(finished):
    before = finished.made()
    finished.version("dataset", 2)
    finished.insert("tokenizer", CRASH)
    done = finished.snakemake()
    assert done.returncode != 0 and "crash" in done.stdout + done.stderr
    finished.edit("src/tesserae/stages/tokenizer.py", f"    {CRASH}\n", "")
    assert finished.snakemake().returncode == 0
    after = finished.made()
    assert after != before and after == from_scratch(finished)


def test_an_edit_while_the_workflow_runs(toys):
    """One job edits what jobs after it are made of: those are refused, and the next run makes everything anew."""
    toys.insert(
        "dataset", "f = work.root / 'src/tesserae/stages/tokenizer.py'; f.write_text(f.read_text() + '\\nLATER = 1\\n')"
    )
    done = toys.snakemake()
    assert done.returncode != 0 and "changed after planning" in done.stdout + done.stderr
    assert not (toys.root / toys.target).exists()
    assert toys.snakemake().returncode == 0
    assert (
        toys.manifest("tokenizer/detok_sb_joint")["fingerprint"]
        == toys.fingerprints("smoke")["tokenizer/detok_sb_joint"]
    )


def test_code_that_was_edited_when_imported_and_put_back_since(toys):
    extra = toys.root / "src/tesserae/data/extra.py"
    extra.write_text("VALUE = 1\n")
    file = toys.root / "src/tesserae/stages/dataset.py"
    file.write_text(
        "import pathlib\n\nEXTRA = pathlib.Path(__file__).parents[1] / 'data' / 'extra.py'\n"
        "EXTRA.write_text('VALUE = 2\\n')\nfrom tesserae.data import extra\n\n" + file.read_text()
    )
    toys.insert("dataset", "EXTRA.write_text('VALUE = 1\\n')")
    done = toys.make("dataset/emoji_few-32")
    assert done.returncode == 1 and "tesserae.data.extra was edited while it ran" in done.stderr
    assert not (toys.root / "results/smoke/dataset/emoji_few-32/manifest.json").exists()


def test_an_input_that_was_written_while_a_job_ran(toys):
    assert toys.make("dataset/emoji_few-32").returncode == 0
    toys.insert(
        "reference", "f = work.inputs['dataset'] / 'index.json'; t = f.read_text(); f.write_text('x'); f.write_text(t)"
    )
    done = toys.make("reference/emoji_few-32")
    assert done.returncode == 1 and "dataset/emoji_few-32/index.json was edited while it ran" in done.stderr


def test_an_input_that_was_overwritten_in_place_and_put_back_with_its_time(toys):
    assert toys.make("dataset/emoji_few-32").returncode == 0
    toys.insert(
        "reference",
        "f = work.inputs['dataset'] / 'index.json'; t, s = f.read_text(), f.stat(); f.write_text('x' * len(t)); "
        "f.write_text(t); os.utime(f, ns=(s.st_atime_ns, s.st_mtime_ns))",
    )
    done = toys.make("reference/emoji_few-32")
    assert done.returncode == 1 and "dataset/emoji_few-32/index.json was edited while it ran" in done.stderr


def test_an_input_that_was_linked_into_a_cache_while_a_job_ran(toys):
    assert toys.make("dataset/emoji_few-32").returncode == 0
    toys.insert(
        "reference", "f = work.inputs['dataset'] / 'index.json'; os.link(f, work.root / 'linked'); os.chmod(f, 0o444)"
    )
    done = toys.make("reference/emoji_few-32")
    assert done.returncode == 0, done.stderr


def test_a_copy_over_an_input_that_keeps_size_and_times_is_planned_and_refused(toys):
    assert toys.make("dataset/emoji_few-32").returncode == 0
    folder = toys.root / "results/smoke/dataset/emoji_few-32"
    before, other = (folder / "index.json").read_bytes(), toys.root / "other"
    other.write_bytes(bytes(len(before)))
    shutil.copystat(folder / "index.json", other)
    time.sleep(SETTLED_NS / 1e9)
    assert "dataset/emoji_few-32 is current" in toys.tesserae("why", "dataset/emoji_few-32").stdout
    shutil.copy2(other, folder / "index.json")  # cp -p
    assert "edited since it was made" in toys.tesserae("why", "dataset/emoji_few-32").stdout
    done = toys.make("reference/emoji_few-32")
    remedy = "tesserae --scale smoke reproduce results/smoke/dataset/emoji_few-32/train_images.npy"
    assert done.returncode == 1 and f"`{remedy}` makes it again" in done.stderr
    assert toys.tesserae(*remedy.split()[3:]).returncode == 0
    assert (folder / "index.json").read_bytes() == before
    assert toys.make("reference/emoji_few-32").returncode == 0


def test_an_input_that_was_edited_by_hand(toys, once):
    assert toys.make("dataset/emoji_few-32").returncode == 0
    (toys.root / "results/smoke/dataset/emoji_few-32/index.json").write_text("edited")
    done = toys.make("reference/emoji_few-32")
    assert done.returncode == 1 and "index.json was changed since it was made" in done.stderr
    assert toys.snakemake().returncode == 0  # Snakemake makes it again
    assert toys.made() == once.made()


def test_two_inputs_from_different_versions_of_a_third(finished):
    """The same identity, other bytes, as on a GPU: what was made from the old ones is stale, and refused."""
    assert finished.make("dataset/emoji_few-32", NOISE="other bytes").returncode == 0
    assert finished.make("tokenizer/detok_sb_joint").returncode == 0
    done = finished.make("reconstruction/detok_sb_joint")
    assert done.returncode == 1
    assert "reads what reference/emoji_few-32 fed, which is stale: made from another version of dataset" in done.stderr
    assert finished.snakemake().returncode == 0
    read = {
        name: entry["files"] for name, entry in finished.manifest("reconstruction/detok_sb_joint")["inputs"].items()
    }
    for producer, files in read.items():
        assert files == finished.manifest(producer)["outputs"]
    assert (
        finished.manifest("reference/emoji_few-32")["inputs"]["dataset/emoji_few-32"]["files"]
        == read["dataset/emoji_few-32"]
    )


def test_the_state_of_a_killed_job_belongs_to_what_it_read(toys):
    """A training must not go on from a checkpoint that other data led to."""
    assert toys.make("dataset/emoji_few-32").returncode == 0
    toys.edit("src/tesserae/stages/tokenizer.py", "*found]", "work.identity]")
    made = []
    for noise in ("", "other bytes"):
        assert toys.make("dataset/emoji_few-32", NOISE=noise).returncode == 0
        assert toys.make("tokenizer/detok_sb_joint").returncode == 0
        made.append((toys.root / "results/smoke/tokenizer/detok_sb_joint/curves.jsonl").read_text())
    assert made[0] != made[1]


@pytest.mark.parametrize("broken", ["{", '{"artifact": "x"}'])
def test_a_manifest_that_cannot_be_read_is_no_manifest(finished, broken):
    before = finished.made()
    (finished.root / "results/smoke/reference/emoji_few-32/manifest.json").write_text(broken)
    assert finished.snakemake().returncode == 0
    assert finished.manifest("reference/emoji_few-32")["manifest"] == 2 and finished.made() == before
