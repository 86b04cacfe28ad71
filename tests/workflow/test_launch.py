"""No expensive surprise: what is made again above a scale's limit needs a confirmation or a reviewed equivalence."""

import json
import re

import pytest
import yaml
from click.testing import CliRunner

from tesserae.cli.main import main
from tesserae.cli.showing import work
from tesserae.workflow import launch, showing
from tesserae.workflow.plan import open_plan
from tesserae.workflow.staleness import ArtifactStatus
from tests.config.test_config import edit
from tests.conftest import ROOT
from tests.workflow.conftest import Toys, toys_in

REFERENCE = "results/smoke/reference/emoji_few-32/val.npz"


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Toys:
    """Data set and reference, at a scale that asks before anything is made again."""
    toys = toys_in(tmp_path_factory.mktemp("once"))
    toys.target = REFERENCE
    toys.edit("config/scales/smoke.yaml", "confirm_above: null", "confirm_above: 0.0")
    done = toys.snakemake()
    assert done.returncode == 0, done.stderr  # what was never made is no surprise
    return toys


@pytest.fixture
def made(once, tmp_path) -> Toys:
    return once.copied(tmp_path)


def planned(toys) -> int:
    done = toys.snakemake("-n")
    assert done.returncode == 0, done.stderr
    total = re.search(r"^total\s+(\d+)", done.stdout + done.stderr, re.M)
    return int(total[1]) if total else 0


def test_an_expensive_run_needs_a_confirmation_of_just_this(made):
    made.version("dataset", 2)
    done = made.snakemake()
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "2 artifacts would be made again" in said and "confirm_above" in said
    assert (made.root / REFERENCE).exists()  # nothing was deleted
    token = re.search(r"--confirm (\w+)", said)[1]

    made.version("dataset", 3)  # another edit: the confirmation was not for this
    assert made.snakemake("--config", "scale=smoke", f"confirm={token}").returncode != 0
    made.version("dataset", 2)
    assert made.snakemake("--config", "scale=smoke", f"confirm={token}").returncode == 0
    assert (
        made.manifest("reference/emoji_few-32")["fingerprint"] == made.fingerprints("smoke")["reference/emoji_few-32"]
    )


def test_reproduce_says_what_changed_before_it_asks(made):
    made.version("dataset", 2)
    done = made.tesserae("reproduce")
    assert done.returncode == 1
    assert "stages/dataset.py: constant `VERSION` changed" in done.stdout
    assert "--confirm" in done.stderr and "follows from dataset/emoji_few-32" in done.stdout


def test_a_reviewed_equivalence_makes_nothing_again(made):
    file = made.root / "src/tesserae/stages/dataset.py"
    file.write_text(file.read_text().replace("found =", "seen =").replace("*found]", "*seen]"))
    assert planned(made) == 2
    done = made.tesserae("equivalent", "tesserae.stages.dataset", "--why", "a local name", "--by", "the test")
    assert done.returncode == 0, done.stderr
    assert planned(made) == 0
    entries = yaml.safe_load((made.root / "config/equivalent-code.yaml").read_text())["equivalents"]
    assert [entry["module"] for entry in entries] == ["tesserae.stages.dataset"] and entries[0]["by"] == "the test"

    made.version("dataset", 2)  # it holds for what was reviewed, and for nothing else
    assert planned(made) == 2
    made.version("dataset", 1)
    assert made.make("dataset/emoji_few-32").returncode == 0  # made anew, it says what it relies on
    record = made.manifest("dataset/emoji_few-32")
    assert record["equivalents"] == {"tesserae.stages.dataset": entries[0]["same_as"]}
    assert record["modules"]["tesserae.stages.dataset"] == entries[0]["code"]


def test_a_new_module_that_adds_nothing(made):
    (made.root / "src/tesserae/losses/extra.py").write_text("VALUE = 1\n")
    file = made.root / "src/tesserae/stages/dataset.py"
    file.write_text(file.read_text().replace("import os\n", "import os\n\nfrom tesserae.losses import extra\n"))
    assert planned(made) == 2
    for module in ("tesserae.stages.dataset", "tesserae.losses.extra", "tesserae.losses"):
        done = made.tesserae("equivalent", module, "--why", "an unused import", "--by", "the test")
        assert done.returncode == 0, done.stderr
    assert planned(made) == 0


def test_a_module_that_one_stage_newly_uses_stays_what_it_is_for_others(made):
    """tesserae.data is what the data set was made with, and new to the reference."""
    file = made.root / "src/tesserae/stages/reference.py"
    file.write_text(file.read_text().replace("import os\n", "import os\n\nfrom tesserae.data import errors\n"))
    assert planned(made) == 1
    for module in ("tesserae.stages.reference", "tesserae.data", "tesserae.data.errors"):
        done = made.tesserae("equivalent", module, "--why", "an unused import", "--by", "the test")
        assert done.returncode == 0, done.stderr
    assert "counts as absent in artifacts of reference." in done.stdout
    assert planned(made) == 0
    entries = yaml.safe_load((made.root / "config/equivalent-code.yaml").read_text())["equivalents"]
    assert [entry.get("stages") for entry in entries] == [None, ["reference"], ["reference"]]
    said = [note["what"] for note in yaml.safe_load(made.tesserae("audit", "--json").stdout)["notes"]]
    relied = "in artifacts of reference: an unused import (the test); 1 artifacts rely on it"
    assert sum(relied in one for one in said) == 2


def test_equivalences_that_contradict_each_other_are_refused(made):
    entry = "- {module: tesserae.losses, code: 0123456789abcdef, same_as: absent, why: no number, by: me, stages: [%s]}"
    file = made.root / "config/equivalent-code.yaml"
    cases = (("features", "features, table"), "twice for features"), (("feature",), "no stage feature")
    for stages, words in cases:
        file.write_text("\n".join(["equivalents:", *(entry % some for some in stages)]))
        assert words in made.tesserae("stale").stderr


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tesserae.stages.dataset", "is what all artifacts at scale smoke were made with"),
        ("tesserae.stages.nothing", "there is no module"),
        ("tesserae.metrics.fidelity", "no artifact at scale smoke depends on"),
    ],
)
def test_an_equivalence_that_is_not_needed_is_refused(made, module, words):
    done = made.tesserae("equivalent", module, "--why", "no reason at all", "--by", "the test")
    assert done.returncode == 1 and words in done.stderr


def test_other_library_versions_are_reported_and_remade_only_when_asked(made):
    made.edit("config/scales/smoke.yaml", "confirm_above: 0.0", "confirm_above: null")
    file = made.root / "results/smoke/dataset/emoji_few-32/manifest.json"
    version = made.manifest("dataset/emoji_few-32")["environment"]["libraries"]["torch"]
    file.write_text(file.read_text().replace(f'"torch": "{version}"', '"torch": "2.0.0"'))
    assert planned(made) == 0
    assert f"torch 2.0.0 made 1 artifacts, here is {version}" in made.tesserae("stale").stdout
    done = made.snakemake("--config", "scale=smoke", "remake=libraries")
    assert done.returncode == 0
    assert made.manifest("dataset/emoji_few-32")["environment"]["libraries"]["torch"] == version


def test_a_manifest_without_a_field_is_no_manifest_and_says_so(made):
    made.edit("config/scales/smoke.yaml", "confirm_above: 0.0", "confirm_above: null")
    file = made.root / "results/smoke/dataset/emoji_few-32/manifest.json"
    whole = file.read_text()
    file.write_text(whole.replace('"started"', '"begun"'))
    assert planned(made) == 2
    assert "its manifest does not say started" in made.tesserae("why", "dataset/emoji_few-32").stdout
    done = made.make("reference/emoji_few-32")
    assert done.returncode == 1 and "its manifest does not say started" in done.stderr
    file.write_text(whole)
    assert planned(made) == 0


def test_an_unknown_name_to_remake_is_refused(made):
    done = made.tesserae("reproduce", "--remake", "tokenizer/detok_sb_join")
    assert done.returncode == 1 and "tokenizer/detok_sb_joint" in done.stderr


def test_a_target_is_a_rule_or_a_file():
    plan = open_plan(ROOT, "smoke")
    file = "results/smoke/table/detok_table_1/table.csv"
    targets = ["detok_table_1", "detok", "table/detok_table_1", "results/smoke/table/detok_table_1", file]
    assert launch.wanted(plan, targets[2:]) == ["table/detok_table_1"]
    found = launch.as_files(plan, ("--cores", "1", *targets), targets)
    assert found == ("--cores", "1", "detok_table_1", "detok", file, file, file)


# ---- one paper alone --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return open_plan(ROOT, "pocket")


def test_a_paper_alone_is_all_that_shows_it_and_nothing_of_another(whole):
    wanted = launch.wanted(whole, ["detok"])
    shown = {name for name in whole.shown if whole.jobs[name].papers == ("detok",)}
    assert set(wanted) == shown and {"page/detok", "lineage/detok", "notebook/detok", "claims/detok"} <= shown
    made = set(whole.demanded(*wanted))
    assert {job.papers for job in map(whole.jobs.get, made)} <= {("detok",), ()}
    others = [paper for paper in whole.project.papers if paper != "detok"]
    all_of_them = made | set(whole.demanded(*launch.wanted(whole, others)))
    assert {name.partition("/")[0] for name in whole.jobs.keys() - all_of_them} == {"report", "forecast", "spread"}


def test_a_paper_is_the_same_artifacts_without_the_others(whole, project):
    edit(project, "config.yaml", lambda c: c.update(papers=["detok"]))
    alone = open_plan(project, "pocket")
    for name in alone.demanded(*alone.of_paper("detok")):
        assert alone.jobs[name] == whole.jobs[name]


def test_a_paper_that_there_is_not_is_refused_with_those_that_there_are(whole):
    assert launch.papers(whole, ["detok", "detok"]) == ["detok"]
    with pytest.raises(LookupError, match=r"no paper 'detk'; .*: papers has detok, concepttok"):
        launch.papers(whole, ["detok", "detk"])


@pytest.mark.parametrize("command", ["reproduce", "plan", "stale"])
def test_every_command_refuses_an_unknown_paper(command):
    done = CliRunner().invoke(main, ["--project", str(ROOT), "--scale", "smoke", command, "--paper", "detk"])
    assert done.exit_code == 1 and "papers has detok, concepttok" in done.output


def test_the_first_page_follows_a_paper_once_nothing_else_is_missing_for_it(whole):
    def along(missing) -> list[str]:
        def status(job) -> ArtifactStatus:
            if job.id not in missing:
                return ArtifactStatus(job.id, {"seconds": 1.0})
            return ArtifactStatus(job.id, None, missing=[path.name for path in whole.outputs(job)])

        statuses = {job.id: status(job) for job in whole.jobs.values()}
        return launch.pages_along(whole, statuses, launch.wanted(whole, ["detok"]))

    mine, others = ({f"table/{paper}_table_1", f"page/{paper}", "report/index"} for paper in ("detok", "concepttok"))
    assert along(whole.jobs) == ["forecast/paper"]  # it reads nothing
    assert along(mine) == ["forecast/paper", "report/index"]
    assert along(mine | others) == ["forecast/paper"]


def test_stale_looks_at_what_is_named(whole):
    def run(*targets: str) -> set[str]:
        done = CliRunner().invoke(main, ["--project", str(ROOT), "--scale", "pocket", "stale", "--json", *targets])
        assert done.exit_code == 0, done.output
        return {job["artifact"] for job in json.loads(done.stdout)["run"]}

    assert run("--paper", "concepttok") <= {*whole.demanded(*whole.of_paper("concepttok"))}
    assert run("dataset/emoji-32") <= {"dataset/emoji-32"}


def test_what_was_asked_for_is_shown_file_by_file(made):
    done = made.tesserae("reproduce", "dataset/emoji_few-32", "reference/emoji_few-32")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, file in (("dataset", "train_images.npy"), ("reference", "train.npz")):
        assert f"{name}/emoji_few-32 at scale smoke is up to date: results/smoke/{name}/emoji_few-32/{file}" in (
            done.stdout
        )
    assert "The first page, results/smoke/index.html, is of all papers and waits for" in done.stdout


@pytest.mark.parametrize(
    ("seconds", "names", "words"),
    [
        ({}, ["a"], ""),
        ({"b": 62.0}, ["b"], ": 1 min 02 s of work the last time"),
        ({"b": 62.0}, ["a"], ": how long it takes is not known, nothing of the kind ran here yet"),
        ({"b": 62.0}, ["a", "b"], ": 1 min 02 s of work the last time, and 1 artifact of which no time is known"),
    ],
)
def test_the_work_of_a_run_is_said_in_words(monkeypatch, seconds, names, words):
    monkeypatch.setattr(showing, "seconds", lambda plan, statuses, name: seconds.get(name))
    statuses = {name: ArtifactStatus(name, {"seconds": 1.0} if name in seconds else None) for name in "ab"}
    assert work(None, statuses, names) == words


def test_a_job_that_slurm_queued_again_after_its_result_landed_does_nothing(made):
    """Its node died between the two: the very command line of a job's Snakemake, with SLURM's count of restarts."""
    job = ["--target-jobs", "reference:scale=smoke,recipe=emoji_few-32", "--allowed-rules", "reference"]
    job += ["--force", "--cores", "1", "--nolock", "--mode", "remote"]

    def again() -> tuple[int, bool]:
        before = (made.root / REFERENCE).stat().st_mtime_ns
        done = made.python(
            "-m", "snakemake", *job, "--config", "scale=smoke", TESSERAE_WARM="off", SLURM_RESTART_COUNT="1"
        )
        return done.returncode, (made.root / REFERENCE).stat().st_mtime_ns != before

    assert again() == (0, False)
    made.version("reference", 2)
    assert again() == (0, True)
