"""The audit of real results: clean when nobody touched them, and no tampering with them passes."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tesserae.audit.audit import audit
from tesserae.audit.evidence import Planned
from tesserae.audit.numbers import check
from tesserae.config.project import read_project
from tesserae.config.stages import STAGES
from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.stages import claims as claimed
from tesserae.stages import table
from tesserae.workflow.plan import read_plan
from tests.conftest import ROOT

TOP = Path("results/smoke")
TABLE = "table/detok_table_1"
ONE, OTHER = "tokenizer/detok_sb_latent", "tokenizer/detok_sb_joint"
# Pages read manifests and tables, so that most edits show there as well; the tests look at where an edit was made.
# CompTok's are those of its studies of generators.
PAGES = (
    "report/index",
    *(f"{page}/{paper}" for page in ("lineage", "notebook", "page") for paper in ("detok", "comptok")),
)


@pytest.fixture
def results(smoke, tmp_path) -> Path:
    """A copy of the smoke results with the configuration, but without anything that Snakemake, DVC or MLflow know."""
    shutil.copytree(smoke / "results", tmp_path / "results")
    for name in ("config", "data", "notebooks", "workflow", "profiles", "src", "Snakefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture(scope="module")
def planned(smoke) -> dict[str, Planned]:
    plan = read_plan(smoke, "smoke")
    return {
        job.id: Planned(
            plan.fingerprint(job),
            STAGES[job.stage].files,
            {producer: plan.reads(job, producer) for producer in job.inputs.values()},
            frozenset(plan.own(job).modules),
        )
        for job in plan.jobs.values()
    }


def found(root: Path, planned: dict[str, Planned]) -> set[tuple[str, str]]:
    """(kind, artifact) of all findings, those about pages apart."""
    reviewed = read_project(ROOT, "smoke").equivalents.equivalents
    further = [check({"table": table.run, "claims": claimed.run})]
    report = audit(root, "smoke", planned, equivalents=reviewed, further=further, progress=False)
    assert not report.clean
    return {(finding.kind, finding.artifact) for finding in report.findings if finding.artifact not in PAGES}


def change(root: Path, artifact: str, edit) -> None:
    record = manifests.read(root / TOP / artifact)
    edit(record)
    manifests.write(root / TOP / artifact / manifests.NAME, record)


def rehash(record: dict, root: Path) -> None:
    """Let a manifest say what its outputs are now."""
    record["outputs"] = [manifests.describe(root / entry["path"], root) for entry in record["outputs"]]


def readers(root: Path, artifact: str, file: str | None = None) -> set[str]:
    """What was made from an artifact, or from one file of it."""
    records = manifests.collect(root, "smoke")
    return {
        name
        for name, record in records.items()
        if artifact in record["inputs"]
        and name not in PAGES
        and any(file in (None, Path(entry["path"]).name) for entry in record["inputs"][artifact]["files"])
    }


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tesserae.cli.main", "--scale", "smoke", "audit", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
    )


def test_untouched_results_are_clean_and_manifests_are_enough(results):
    assert sorted(path.name for path in results.iterdir() if not path.is_symlink()) == ["results"]
    done = command(results)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no findings" in done.stdout and "Clean: " in done.stdout


def test_the_command_lists_what_it_finds_and_exits_with_1(results):
    with open(results / TOP / ONE / "weights.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    done = command(results)
    assert done.returncode == 1
    assert "edited: " in done.stdout and f"{TOP / ONE}/weights.safetensors" in done.stdout
    as_json = command(results, "--json")
    assert as_json.returncode == 1
    (finding,) = json.loads(as_json.stdout)["findings"]
    assert (finding["kind"], finding["artifact"]) == ("edited", ONE)


def test_a_scale_without_results_is_an_error(tmp_path):
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    done = command(tmp_path)
    assert done.returncode == 1 and "there is nothing to audit" in done.stderr


def test_two_tokenizers_swapped_with_their_manifests(results, planned):
    one, other = results / TOP / ONE, results / TOP / OTHER
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)
    expected = {("place", ONE), ("place", OTHER)}
    expected |= {("input-changed", name) for name in readers(results, ONE) | readers(results, OTHER)}
    assert found(results, planned) == expected and len(expected) > 10


def test_two_tokenizers_swapped_and_renamed(results, planned):
    test_two_tokenizers_swapped_with_their_manifests(results, planned)
    for mine, theirs in ((ONE, OTHER), (OTHER, ONE)):
        file = results / TOP / mine / manifests.NAME
        text = file.read_text().replace(theirs, mine)
        file.write_text(text.replace(f'"recipe": "{Path(theirs).name}"', f'"recipe": "{Path(mine).name}"'))
    expected = {("code", ONE), ("code", OTHER)}
    expected |= {("input-changed", name) for name in readers(results, ONE) | readers(results, OTHER)}
    assert found(results, planned) == expected


def test_weights_of_two_tokenizers_swapped_and_their_hashes_too(results, planned):
    one, other = (results / TOP / name / "weights.safetensors" for name in (ONE, OTHER))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    for name in (ONE, OTHER):
        change(results, name, lambda record: rehash(record, results))
    everyone = readers(results, ONE) | readers(results, OTHER)
    assert found(results, planned) == {("input-changed", name) for name in everyone}


def test_one_number_of_the_table_edited_and_its_manifest_too(results, planned):
    file = results / TOP / TABLE / "table.csv"
    lines = file.read_text().splitlines(keepends=True)
    fields = lines[1].split(",")
    fields[5] = repr(float(fields[5]) - 1)  # measured
    file.write_text("".join([lines[0], ",".join(fields), *lines[2:]]))
    change(results, TABLE, lambda record: rehash(record, results))
    assert found(results, planned) == {("number", TABLE)}


def test_a_setting_edited_in_a_manifest(results, planned):
    change(results, OTHER, lambda record: record["spec"]["model"].update(gamma=2.5))
    assert found(results, planned) == {("identity", OTHER)}


def test_an_input_deleted(results, planned):
    readers_ = readers(results, "search/mar_b_joint")
    shutil.rmtree(results / TOP / "search/mar_b_joint")
    assert found(results, planned) == {("input-missing", name) for name in readers_}


def test_metrics_replaced_together_with_their_manifest(results, planned):
    name = "metrics/mar_b_joint-cfg"
    file = results / TOP / name / "metrics.json"
    numbers = json.loads(file.read_text())
    numbers["values"]["fid"] -= 100
    file.write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")

    def edit(record):
        record["metrics"]["fid"] -= 100
        rehash(record, results)

    change(results, name, edit)
    expected = {("input-changed", reader) for reader in readers(results, name, "metrics.json")}
    expected |= {("number", TABLE), ("number", "claims/detok")}
    assert found(results, planned) == expected
    assert ("input-changed", TABLE) in expected


def test_numbers_of_another_extractor_in_a_column(results, planned):
    name = "metrics/sit_b_joint-nocfg"
    file = results / TOP / name / "metrics.json"
    numbers = json.loads(file.read_text())
    numbers["measure"]["extractor"] = "inception"
    file.write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")
    change(results, name, lambda record: rehash(record, results))
    assert found(results, planned) >= {("measure", name), ("mixed", TABLE), ("input-changed", TABLE)}


def test_other_code_is_found_whatever_a_cache_of_analysed_modules_says(smoke, copy):
    shutil.copytree(smoke / "results", copy.root / "results")
    module = "tesserae.losses.adversarial"
    before = fingerprint.scan(module)
    copy.edit("src/tesserae/losses/adversarial.py", "relu(1", "relu(2")
    raw = (copy.root / "src/tesserae/losses/adversarial.py").read_bytes()
    key = f"{module}:{fingerprint.ENGINE}:{hashlib.sha256(raw).hexdigest()}"
    (copy.root / ".tesserae").mkdir()
    (copy.root / ".tesserae/modules.json").write_text(json.dumps({key: [before.digest, list(before.imports)]}))
    cache = {"TESSERAE_CACHE": str(copy.root / ".tesserae")}
    done = copy.python("-m", "tesserae.cli.main", "--scale", "smoke", "audit", "--json", **cache)
    assert done.returncode == 1, done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert {finding["kind"] for finding in findings} == {"code", "upstream"}
    own = [finding for finding in findings if finding["kind"] == "code"]
    assert {finding["artifact"].split("/")[0] for finding in own} >= {"tokenizer"}
    assert all("losses/adversarial.py: function" in finding["what"] for finding in own)
    assert any(finding["artifact"] == TABLE for finding in findings if finding["kind"] == "upstream")
