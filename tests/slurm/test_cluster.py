"""The emulated cluster does what its tests rely on; and the workflow on it survives a death and a lost node."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.slurm import toys
from tests.slurm.cluster import ACCOUNTING, Cluster, Unavailable, running
from tests.waiting import until

ENDED = ("COMPLETED", "CANCELLED", "FAILED", "NODE_FAIL", "TIMEOUT")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    accounting = all(shutil.which(program) for program in ACCOUNTING)
    folder = tmp_path_factory.mktemp("slurm") / "cluster"
    try:
        with running(folder, cpus=16, memory=100_000, nodes=3, gpus=8, accounting=accounting) as started:
            yield started
    except Unavailable as error:
        pytest.skip(str(error))


def submit(cluster: Cluster, *arguments: str) -> str:
    command = ["sbatch", "--parsable", "-o", "/dev/null", *arguments]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ended(cluster: Cluster, job: str) -> str:
    """The state in which a job ends."""
    until(lambda: cluster.jobs()[job] in ENDED, lambda: f"job {job} is {cluster.jobs()[job]}, not {ENDED}")
    return cluster.jobs()[job]


def accounted(cluster: Cluster) -> dict[str, str]:
    """Id -> state of all jobs in the accounting database."""
    lines = cluster.run("sacct", "-X", "-n", "-P", "-o", "jobid,state").splitlines()
    return {job: state.split()[0] for job, state in (line.split("|") for line in lines)}


def test_tasks_of_two_nodes_start_exactly_once_and_find_their_cluster(cluster, tmp_path):
    said = tmp_path / "said.txt"
    task = tmp_path / "task.sh"
    task.write_text(f"echo $SLURM_PROCID $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES $(getent hosts node03) >> {said}\n")
    srun = f"env -u SLURM_CONF srun sh {task}"  # as Snakemake calls it
    job = submit(cluster, "-N2", "--gpus-per-node=8", "--ntasks-per-node=8", "--wrap", srun)
    assert ended(cluster, job) == "COMPLETED"
    lines = [line.split() for line in said.read_text().splitlines()]
    assert sorted(int(line[0]) for line in lines) == list(range(16))
    assert len({line[1] for line in lines}) == 2
    assert {tuple(line[2:4]) for line in lines} == {("0,1,2,3,4,5,6,7", "127.0.0.1")}


def test_requeue_drain_and_cancel(cluster, tmp_path):
    starts = tmp_path / "starts.txt"
    wrap = ("--wrap", f"echo $SLURM_RESTART_COUNT >> {starts}; srun sleep 300")
    job = submit(cluster, "--requeue", "-w", "node01", "--gpus=1", *wrap)
    until(starts.exists, lambda: "the job does not start")
    cluster.run("scontrol", "requeue", job)
    cluster.drain("node02")
    elsewhere = submit(cluster, "-w", "node02", "--wrap", "true")
    until(lambda: len(starts.read_text().splitlines()) == 2, lambda: "it does not start again")
    assert starts.read_text().split() == ["1"]  # the first start has no count
    assert (cluster.state("node02"), cluster.jobs()[elsewhere]) == ("drained", "PENDING")
    cluster.resume("node02")
    assert ended(cluster, elsewhere) == "COMPLETED"
    cluster.cancel(job)
    assert ended(cluster, job) == "CANCELLED"
    wanted = {job: "CANCELLED", elsewhere: "COMPLETED"}
    if cluster.accounting:  # the database hears of it a little later
        until(lambda: wanted.items() <= accounted(cluster).items(), lambda: str(accounted(cluster)))


def test_two_clusters_side_by_side_leave_nothing_behind(cluster, tmp_path):
    with running(tmp_path / "second") as second:
        job = submit(second, "--wrap", "env -u SLURM_CONF srun true")
        assert ended(second, job) == "COMPLETED"
        assert set(second.nodes) < set(cluster.nodes)
        pids = [process.pid for process in second._processes.values()]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not Path("/etc/slurm/slurm.conf").is_symlink()


def test_a_workflow_survives_a_death_and_a_lost_node(tmp_path):
    options = ("--jobs", "12", "--nodes", "3", "--failures", "0.05", "--seconds", "1", "--eager")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/cluster.py", *options, "--folder", tmp_path / "trial"],
        capture_output=True,
        text=True,
    )
    if "no SLURM: " in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    journal = toys.read(tmp_path / "trial/notes")
    ends = [how for makings in toys.makings(journal).values() for *_, how, _ in makings]
    assert ends.count("end") == 12 and ends.count("death") == 1
    records = (tmp_path / "trial/slurm/ended.txt").read_text().splitlines()
    lost, completed = (
        {line.split()[0] for line in records if f"JobState={state} " in line} for state in ("NODE_FAIL", "COMPLETED")
    )
    assert lost & completed  # queued again by SLURM; Snakemake sees to those that then fail


def line(event: str, time: float, job: str, node: str = "node01", artifact: str = "a/b") -> dict:
    return {"event": event, "time": time, "artifact": artifact, "job": job, "pid": 1, "node": node, "rank": "0"}


@pytest.mark.parametrize(
    ("journal", "landed", "fault"),
    [
        ([line("start", 0, "1"), line("end", 1, "1")], 1, None),
        ([line("start", 0, "1"), line("death", 1, "1"), line("start", 2, "2"), line("end", 3, "2")], 1, None),
        ([line("start", 0, "1"), line("lost", 1, ""), line("start", 2, "2"), line("end", 3, "2")], 1, None),
        ([line("start", 0, "1"), line("lost", 1, "", "node02")], 0, "without an end"),
        ([line("start", 0, "1"), line("end", 1, "1")], 0, "landed 0 times"),
        ([line("start", 0, "1"), line("end", 1, "1")], 2, "landed 2 times"),
        ([line("start", 0, "1"), line("end", 2, "1"), line("start", 3, "2"), line("end", 4, "2")], 1, "makings"),
        (
            [line("start", 0, "1"), line("end", 1, "1"), line("lost", 2, "")]
            + [line("start", 3, "1", "node02"), line("end", 4, "1", "node02")],
            2,
            None,
        ),
        ([line("start", 0, "1"), line("end", 1, "1"), line("start", 3, "1"), line("end", 4, "1")], 2, "makings"),
        ([line("start", 0, "1"), line("start", 1, "2"), line("death", 2, "1"), line("end", 3, "2")], 1, "same time"),
        ([line("start", 0, "1", artifact="c/d"), line("end", 1, "1", artifact="c/d")], 0, "nobody wanted"),
    ],
)
def test_the_judge_sees_what_goes_wrong(journal, landed, fault):
    said = toys.faults(journal, ["a/b"], {"a/b": landed} if landed else {})
    assert (not said) if fault is None else any(fault in words for words in said)
