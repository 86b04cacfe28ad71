"""A stage in several processes: started exactly once each, by srun inside a SLURM job, by torchrun elsewhere.

    python -m tesserae.workflow.processes FOLDER      one of the processes; the launcher's environment says which

They find each other through RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. The folder
has the work (work.pickle) and receives what each process did (<rank>.pickle); it lies in the artifact's own temporary
folder and is gone with it.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tesserae.workflow import loading

loading.remember()  # before anything else of the package is imported

from tesserae.config.types import Resources  # noqa: E402
from tesserae.lineage.work import Work  # noqa: E402
from tesserae.workflow.conduct import Conduct, conduct  # noqa: E402

WORK = "work.pickle"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
REQUEUE = 75  # exit code of a training that was asked to stop and saved its state


class Died(Exception):
    """A process failed; the log says why."""


def conduct_together(work: Work, declared: set[Path], request: Resources, folder: Path) -> Conduct:
    """Run the stage of `work` in `request.world` processes.

    Raises Died if one of them failed, SystemExit(75) if they saved their state because they were asked to stop.
    """
    folder.mkdir()
    (folder / WORK).write_bytes(pickle.dumps((work, declared)))
    os.environ |= dict.fromkeys(THREADS, str(request.threads))  # of each process, where the job's are those of a node
    command = [*_launcher(request), "-m", "tesserae.workflow.processes", str(folder)]
    with subprocess.Popen(command, cwd=work.root) as launcher:
        before = signal.signal(signal.SIGTERM, lambda *_: launcher.terminate())  # they save their state, then we end
        launcher.wait()
        signal.signal(signal.SIGTERM, before)
    done = [folder / f"{rank}.pickle" for rank in range(request.world)]
    missing = [rank for rank, file in enumerate(done) if not file.exists()]
    if (folder / "requeue").exists():
        raise SystemExit(REQUEUE)
    if launcher.returncode or missing:
        raise Died(
            f"{work.title}: the launcher of {request.world} processes ended with {launcher.returncode}; "
            f"without a result: process {', '.join(map(str, missing)) or 'none'}. Its last lines stand above"
        )
    first, *others = [pickle.loads(file.read_bytes()) for file in done]
    for other in others:
        first.merge(other)
    return first


def _launcher(request: Resources) -> list[str]:
    """The command that starts one interpreter for each process."""
    if "SLURM_JOB_ID" not in os.environ:
        return [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={request.world}"),
            *("--no-python", sys.executable),
        ]
    os.environ |= {"MASTER_ADDR": socket.gethostname(), "MASTER_PORT": str(_free_port())}
    os.environ["LOCAL_WORLD_SIZE"] = str(request.per_node)
    gres = [f"--gres=gpu:{request.gpus}"] if request.gpus else []
    return [
        *("srun", f"--nodes={request.nodes}", f"--ntasks={request.world}", f"--ntasks-per-node={request.per_node}"),
        *(f"--cpus-per-task={request.threads}", "--cpu-bind=quiet", "--mem=0", "--kill-on-bad-exit=1", *gres),
        sys.executable,
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def main(folder: Path) -> None:
    """Be one of the processes."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until the training listens
    for name, theirs in (("RANK", "SLURM_PROCID"), ("LOCAL_RANK", "SLURM_LOCALID"), ("WORLD_SIZE", "SLURM_NTASKS")):
        if name not in os.environ:  # started by srun
            os.environ[name] = os.environ[theirs]
    work, declared = pickle.loads((folder / WORK).read_bytes())
    try:
        done = conduct(work, declared)
    except SystemExit as stopped:
        if stopped.code == REQUEUE:
            (folder / "requeue").touch()
        raise
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # again: an interpreter that ends would die of it
    aside = folder / f"{os.environ['RANK']}.writing"
    aside.write_bytes(pickle.dumps(done))
    aside.rename(folder / f"{os.environ['RANK']}.pickle")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
