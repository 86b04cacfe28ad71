"""A real SLURM of one node, started for tests in a folder of its own: controller, node daemon and munge.

    python -m tests.slurm.cluster FOLDER [--cpus 2]        runs until Ctrl-C; prints the line that selects it

Needs Debian's `slurm-wlm` and `munge`, and root. No accounting: what a site without slurmdbd has.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
SYSTEM = Path("/etc/slurm/slurm.conf")  # srun inside a job looks there: Snakemake hides SLURM's variables from it
HOST = socket.gethostname().split(".")[0]
READY = 30.0  # seconds in which the node must be idle

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
ReturnToService=2
KillWait=5
InactiveLimit=0
MinJobAge=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(Exception):
    """SLURM cannot be started here; the message says what is missing."""


class Cluster:
    """One running SLURM. `environment` selects it for the commands of SLURM and for Snakemake."""

    def __init__(self, folder: Path, cpus: int = 2, memory: int = 8000):
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing or os.geteuid():
            raise Unavailable(f"needs root and {', '.join(missing) or 'nothing else'} (Debian: slurm-wlm, munge)")
        if SYSTEM.exists() and not SYSTEM.is_symlink():
            raise Unavailable(f"this machine has a SLURM of its own ({SYSTEM})")
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        folder.chmod(0o755)  # munge trusts no folder that others may write to
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=folder,
                host=HOST,
                cpus=cpus,
                memory=memory,
                controller_port=_free_port(),
                node_port=_free_port(),
            )
        )
        SYSTEM.parent.mkdir(exist_ok=True)
        SYSTEM.unlink(missing_ok=True)
        SYSTEM.symlink_to(folder / "slurm.conf")
        self._processes: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        """Start all daemons; Unavailable with the ends of their logs if the node is not idle in time."""
        folder = self.folder
        self._spawn(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munge.seed",
        )
        self._until(lambda: (folder / "munge.socket").exists(), "munge has no socket")
        self.start_controller()
        self._spawn("slurmd", "-D", "-f", str(folder / "slurm.conf"), "-N", HOST)
        self._until(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"), "the node is not idle")

    def start_controller(self) -> None:
        """Also after `stop_controller`: jobs go on meanwhile, and are known again after."""
        self._spawn("slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        self._until(lambda: "UP" in self.run("scontrol", "ping"), "the controller does not answer")

    def stop_controller(self) -> None:
        self._end("slurmctld")

    def run(self, *command: str) -> str:
        """Standard output of one of SLURM's commands, also of one that failed."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout

    def stop(self) -> None:
        """Cancel what runs and end the daemons."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("scancel", "--user=root")
        for name in reversed([*self._processes]):
            self._end(name)
        SYSTEM.unlink(missing_ok=True)

    def _spawn(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.out", "a") as out:
            self._processes[name] = subprocess.Popen(
                [shutil.which(name), *arguments], env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _until(self, holds, otherwise: str) -> None:
        deadline = time.monotonic() + READY
        while not holds():
            if time.monotonic() > deadline:
                logs = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
                ends = "\n".join(f"{log.name}: {log.read_text()[-800:]}" for log in logs)
                raise Unavailable(f"{otherwise}\n{ends}")
            time.sleep(0.1)


@contextlib.contextmanager
def running(folder: Path, cpus: int = 2) -> Iterator[Cluster]:
    """A cluster for the length of a with block."""
    cluster = Cluster(folder, cpus)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpus", type=int, default=2)
    arguments = parser.parse_args()
    with running(arguments.folder.resolve(), arguments.cpus) as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
