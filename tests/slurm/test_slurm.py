"""The smoke pipeline through sbatch, and jobs that come to the end of their time meanwhile."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml

from tesserae.workflow import events
from tesserae.workflow.under_way import UnderWay
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Run, Site, fresh, fresh_toys, started
from tests.workflow.conftest import cut_to_one_row

DATASET, REFERENCE, TOKENIZER = "dataset/emoji_few-32", "reference/emoji_few-32", "tokenizer/detok_sb_joint"

# A line for a training: three seconds for each microbatch of each step, until the test opens the gate.
PAUSE = "(work.root / '.tesserae/open').exists() or __import__('time').sleep(3)"
SLEEP = "__import__('time').sleep(600)"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    with started(tmp_path_factory.mktemp("slurm") / "cluster", cpus=8, memory=16000) as found:
        yield found


@pytest.fixture(scope="module")
def runs(cluster: Cluster, tmp_path_factory) -> Iterator[dict[str, tuple[Site, Run]]]:
    """All at once, for most of them wait: one row of the table; a slow training in 1 and in 2 processes; toys."""
    with ExitStack() as stack:
        begun = {}

        def begin(name: str, site: Site, *wanted: str, retries: str = "3", seen: bool = False) -> None:
            options = ("--retries", retries, *(["--logger", "tesserae"] if seen else []))
            begun[name] = site, stack.enter_context(site.run(*wanted, options=options))

        begin(
            "toys",
            slow_toys(Site(fresh_toys(tmp_path_factory.mktemp("toys")), cluster)),
            REFERENCE,
            TOKENIZER,
            retries="1",
            seen=True,
        )
        for processes in (1, 2):
            slow = slow_training(Site(fresh(tmp_path_factory.mktemp("slow")), cluster), processes)
            begin(f"training in {processes}", slow, TOKENIZER)
        begin("row", row(Site(fresh(tmp_path_factory.mktemp("row")), cluster)))
        yield begun


def slow_toys(site: Site) -> Site:
    """The reference is too slow once, the tokenizer always; nobody is warned: a minute may end before Python is up."""
    site.configure("sbatch: [] ", 'sbatch: ["--signal=CONT@1"] ')
    for stage in ("reference", "tokenizer"):
        site.resources(stage, "{mem_mb: 500, runtime: 1}")
    site.toys.insert("reference", "tried = work.root / '.tesserae/tried'; tried.exists() or tried.touch() or " + SLEEP)
    site.toys.insert("tokenizer", SLEEP)
    site.made(DATASET)
    return site


def slow_training(site: Site, processes: int) -> Site:
    site.configure("sbatch: [] ", 'sbatch: ["--signal=USR1@120"] ')
    site.resources("tokenizer", f"{{mem_mb: 900, runtime: 4, processes: {processes}}}")
    site.toys.edit("config/scales/smoke.yaml", "tokenizer_training:\n", "tokenizer_training:\n  microbatches: 2\n")
    site.toys.edit("src/tesserae/stages/tokenizer.py", "        images =", f"        {PAUSE}\n        images =")
    site.made(DATASET)
    return site


def row(site: Site) -> Site:
    """The real stages, cut down; the tokenizer is trained in two processes."""
    cut_to_one_row(site.toys)
    scale = site.root / "config/scales/smoke.yaml"
    smoke = yaml.safe_load(scale.read_text())
    smoke["tokenizer_training"]["microbatches"] = 2
    smoke["resources"] = {"default": {"mem_mb": 900, "runtime": 10}, "tokenizer": {"mem_mb": 1800, "processes": 2}}
    scale.write_text(yaml.safe_dump(smoke))
    return site


@pytest.mark.parametrize("processes", [1, 2])
def test_a_training_that_is_warned_goes_on_later_with_the_same_bytes(runs, processes):
    site, run = runs[f"training in {processes}"]
    run.until(lambda: site.restarts(TOKENIZER), "the training is queued again")
    site.open()
    run.complete()
    assert "resuming at step" in site.stage_log(TOKENIZER)
    made = site.root / "results/smoke"
    files = [made / TOKENIZER / name for name in ("weights.safetensors", "curves.jsonl")]
    disturbed = [file.read_bytes() for file in files]
    made.rename(site.notes / "disturbed")
    site.made(DATASET, TOKENIZER)
    assert disturbed == [file.read_bytes() for file in files]


def test_other_jobs_get_more_time_and_at_last_a_clear_error(runs):
    site, run = runs["toys"]
    assert run.end() != 0
    site.verify(REFERENCE)
    minutes = re.findall(r"recipe=emoji_few-32\n[\d:]+ \|     resources: .*runtime=(\d+)", run.log)
    assert list(dict.fromkeys(minutes)) == ["1", "2"]
    jobs = re.findall(r"submitted with SLURM jobid (\d+) .*rule_tokenizer", run.log)
    assert len(jobs) == 2
    for job in jobs:
        assert f"SLURM-job '{job}' failed, SLURM status is: 'TIMEOUT'" in run.log
        assert "DUE TO TIME LIMIT" in site.slurm_log(TOKENIZER, job)
    site.nothing_landed(TOKENIZER)


def test_a_view_of_a_run_on_a_cluster_knows_what_waits_and_what_failed(runs):
    """From the events of the run before: a job waits in the queue until its log begins."""
    site, run = runs["toys"]
    run.end()
    told = [event for line in events.Lines(run.events).new() if (event := events.parsed(line))]
    view = UnderWay(site.root)
    view.apply(told[0])
    assert told[0]["event"] == "begun" and view.remote and view.room == 100 and set(view.jobs) == {REFERENCE, TOKENIZER}
    happened = [(event["event"], event["job"]) for event in told if event.get("job") in view.jobs]
    assert happened.count(("started", TOKENIZER)) == 2 == happened.count(("failed", TOKENIZER))
    assert happened.count(("started", REFERENCE)) == 2 and happened.count(("finished", REFERENCE)) == 1
    first = next(event for event in told if event["event"] == "started")
    view.apply(first)
    log = view.running[first["job"]].log
    written = log.stat()
    os.utime(log, (first["at"] - 60, first["at"] - 60))
    assert view.waits(first["job"])
    os.utime(log, (written.st_atime, written.st_mtime))
    assert not view.waits(first["job"])
    for event in told[1:]:
        view.apply(event)
    assert [*view.failed] == [TOKENIZER] and [*view.done] == [REFERENCE] and not view.running
    assert all("TIMEOUT" in event["message"] for event in told if event["event"] == "failed")


def test_the_smoke_pipeline_through_sbatch_makes_the_numbers_of_a_laptop(runs):
    site, run = runs["row"]
    run.complete()
    made = site.root / "results/smoke"
    records = {file: json.loads(file.read_text()) for file in made.rglob("manifest.json")}
    jobs = [record["hardware"]["scheduler_job"] for record in records.values()]
    assert len(jobs) == len(set(jobs)) > 25 and None not in jobs
    for file, record in records.items():
        log = made / "report.log" if record["stage"] == "report" else file.with_name("stage.log")
        assert f"{record['artifact']} done in" in log.read_text()
    audited = site.toys.tesserae("audit")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    before = made.rename(site.notes / "through-sbatch")
    done = site.toys.python("-m", "snakemake", "--config", "scale=smoke")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    kinds = ("*/*/metrics.json", "*/*/search.json", "*/*/table.csv", "*/*/curves.jsonl", "*/*/*.safetensors")
    compared = [file.relative_to(made) for kind in kinds for file in made.glob(kind)]
    assert len(compared) > 12
    for file in compared:
        assert (made / file).read_bytes() == (before / file).read_bytes(), file
