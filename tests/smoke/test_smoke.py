"""The whole road at smoke scale: from the corpus to the rendered table, once, and then not again."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from tesserae.config.stages import METRICS, STAGES
from tesserae.workflow.plan import read_plan
from tests.conftest import ROOT
from tests.smoke.conftest import reproduce


@pytest.fixture(scope="module")
def plan(smoke):
    return read_plan(smoke, "smoke")


def test_every_demanded_artifact_is_there_and_matches_its_manifest(smoke, plan):
    demanded, todo = set(), ["report/index", *(name for name in plan.jobs if name.startswith("lineage/"))]
    while todo:
        name = todo.pop()
        if name not in demanded:
            demanded.add(name)
            todo += plan.jobs[name].inputs.values()
    assert demanded == plan.jobs.keys() and len(demanded) > 200
    for name in demanded:
        record = json.loads((smoke / plan.folder(name) / "manifest.json").read_text())
        assert record["fingerprint"] == plan.fingerprint(plan.jobs[name])
        for entry in [
            *record["outputs"],
            *record["sources"],
            *(f for i in record["inputs"].values() for f in i["files"]),
        ]:
            assert hashlib.sha256((smoke / entry["path"]).read_bytes()).hexdigest() == entry["sha256"], entry["path"]


def test_the_table_shows_every_cell_published_and_measured(smoke):
    table = pd.read_csv(smoke / "results/smoke/table/detok_table_1/table.csv")
    controls, table = table[table["is_control"] == "yes"], table[table["is_control"] != "yes"]
    assert (len(table), len(controls)) == (30, 12) and controls["published"].isna().all()
    assert table["published"].notna().all() and table["control"].notna().all() and table["measured"].notna().all()
    assert set(table["extractor"]) == {"embedded"} and set(table["scale"]) == {"smoke"}
    numbers = json.loads((smoke / "results/smoke/metrics/mar_b_joint-cfg/metrics.json").read_text())["values"]
    cell = table[(table["row"] == "Joint noise") & (table["column"] == "MAR-B w/ CFG FID")].iloc[0]
    assert cell["published"] == 2.65 and cell["measured"] == pytest.approx(numbers["fid"])


def test_what_the_scale_does_without_is_shown_as_not_run(smoke, plan):
    table = pd.read_csv(smoke / "results/smoke/table/detok_table_2/table.csv").set_index(["row", "column"])
    told = plan.jobs["table/detok_table_2"].spec
    missing = {(dict(told["rows"])[cell["row"]], cell["column"]) for cell in told["missing"]}
    assert ("VA-VAE", "MAR FID") in missing and ("VA-VAE", "LightningDiT FID") not in missing
    table = table[table["is_control"] != "yes"]
    assert set(table[table["measured"].isna()].index) == missing
    assert table["published"].notna().all()
    claims = json.loads((smoke / "results/smoke/claims/detok/claims.json").read_text())["claims"]
    for claim in claims:
        assert (claim["verdict"] == "not run") == any(cell["reason"] for cell in claim["cells"]), claim["id"]
    assert {claim["verdict"] for claim in claims} == {"not run", "inconclusive"}  # one seed decides nothing
    assert "same road as others" in (smoke / "results/smoke/table/detok_table_2/table.md").read_text()


def test_stages_measure_what_tables_and_claims_can_ask_for(smoke, plan):
    found: dict[str, set[str]] = {
        name: set() for name, stage in STAGES.items() if stage.values and stage.numbers == METRICS
    }
    for job in plan.jobs.values():
        if job.stage in found:
            found[job.stage] |= json.loads((smoke / plan.folder(job.id) / METRICS).read_text())["values"].keys()
    found["objectness"] |= {"miou_unmasked", "chance_unmasked"}  # of published weights alone
    assert found == {name: set(STAGES[name].values) for name in found}


def test_a_second_run_does_nothing(smoke):
    def files():  # a file that was written anew is another inode
        return {path: (path.stat().st_ino, path.stat().st_size) for path in (smoke / "results").rglob("*")}

    before = files()
    done = reproduce(smoke)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr and "up to date" in done.stdout
    assert before == files()


@pytest.mark.parametrize("name", ["index.html", "changes.html", "page/detok/index.html", "page/concepttok/index.html"])
def test_pages_link_only_what_exists(smoke, name):
    page = smoke / "results/smoke" / name
    links = [link for link in re.findall(r'(?:href|src|data)="([^"#]+)', page.read_text()) if link[:5] != "data:"]
    assert links and not [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]


def test_the_report_tells_what_the_run_made(smoke, plan):
    changed = json.loads((smoke / "results/smoke/changes.json").read_text())
    assert changed["finished"] and changed["again"] == 0
    assert {name for names in changed["made"].values() for name in names} == plan.jobs.keys()
    assert {table["table"] for table in changed["tables"]} == {n for n in plan.jobs if n.startswith("table/")}
    assert all(table["first"] for table in changed["tables"]) and changed["verdicts"] == []
    assert 'data="changes.html"' in (smoke / "results/smoke/index.html").read_text()


def test_mlflow_has_one_run_per_artifact_and_a_second_sync_adds_none(smoke, plan):
    from mlflow.tracking import MlflowClient

    def sync():
        return subprocess.run(
            [sys.executable, "-m", "tesserae.cli.main", "--scale", "smoke", "mlflow", "sync"],
            cwd=smoke,
            capture_output=True,
            text=True,
            env={**os.environ, "MLFLOW_TRACKING_URI": ""},
        ).stdout

    made = len(list((smoke / "results/smoke").rglob("manifest.json")))
    assert f"0 runs added, {made} already there" in sync()
    client = MlflowClient(f"sqlite:///{smoke / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("detok/smoke")
    runs = client.search_runs([experiment.experiment_id], "tags.`tesserae.artifact` = 'generator/mar_b_joint'")
    assert [run.info.run_name for run in runs] == ["mar_b_joint"]
    assert runs[0].data.tags["tesserae.fingerprint"] == plan.fingerprint(plan.jobs["generator/mar_b_joint"])
    assert client.get_metric_history(runs[0].info.run_id, "train/diffloss_mse")
    assert runs[0].inputs.dataset_inputs
    nested = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{runs[0].info.run_id}'")
    assert sorted(run.info.run_name for run in nested) == [
        "mar_b_joint · search",
        "mar_b_joint · search_samples",
        "mar_b_joint-cfg · features",
        "mar_b_joint-cfg · metrics",
        "mar_b_joint-cfg · samples",
        "mar_b_joint-nocfg · features",
        "mar_b_joint-nocfg · metrics",
        "mar_b_joint-nocfg · samples",
    ]


def test_every_stage_is_in_one_list_of_rules():
    text = "".join(file.read_text() for file in sorted((ROOT / "workflow/rules").glob("*.smk")))
    lists = re.findall(r"^for STAGE in \(\n(.*?)^\):\n    rule:\n        name: STAGE\n", text, re.M | re.S)
    named = [stage for found in lists for stage in re.findall(r'^    "(\w+)",', found, re.M)]
    assert sorted([*named, *re.findall(r"^rule (\w+):", text, re.M)]) == sorted(STAGES)


def test_targets_by_name_are_planned(smoke):
    for target, tokenizers in {"detok": 4, "detok_table_1": 2, "concepttok": 3}.items():
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "-n", "--config", "scale=pocket", "--", target],
            cwd=smoke,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert re.search(rf"^tokenizer\s+{tokenizers}$", done.stdout, re.M), target


def test_dvc_records_the_results_and_the_workflow_stays_current(smoke):
    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=smoke, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dvc("init", "--no-scm", "--quiet")
    dvc("config", "cache.type", "reflink,hardlink,copy")
    dvc("add", "results/smoke")
    assert (smoke / "results/smoke.dvc").exists()
    shown = json.loads(dvc("metrics", "show", "--json", "results/smoke/table/detok_table_1/metrics.json"))
    numbers = next(iter(shown[""]["data"].values()))["data"]
    assert numbers["Joint noise"]["SiT-B w/o CFG FID"] > 0
    done = reproduce(smoke)
    assert "Nothing to be done" in done.stdout + done.stderr
