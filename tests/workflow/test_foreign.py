"""Published weights in a run: looked for first, recorded with their hash, and never quietly replaced by others."""

import hashlib

import pytest

from tesserae.config.errors import ConfigError
from tesserae.workflow import foreign
from tesserae.workflow.graph.job import Job

JOB = "tokenizer/detok_sb_joint"
EXCEPTION = """exceptions:
  detok_sb_joint:
    set: {source: official, file: theirs/detok.pth, latent_mean: 0.0, latent_std: 2.0}
    reason: its weights are published
"""


@pytest.fixture
def official(toys, tmp_path_factory, monkeypatch):
    """Toys that take one tokenizer's weights from a file, and the folder where it should lie."""
    toys.edit("config/scales/smoke.yaml", "exceptions:\n", EXCEPTION)
    toys.insert("tokenizer", "global VERSION; VERSION = work.weights.read_text() if work.weights else 1")
    toys.target = f"results/smoke/{JOB}/weights.safetensors"
    monkeypatch.delenv("TESSERAE_WEIGHTS", raising=False)
    return toys, tmp_path_factory.mktemp("weights")


def put(folder, text: str) -> str:
    """Write the file; its sha256."""
    (folder / "theirs").mkdir(exist_ok=True)
    (folder / "theirs/detok.pth").write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def planned(toys, **environment: str) -> list[str]:
    code = (
        "from pathlib import Path; from tesserae.workflow.plan import read_plan; "
        "from tesserae.workflow.staleness import examine, to_run; "
        f"p = read_plan(Path('.').resolve(), 'smoke'); names = p.demanded({JOB!r}); "
        f"print(to_run(p, examine(p, wanted=names), [{JOB!r}]).get({JOB!r}, ''))"
    )
    done = toys.python("-c", code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("run", ["snakemake", "make"])
def test_what_is_missing_is_named_before_anything_runs(official, run):
    toys, folder = official

    def refusal(**environment: str) -> str:
        done = toys.snakemake(**environment) if run == "snakemake" else toys.make(JOB, **environment)
        assert done.returncode != 0 and not (toys.root / toys.target).exists()
        assert run == "make" or not list((toys.root / "results").rglob("manifest.json"))
        return done.stdout + done.stderr

    if run == "make":
        assert toys.make("dataset/emoji_few-32").returncode == 0
    said = refusal()
    for words in ("TESSERAE_WEIGHTS is not set, to find theirs/detok.pth", "docs/weights.md", "source: training"):
        assert words in said
    if run == "make":
        assert f"not in the folder {folder}: theirs/detok.pth" in refusal(TESSERAE_WEIGHTS=str(folder))


def test_other_weights_under_the_same_name_make_it_again(official):
    toys, folder = official
    here = {"TESSERAE_WEIGHTS": str(folder)}
    digest = put(folder, "first")
    assert toys.snakemake(**here).returncode == 0
    record, made = toys.manifest(JOB), (toys.root / toys.target).read_text()
    assert record["weights"] == {"file": "theirs/detok.pth", "sha256": digest, "bytes": 5}
    put(folder, "first")  # written again, the same
    assert planned(toys, **here) == ""
    assert planned(toys) == ""  # where the file is not, the artifact is what it says it is
    other = put(folder, "other")  # as many bytes
    assert planned(toys, **here) == f"made from other published weights than are in {folder / 'theirs/detok.pth'}"
    assert toys.snakemake(**here).returncode == 0
    assert toys.manifest(JOB)["weights"]["sha256"] == other
    assert toys.manifest(JOB)["fingerprint"] == record["fingerprint"]
    assert (toys.root / toys.target).read_text() != made


def test_weights_that_change_while_they_are_read_are_refused(official):
    toys, folder = official
    put(folder, "first")
    toys.insert("tokenizer", "work.weights.write_text('later')")
    assert toys.make("dataset/emoji_few-32").returncode == 0
    done = toys.make(JOB, TESSERAE_WEIGHTS=str(folder))
    assert done.returncode != 0 and "was edited while it ran" in done.stderr
    assert not (toys.root / toys.target).exists()


def test_all_that_is_missing_is_named_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("TESSERAE_WEIGHTS", str(tmp_path))
    put(tmp_path, "here")
    jobs = [Job("tokenizer", name, {}, weights=file) for name, file in (("a", "b.pth"), ("c", None), ("d", "a/e.pth"))]
    here = Job("tokenizer", "f", {}, weights="theirs/detok.pth")
    assert foreign.published_weights(here) == tmp_path / "theirs/detok.pth"
    assert foreign.published_weights(jobs[1]) is None
    with pytest.raises(ConfigError, match=r": a/e\.pth, b\.pth\n"):
        foreign.check([*jobs, here])
