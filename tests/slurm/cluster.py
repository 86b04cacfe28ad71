"""A real SLURM on this machine, in a folder of its own: controller, munge, emulated nodes with GPUs, accounting.

    python -m tests.slurm.cluster FOLDER [--cpus 2] [--nodes 1] [--gpus 0] [--accounting]
                                    runs until Ctrl-C; prints the line that selects it

Needs Debian's `slurm-wlm` and `munge`, root and mount namespaces; accounting needs `slurmdbd` and `mariadb-server`.
Every node is a slurmd with a mount namespace, in which /etc/slurm is the cluster's folder and /etc/hosts knows the
nodes: srun inside a job finds its cluster there (Snakemake hides SLURM's variables from it), clusters run side by
side and nothing is left behind; and a node with all that runs on it can be found, and lost.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "unshare")
ACCOUNTING = ("slurmdbd", "sacct", "mariadbd", "mariadb-install-db")
HOST = socket.gethostname().split(".")[0]
READY = 60.0  # seconds in which the nodes must be idle
INSIDE = 'mount --bind "$0" /etc/slurm && mount --bind "$0/hosts" /etc/hosts && exec "$@"'

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={spool}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
KillWait=5
InactiveLimit=0
MinJobAge=3600
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/ended.txt
DefMemPerCPU=100
GresTypes=gpu
{accounting}
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# cred_expire: a job that is queued again waits for so long. config_overrides: a node may claim what the host lacks.
# MinJobAge: a test may ask for a job long after its end, when others kept the machine busy.
WITHOUT_ACCOUNTING = "JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none"
WITH_ACCOUNTING = """\
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket"""
DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
"""


class Unavailable(Exception):
    """SLURM cannot be started here; the message says what is missing."""


class Cluster:
    """One running SLURM. `environment` selects it for the commands of SLURM and for Snakemake.

    Args: `cpus`, `memory` (MB) and `gpus` of each of the `nodes`, whatever this machine has; `accounting`: with a
    database, else what a site without slurmdbd has. Raises Unavailable.
    """

    def __init__(
        self,
        folder: Path,
        cpus: int = 2,
        memory: int = 8000,
        nodes: int = 1,
        gpus: int = 0,
        accounting: bool = False,
    ):
        programs = PROGRAMS + ACCOUNTING * accounting
        missing = [program for program in programs if shutil.which(program) is None]
        if missing or os.geteuid():
            raise Unavailable(f"needs root and {', '.join(missing) or 'nothing else'} (Debian: slurm-wlm, munge)")
        if subprocess.run(["unshare", "-m", "mount", "--bind", "/etc", "/etc/slurm"], capture_output=True).returncode:
            raise Unavailable("needs mount namespaces (as root, in a container that may mount) and a folder /etc/slurm")
        self.folder = folder
        self.cpus = cpus
        self.nodes = [f"node{k + 1:02d}" for k in range(nodes)]
        self.accounting = accounting
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._processes: dict[str, subprocess.Popen] = {}
        self._spaces: dict[str, str] = {}  # node -> its mount namespace
        (folder / "state").mkdir(parents=True)
        self._spool = Path(tempfile.mkdtemp(prefix="slurm-"))  # sockets lie there: their paths must be short
        for node in self.nodes:
            (self._spool / node).mkdir()
        folder.chmod(0o755)  # munge trusts no folder that others may write to
        self._secret("munge.key").write_bytes(secrets.token_bytes(128))
        port = _free_port()
        self._secret("slurmdbd.conf").write_text(DATABASE.format(folder=folder, host=HOST, port=port))
        hosts = Path("/etc/hosts").read_text()
        (folder / "hosts").write_text(f"{hosts}\n127.0.0.1 {' '.join(self.nodes)}\n")
        for k in range(gpus):
            os.mknod(folder / f"gpu{k}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null; never opened
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{gpus - 1}]\n" if gpus else "")
        claims = f"NodeHostname={HOST} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN"
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=folder,
                spool=self._spool,
                host=HOST,
                controller_port=_free_port(),
                accounting=WITH_ACCOUNTING.format(folder=folder, port=port) if accounting else WITHOUT_ACCOUNTING,
                nodes="\n".join(f"NodeName={node} Port={_free_port()} {claims}" for node in self.nodes),
            )
        )

    def start(self) -> None:
        """Start all daemons; Unavailable with the ends of their logs if the nodes are not idle in time."""
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
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for node in self.nodes:
            self._start_node(node)
        for node in self.nodes:
            self._until(lambda node=node: self.state(node) == "idle", f"{node} is not idle")
            self._spaces[node] = _space(self._processes[node].pid)

    def start_controller(self) -> None:
        """Also after `stop_controller`: jobs go on meanwhile, and are known again after."""
        self._spawn("slurmctld", "-D")
        self._until(lambda: "UP" in self.run("scontrol", "ping"), "the controller does not answer")

    def stop_controller(self) -> None:
        self._end("slurmctld")

    def run(self, *command: str) -> str:
        """Standard output of one of SLURM's commands, also of one that failed."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout

    def state(self, node: str) -> str:
        """`idle`, `mixed`, `allocated`, `draining`, `drained`, `down`, ...; a `*` after it: it does not answer."""
        return self.run("sinfo", "-h", "-n", node, "-o", "%T").strip()

    def jobs(self) -> dict[str, str]:
        """Id -> state (PENDING, RUNNING, COMPLETED, ...) of all jobs that the controller remembers."""
        return dict(line.split() for line in self.run("squeue", "-h", "--states=all", "-o", "%i %T").splitlines())

    def cancel(self, job: str) -> None:
        self.run("scancel", job)

    def drain(self, node: str) -> None:
        """What runs on the node may end; nothing new starts there."""
        self.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")

    def resume(self, node: str) -> None:
        """After `drain` or `lose`."""
        if node not in self._processes:
            self._start_node(node)
            self._until(lambda: self.state(node) in ("idle", "mixed", "drained"), f"{node} does not come back")
            self._spaces[node] = _space(self._processes[node].pid)
        self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def lose(self, node: str) -> None:
        """Power off: the node's daemon and all that runs there die at once, and nobody tells the controller."""
        process = self._processes.pop(node)
        process.kill()
        while inhabitants := [pid for pid in _processes() if _space(pid) == self._spaces[node]]:
            for pid in inhabitants:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.poll()  # a process that was killed stays until it is waited for
            time.sleep(0.02)
        process.wait()

    def stop(self) -> None:
        """Cancel what runs and end the daemons."""
        if "slurmctld" in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.run("scancel", "--user=root")
        for name in reversed([*self._processes]):
            if name in self._spaces:
                self.lose(name)
            else:
                self._end(name)
        shutil.rmtree(self._spool, ignore_errors=True)

    def _start_node(self, node: str) -> None:
        command = ("unshare", "--mount", "sh", "-c", INSIDE, str(self.folder), "slurmd", "-D", "-N", node)
        self._spawn(*command, name=node)

    def _start_accounting(self) -> None:
        data, socket_ = self.folder / "database", self.folder / "database.socket"
        self.environment["MYSQL_UNIX_PORT"] = str(socket_)  # where slurmdbd looks for its database
        plain = ("--no-defaults", f"--datadir={data}", "--user=root")
        made = subprocess.run(
            ["mariadb-install-db", *plain, "--auth-root-authentication-method=socket", "--skip-test-db"],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise Unavailable(f"no database: {made.stdout[-800:]}{made.stderr[-800:]}")
        self._spawn("mariadbd", *plain, f"--socket={socket_}", "--skip-networking", f"--pid-file={data}/pid")
        self._until(socket_.exists, "the database has no socket")
        self._spawn("slurmdbd", "-D")
        self._until(lambda: "Cluster" in self.run("sacctmgr", "show", "cluster"), "slurmdbd does not answer")

    def _secret(self, name: str) -> Path:
        (self.folder / name).touch(0o600)
        return self.folder / name

    def _spawn(self, program: str, *arguments: str, name: str = "") -> None:
        name = name or program
        with open(self.folder / f"{name}.out", "a") as out:
            self._processes[name] = subprocess.Popen(
                [shutil.which(program), *arguments],
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
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
def running(folder: Path, cpus: int = 2, **more) -> Iterator[Cluster]:
    """A cluster for the length of a with block; arguments as for Cluster."""
    cluster = Cluster(folder, cpus, **more)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _space(pid: int) -> str | None:
    """A process's mount namespace; None if it ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in (("cpus", 2), ("memory", 8000), ("nodes", 1), ("gpus", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--accounting", action="store_true")
    arguments = vars(parser.parse_args())
    with running(arguments.pop("folder").resolve(), **arguments) as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
