"""The warm parent: imports the heavy libraries once and forks one child per job.

It preloads third-party packages only, never this one, so that a job always runs the code on disk. No tensor is
touched before a fork. It ends with the workflow that started it. Nothing depends on it: without its socket every
job starts its own interpreter. Off on GPU and SLURM.

A job ends with its client: the process that waits beside it sees to that, and the job itself sees to it that it does
not outlive that process.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from tesserae.config.stages import STAGES
from tesserae.workflow import streams

PRELOAD = (
    "numpy",
    "torch",
    "torch._dynamo",
    "torch.utils.data",
    "lightning_fabric",
    "timm",
    "torch_fidelity",
    "torch_fidelity.metric_fid",
    "torch_fidelity.metric_isc",
    "torch_fidelity.metric_prc",
    "safetensors.torch",
    "pydantic",
    "yaml",
    "tqdm",
    "pandas",
    "matplotlib.figure",
    "jinja2",
)


def wanted() -> bool:
    """Whether a workflow shall start a warm parent: TESSERAE_WARM=off in the environment says no.

    Only Linux has what watches over its jobs (pidfd_open); elsewhere each starts an interpreter of its own.
    """
    return os.environ.get("TESSERAE_WARM") != "off" and hasattr(os, "pidfd_open")


def start(log: Path, preload: tuple[str, ...] = PRELOAD) -> subprocess.Popen:
    """Start a warm parent for this process's children; they find it through TESSERAE_WARM."""
    path = os.path.join(tempfile.mkdtemp(prefix="tesserae-"), "warm")
    light = [name for name, stage in STAGES.items() if not stage.torch]
    Path(path + ".starting").write_text("\n".join(light), encoding="utf-8")  # clients of these stages do not wait
    log.parent.mkdir(parents=True, exist_ok=True)
    os.environ["TESSERAE_WARM"] = path
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with open(log, "w", encoding="utf-8") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "tesserae.workflow.warm", path, str(os.getpid()), *preload],
            env=environment,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )


def stop(parent: subprocess.Popen) -> None:
    """End the warm parent and forget its socket."""
    parent.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        parent.wait(10)
    os.environ.pop("TESSERAE_WARM", None)


def serve(path: str, starter: int, preload: list[str]) -> None:
    """Preload, then fork a child for each connection until the process `starter` is gone."""
    streams.adapt()  # for the children: their streams are pipes in its place, which cannot be changed
    try:
        for name in preload:
            importlib.import_module(name)
        # A job's collections would walk through a million imported objects, and so copy their pages: 0.3 s each.
        gc.collect()
        gc.freeze()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen(64)
    finally:
        Path(path + ".starting").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the system
    try:
        while os.getppid() == starter:
            if not select.select([listening], [], [], 1.0)[0]:
                continue
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _attend(connection)
            connection.close()
    finally:
        Path(path).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            Path(path).parent.rmdir()


def _attend(connection: socket.socket) -> None:
    """Run one job in a grandchild; report its exit code; end it when the client goes away. Never returns."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):  # of the terminal: for the client, whose end is the job's
        signal.signal(number, signal.SIG_IGN)
    data, ancillary, *_ = connection.recvmsg(1 << 20, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    expected = int.from_bytes(data[:4], "big")
    while len(data) - 4 < expected:
        data += connection.recv(1 << 20)
    request = json.loads(data[4:])
    descriptors = array.array("i")
    descriptors.frombytes(ancillary[0][2])
    watched, alive = os.pipe()  # only this process has `alive`: when it is gone, the job reads the end
    child = os.fork()
    if child == 0:
        connection.close()
        os.close(alive)
        _run(request, descriptors, watched)
    os.close(watched)
    for descriptor in descriptors:
        os.close(descriptor)
    ended = os.pidfd_open(child)
    while True:
        readable, _, _ = select.select([ended, connection], [], [])
        if ended in readable:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with contextlib.suppress(OSError):
                connection.sendall(bytes([code if 0 <= code < 256 else 128 + abs(code)]))
            os._exit(0)
        with contextlib.suppress(ProcessLookupError):  # the client is gone: so is the job
            os.killpg(child, signal.SIGTERM)
        os.waitpid(child, 0)
        os._exit(0)


def _run(request: dict, descriptors: array.array, watched: int) -> None:
    """Become the job: its folder, environment and standard streams. Never returns."""
    code = 1
    try:
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.path[:0] = filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))
        sys.argv = ["tesserae.workflow.runner", *request["arguments"]]
        # The parent has this module as __main__ and its empty packages; all else is read from disk here.
        for name in [name for name in sys.modules if name.partition(".")[0] == "tesserae"]:
            del sys.modules[name]
        from tesserae.workflow.runner import main

        main(request["arguments"])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with(watched: int) -> None:
    """Ask this process and its children to end when whoever has the other end of a pipe is gone."""
    os.read(watched, 1)
    os.killpg(os.getpgrp(), signal.SIGTERM)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
