"""What goes wrong on a cluster, done to a real one: each ends in a right artifact or a clear error."""

import contextlib
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Site, fresh_toys, started
from tests.waiting import until

DATASET, TOKENIZER, TOKENS = "dataset/emoji_few-32", "tokenizer/detok_sb_joint", "tokens/detok_sb_joint"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    with started(tmp_path_factory.mktemp("slurm") / "cluster", nodes=2) as found:
        yield found


def test_a_drained_node_ends_its_job_and_takes_no_other(site: Site):
    site.made(DATASET)
    site.gate("tokenizer")
    with site.run(TOKENS) as run:
        run.until(site.began, "the training begins")
        for node in site.cluster.nodes:
            site.cluster.drain(node)
        site.open()
        run.until(lambda: "PENDING" in site.cluster.jobs().values(), "the next job waits")
        assert site.state(site.began()[0]) == "COMPLETED"
        for node in site.cluster.nodes:
            site.cluster.resume(node)
        run.complete()
    site.verify(TOKENIZER, TOKENS)


def test_a_job_that_somebody_cancels_is_tried_again(site: Site):
    site.made(DATASET)
    site.gate("tokenizer")
    with site.run(TOKENIZER) as run:
        run.until(site.began, "the training begins")
        site.cluster.cancel(site.began()[0])
        run.until(lambda: len(site.began()) == 2, "the training begins again")
        site.open()
        run.complete()
    first, second = site.began()
    assert first != second and site.state(first) == "CANCELLED"
    assert "CANCELLED" in run.log and "CANCELLED" in site.slurm_log(TOKENIZER, first)
    site.verify(TOKENIZER)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_snakemake_takes_its_jobs_along(site: Site, number):
    site.made(DATASET)
    site.gate("tokenizer")
    with site.run(TOKENIZER) as run:
        run.until(site.began, "the training begins")
        run.process.send_signal(number)
        assert run.end() != 0
    until(lambda: site.state(site.began()[0]) == "CANCELLED", lambda: str(run))
    site.open()
    with site.run(TOKENIZER) as run:
        run.complete()
    site.verify(TOKENIZER)


def test_jobs_outlive_the_controller(site: Site):
    site.made(DATASET)
    site.gate("tokenizer")
    with site.run(TOKENIZER, options=("--verbose",)) as run:
        run.until(site.began, "the training begins")
        site.cluster.stop_controller()
        try:
            asked = run.log.count("could not check status")
            run.until(lambda: run.log.count("could not check status") > asked + 6, "Snakemake asks in vain")
        finally:
            site.cluster.start_controller()
        site.open()
        run.complete()
    assert len(site.began()) == 1
    site.verify(TOKENIZER)


def test_a_job_that_outlives_its_snakemake_is_not_started_twice(site: Site):
    site.made(DATASET)
    site.gate("tokenizer")
    with site.run(TOKENIZER) as run:
        run.until(site.began, "the training begins")
        run.process.kill()
        run.end()
    (job,) = site.began()
    unlocked = site.toys.snakemake("--unlock")
    assert unlocked.returncode == 0, unlocked.stderr
    with site.run(TOKENIZER) as run:
        assert run.end() != 0 and f"scancel {job}" in run.log
    site.open()
    until(lambda: site.state(job) == "COMPLETED", lambda: site.state(job))
    site.verify(TOKENIZER)
    with site.run(TOKENIZER) as run:
        run.complete()
    assert "Nothing to be done" in run.log and site.began() == [job]


def test_a_job_whose_node_is_lost_runs_on_another(site: Site):
    site.made(DATASET)
    site.gate("tokenizer")
    with site.run(TOKENIZER) as run:
        run.until(site.began, "the training begins")
        (job,) = site.began()
        node = site.job(job, "NodeList")
        site.cluster.lose(node)
        try:
            run.until(lambda: len(site.began()) == 2, "the training begins again")
            assert site.job(job, "NodeList") != node
            site.open()
            run.complete()
        finally:
            site.cluster.resume(node)
    assert site.began() == [job, job]
    site.verify(TOKENIZER)


def test_tries_pause_longer_each_time(site: Site):
    site.configure("backoff_minutes: 0 ", "backoff_minutes: 0.05 ")
    site.made(DATASET)
    site.toys.insert(
        "tokenizer",
        "file = work.root / '.tesserae/tries'; tries = len(file.read_text()) if file.exists() else 0; "
        "file.write_text('x' * (tries + 1)); assert tries == 2, f'try {tries + 1} fails'",
    )
    with site.run(TOKENIZER) as run:
        run.complete()
    tries = sorted(map(int, site.jobs_of(TOKENIZER)))
    pauses = [site.time(job, "EligibleTime") - site.time(job, "SubmitTime") for job in map(str, tries)]
    assert len(tries) == 3 and pauses[0] == 0 and 2 <= pauses[1] <= 4 and 5 <= pauses[2] <= 7  # 3 and 6, whole seconds
    for number, job in enumerate(tries[:2], start=1):
        assert f"try {number} fails" in site.slurm_log(TOKENIZER, str(job))
    site.verify(TOKENIZER)


def test_a_full_disk_is_named_and_nothing_stays_half_written(tmp_path, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("cannot mount a small disk")
    try:  # mounted before the cluster starts: its nodes see it
        with started(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
            site = Site(fresh_toys(tmp_path), cluster)
            (site.root / "results").symlink_to(disk)
            fill_the_disk(site, disk)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill_the_disk(site: Site, disk: Path) -> None:
    said = rf"the disk is full \(.* free in {re.escape(str(site.root))}/results, or .*Make room"
    site.made(DATASET)
    # A stage that writes more than there is room for ...
    site.toys.insert(
        "tokenizer",
        "(work.root / '.tesserae/open').exists() or (work.out / 'curves.jsonl').write_bytes(bytes(8_000_000))",
    )
    with site.run(TOKENIZER, options=("--retries", "0")) as run:
        assert run.end() != 0 and re.search(f"{TOKENIZER} failed: {said}", run.log), str(run)
    site.nothing_landed(TOKENIZER)
    # ... and a disk that somebody else has filled, so that not even a log has room.
    site.open()
    with contextlib.suppress(OSError), open(disk / "somebody's", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with site.run(TOKENIZER, options=("--retries", "0")) as run:
        assert run.end() != 0 and re.search(said, run.log), str(run)
    site.nothing_landed(TOKENIZER)
    (disk / "somebody's").unlink()
    with site.run(TOKENIZER) as run:
        run.complete()
    site.verify(TOKENIZER)
