"""Runs one job: checks its identity before and after, keeps it honest while it runs, writes its manifest.

Guards make a finished artifact mean what its fingerprint says:
1. code, spec and sources are what was planned, before the stage starts; what its producers left on disk is what
   their manifests say, and no two of them come from different versions of one artifact;
2. after it ended, code and sources are still the same, no file it may have read was written meanwhile, and every
   module was imported from the text that was fingerprinted: an edit in between, even an undone one, discards all;
3. the stage opened no file of the project that it did not declare, nor did a process that it started;
4. they imported no module of the package that its fingerprint does not cover, nor one of the project beside it;
5. nobody else makes the same artifact meanwhile: one process at a time holds its lock.
"""

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tesserae.workflow import loading

loading.remember()  # before anything else of the package is imported

from tesserae.config.errors import ConfigError  # noqa: E402
from tesserae.config.stages import STAGES  # noqa: E402
from tesserae.lineage import code, fingerprint  # noqa: E402
from tesserae.lineage import manifest as manifests  # noqa: E402
from tesserae.lineage.hashes import sha256  # noqa: E402
from tesserae.lineage.work import Work  # noqa: E402
from tesserae.workflow import home, locks, own_code, real_data, rights, runs, space, staleness, streams  # noqa: E402
from tesserae.workflow.conduct import Conduct, conduct  # noqa: E402
from tesserae.workflow.foreign import published_weights  # noqa: E402
from tesserae.workflow.graph.job import Job  # noqa: E402
from tesserae.workflow.plan import Plan, open_plan_for  # noqa: E402
from tesserae.workflow.processes import REQUEUE, THREADS, Died, conduct_together  # noqa: E402
from tesserae.workflow.untouched import Files  # noqa: E402

# How names begin of what tells libraries how to compute: with which instructions, precision, algorithms.
COMPUTING = ("ATEN_", "CUBLAS_", "CUDA_", "DNNL_", "GOMP_", "KMP_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_", "OPENBLAS_")
COMPUTING += ("PYTORCH_", "TORCH_")
TERMINATED = 128 + signal.SIGTERM


class Refused(Exception):
    """The job cannot start, or its result cannot be trusted; the message says why and what to do."""


def main(argv: list[str] | None = None, stage: str | None = None) -> None:
    """Command line of every stage; exits with 1 and a message when a job fails."""
    parser = argparse.ArgumentParser(
        prog=f"python -m tesserae.stages.{stage}" if stage else "python -m tesserae.workflow.runner",
        description="Make one artifact: results/<scale>/<stage>/<recipe>/.",
    )
    if not stage:
        parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("recipe", help="name of the recipe, as in config/papers/*.yaml")
    parser.add_argument("--scale", help="default: the scale of config/config.yaml")
    parser.add_argument("--fingerprint", help="the planned identity; without it, the present one")
    parser.add_argument("--threads", type=int, help="cores; they shape numbers (default: what the scale says)")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="the project folder (default: this one)")
    arguments = parser.parse_args(argv)
    _limit_threads(arguments.threads or 1)
    streams.adapt()
    home.settle(arguments.project.resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that nothing half-written stays
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a lost terminal, unless started by nohup
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        run(
            stage or arguments.stage,
            arguments.recipe,
            arguments.project.resolve(),
            arguments.scale,
            arguments.fingerprint,
            arguments.threads,
        )
    except (Refused, Died, ConfigError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except SystemExit as stopped:
        if stopped.code == REQUEUE:
            _queue_again()
        raise
    except Exception as error:
        traceback.print_exc()
        denied = rights.complaint(error) if isinstance(error, OSError) else None
        reason = space.remedy(arguments.project) if space.is_full(error) else denied or error
        sys.exit(f"{stage or arguments.stage}/{arguments.recipe} failed: {reason}")


def _queue_again() -> None:
    """Inside a SLURM job that was told its time is up: go to the end of the queue, under the same job id."""
    job = os.environ.get("SLURM_JOB_ID")
    if job:
        answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, encoding="utf-8", errors="replace")
        print(f"SLURM job {job} queued again" if not answer.returncode else answer.stderr.strip(), flush=True)


def run(
    stage: str,
    recipe: str,
    root: Path,
    scale: str | None = None,
    planned: str | None = None,
    threads: int | None = None,
) -> dict:
    """Make one artifact and return its manifest; alone: what another process makes meanwhile is waited for."""
    own_code.check(root)
    plan = open_plan_for(stage, root, scale)
    plan.looks = planned is None or stage == "dataset"  # a run has looked at all images when it was planned
    job = plan.jobs.get(f"{stage}/{recipe}")
    if job is None:
        known = ", ".join(other.recipe for other in plan.jobs.values() if other.stage == stage)
        raise Refused(f"there is no {stage} named {recipe!r} at scale {plan.scale}; there are: {known}")
    wanted = planned or plan.fingerprint(job)
    if threads is None:
        _limit_threads(plan.request(stage).threads)
    us = locks.this_process(fingerprint=wanted, run=runs.of_job())
    with locks.holding(root / plan.lock(job), us, lambda holder: _wait(job, wanted, holder)) as before:
        if before and (record := _landed(plan, job, wanted, since=us.since)):
            print(f"{job.id}: taken as {before} made it", flush=True)
            return record
        return _make(plan, job, planned)


def _make(plan: Plan, job: Job, planned: str | None) -> dict:
    root, stage = plan.project.root, job.stage
    own = plan.own(job)
    images = real_data.now(plan.project, job)
    chained = _verify_start(plan, job, own, planned, images)
    files = Files(_declared(plan, job, root))
    inputs = _inputs(plan, job)
    # Sibling of the artifact, so that the final rename stays within one file system.
    folder = root / plan.folder(job.id)
    folder.mkdir(parents=True, exist_ok=True)
    if blocked := [name for name in (*STAGES[stage].files, manifests.NAME) if (folder / name).is_dir()]:
        raise Refused(f"{job.id}: {folder / blocked[0]} is a folder, where a file belongs; take it away")
    making = folder.parent / f".{job.recipe}.making-{platform.node()}-{os.getpid()}"
    for leftover in folder.parent.glob(f".{job.recipe}.making-{platform.node()}-*"):  # of killed ones: we have the lock
        shutil.rmtree(leftover)
    making.mkdir()
    state = root / plan.state(job)
    work = Work(
        job.stage,
        job.recipe,
        job.spec,
        {role: root / plan.folder(name) for role, name in job.inputs.items()},
        {role: root / path for role, path in job.sources.items()},
        making,
        state,
        fingerprint.digest([chained, inputs]),
        job.comments,
        root,
        real_data.folder(plan.project, job),
        plan.project.settings.device,
        published_weights(job),
    )
    record = _record(plan, job, own, chained, inputs) | {"data": images, "started": manifests.now()}
    files.know(_digests(root, record, published_weights(job)))
    try:
        clock = time.perf_counter()
        print(f"{job.id} at scale {plan.scale}: {chained}", flush=True)
        if STAGES[stage].trains:  # for those who follow a training
            state.mkdir(parents=True, exist_ok=True)
            manifests.write(state / manifests.BEGUN, record)
        request = plan.request(stage)
        with home.of_nobody(making / ".ipython"):
            if request.world == 1:
                done = conduct(work, _declared(plan, job, root))
            else:
                done = conduct_together(work, _declared(plan, job, root), request, making / ".processes")
        seconds = time.perf_counter() - clock
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the warning is late; an interpreter that ends would die of it
        _verify_end(plan, job, own, done, files)
        if images != real_data.now(plan.project, job):
            raise Refused(f"{job.id}: the images in {images and images['folder']} were changed while they were read")
        missing = [name for name in STAGES[stage].files if not (making / name).is_file()]
        if missing:
            raise Refused(f"{job.id} did not write {', '.join(missing)}")
        if extra := sorted(file.name for file in making.glob("[!.]*") if file.name not in STAGES[stage].files):
            raise Refused(
                f"{job.id} wrote {', '.join(extra)}, which would be lost: its stage does not declare it; add it to the "
                f"outputs of {stage!r} in src/tesserae/config/stages.py, or do not write it"
            )
        _keep_code(root / plan.top, own, root, job)
        _keep_replaced(plan, job, chained)
        (folder / manifests.NAME).unlink(missing_ok=True)  # never an old record beside new files
        for name in STAGES[stage].files:
            os.chmod(making / name, _file_mode())  # libraries that write aside leave a file to its owner alone
            os.replace(making / name, folder / name)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    record |= {
        "outputs": [manifests.describe(folder / name, root) for name in STAGES[stage].files],
        "environment": manifests.environment(),
        "hardware": _hardware(plan, job),
        "ended": manifests.now(),
        "seconds": round(seconds, 3),
        "frozen": [_weights_of(Path(path)) for path in sorted(done.weights)],
        "metrics": done.numbers,
        "peak_mb": done.peak_mb,
    }
    manifests.write(folder / manifests.NAME, record)
    shutil.rmtree(state, ignore_errors=True)
    print(f"{job.id} done in {seconds:.1f} s", flush=True)
    return record


def by_hand(stage: str) -> None:
    """Entry point of `python -m tesserae.stages.<stage>`."""
    home.speak_utf8()
    main(stage=stage)


# ---- one at a time ----------------------------------------------------------------------------------------------


def _wait(job: Job, wanted: str, holder: locks.Holder | None) -> None:
    """Say who makes the artifact and why that is waited for; end a job of another identity whose run is gone."""
    if holder is None:
        print(f"{job.id} is being made by another process; waiting for it", flush=True)
    elif holder.about["fingerprint"] == wanted:
        print(f"{job.id} is being made by {holder}; waiting for its result", flush=True)
    elif runs.orphan(holder):
        print(
            f"another version of {job.id} is being made by {holder}, left by a run that is gone: stopping it",
            flush=True,
        )
        holder.stop()
    else:
        print(
            f"another version of {job.id} is being made by {holder}; waiting until it ends"
            + (f" (to stop it: kill {holder.pid})" if holder.here else ""),
            flush=True,
        )


def _landed(plan: Plan, job: Job, wanted: str, since: str) -> dict | None:
    """The manifest of an artifact that somebody else finished after `since`, if it is what is wanted, and whole."""
    status = staleness.examine(plan, wanted=plan.demanded(job.id))[job.id]
    if not status.current or status.missing or status.record["fingerprint"] != wanted:
        return None
    return status.record if status.record["ended"] >= since else None


# ---- the guards -------------------------------------------------------------------------------------------------


def _verify_start(
    plan: Plan, job: Job, own: fingerprint.Own, planned: str | None, images: dict[str, Any] | None
) -> str:
    if planned is not None and planned.split("-")[0] != own.digest:
        raise Refused(
            f"{job.id}: its code, settings or source files changed after planning "
            f"({planned.split('-')[0]} -> {own.digest}); run the workflow again"
        )
    made = {}
    for producer in job.inputs.values():
        folder = plan.project.root / plan.folder(producer)
        try:
            made[producer] = manifests.read(folder)["fingerprint"]
        except FileNotFoundError:
            raise Refused(
                f"{job.id} needs {producer}, which is not there ({folder}); make it first: {_remake(plan, producer)}"
            ) from None
    chained = fingerprint.chain(own.digest, list(made.values()), images and images["sha256"])
    if (planned is not None and planned != chained) or (planned is None and chained != plan.fingerprint(job)):
        if images:
            raise Refused(f"{job.id}: the images in {images['folder']} changed after planning; run the workflow again")
        stale = [name for name, found in made.items() if found != plan.fingerprint(plan.jobs[name])]
        raise Refused(
            f"{job.id}: on disk is another version of {', '.join(stale) or 'its inputs'} than planned; "
            "run the workflow again"
        )
    return chained


def _inputs(plan: Plan, job: Job) -> dict[str, dict]:
    """What a job is going to read, by producer; refuses what is not what the producers' manifests say."""
    root, found = plan.project.root, {}
    for name in job.inputs.values():
        record = manifests.read(root / plan.folder(name))
        wrote = {entry["path"]: entry for entry in record["outputs"]}
        files = []
        for path in (plan.folder(name) / file for file in plan.reads(job, name)):
            try:
                files.append(manifests.describe(root / path, root))
            except FileNotFoundError:
                raise Refused(f"{job.id}: {path} is missing; {_remake(plan, name)} makes it again") from None
            if path.name != manifests.NAME and files[-1] != wrote.get(str(path)):
                raise Refused(
                    f"{job.id}: {path} was changed since it was made; {_remake(plan, name)} makes it again, "
                    f"`tesserae --scale {plan.scale} audit` shows what else changed"
                )
        found[name] = {"fingerprint": record["fingerprint"], "files": files}
    upstream = [name for name in plan.demanded(job.id) if name != job.id]
    for status in staleness.examine(plan, wanted=upstream, content=False).values():
        if status.stale:
            raise Refused(
                f"{job.id} reads what {status.artifact} fed, which is stale: {status.stale[0]}; "
                f"{_remake(plan, job.id)} makes all again that follows from it"
            )
    return found


def _remake(plan: Plan, name: str) -> str:
    """The command that brings an artifact, and what it is made from, up to date."""
    return f"`tesserae --scale {plan.scale} reproduce {plan.outputs(plan.jobs[name])[0]}`"


def _digests(root: Path, record: dict, weights: Path | None) -> dict[Path, str]:
    """sha256 of the files a job may read, as far as its record has them."""
    entries = [*record["sources"], *(entry for read in record["inputs"].values() for entry in read["files"])]
    found = {root / entry["path"]: entry["sha256"] for entry in entries}
    return found | ({weights: record["weights"]["sha256"]} if weights else {})


def _verify_end(plan: Plan, job: Job, own: fingerprint.Own, done: Conduct, files: Files) -> None:
    root = plan.project.root
    uncovered = sorted(name for name in done.modules - set(own.modules) if not _engine(name))
    fingerprint.forget()
    again = plan.scanned(job)
    changed = {name for name in again.modules.keys() | own.modules if again.modules.get(name) != own.modules.get(name)}
    changed |= {
        name for name, digests in done.digests.items() if name in own.modules and digests != {own.modules[name]}
    }
    changed |= {os.path.relpath(path, root) for path in files.written()}
    if changed or again.digest != own.digest:
        raise Refused(
            f"{job.id}: {', '.join(sorted(changed)) or 'a source file'} was edited while it ran; result discarded"
        )
    if done.undeclared:
        raise Refused(
            f"{job.id} read files it does not declare: {_some(done.undeclared)}; "
            "declare them as inputs or sources of its job in src/tesserae/workflow/graph, and in the table of stages"
        )
    if done.strangers:
        name, file = sorted(done.strangers.items())[0]
        raise Refused(
            f"{job.id} imported {name} from {file}: nobody would see edits of it, for no fingerprint covers what is "
            f"not in src/{fingerprint.PACKAGE}; move it there"
        )
    if uncovered:
        raise Refused(
            f"{job.id} imported {', '.join(uncovered)}, which its fingerprint does not cover; "
            "import it where the stage can be seen to, or name it in the recipe"
        )


def _some(names: set[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more


def _keep_code(top: Path, own: fingerprint.Own, root: Path, job: Job) -> None:
    try:
        code.keep(top, own.modules, own.sources, root)
    except code.Changed as changed:
        raise Refused(f"{job.id}: {changed} was edited while it ran; result discarded") from None


def _keep_replaced(plan: Plan, job: Job, chained: str) -> None:
    """A run by hand may replace an artifact of another identity: keep it (Snakemake's runs do so at their start)."""
    folder = plan.project.root / plan.folder(job.id)
    if (folder / manifests.NAME).exists() and manifests.read(folder)["fingerprint"] != chained:
        from tesserae.workflow import store

        try:
            store.keep(plan, staleness.examine(plan, wanted=[job.id]), [job.id])
        except store.NoRepository as error:
            print(error, flush=True)


# Small modules at the package's root that the table of stages and the plan read.
ROOT_MODULES = ("tesserae.bits", "tesserae.correlating", "tesserae.edges", "tesserae.words")


def _engine(name: str) -> bool:
    # The runner itself loads these; a stage that imports them has them in its fingerprint anyway.
    return (
        fingerprint.is_plumbing(name)
        or name.startswith(("tesserae.config", "tesserae.lineage", "tesserae.costs"))
        or name in (fingerprint.PACKAGE, *ROOT_MODULES)
    )


def _declared(plan: Plan, job: Job, root: Path) -> set[Path]:
    """What a stage may read of the project: what it declares of its producers, their manifests, sources, comments."""
    records = [plan.folder(name) / manifests.NAME for name in job.inputs.values()]
    weights = filter(None, [published_weights(job)])
    return {root / path for path in (*plan.inputs(job), *records, *job.sources.values(), *job.comments, *weights)}


# ---- the record -------------------------------------------------------------------------------------------------


def _record(plan: Plan, job: Job, own: fingerprint.Own, chained: str, inputs: dict[str, dict]) -> dict:
    """The manifest as far as it is known before the stage starts."""
    root = plan.project.root
    return {
        "manifest": manifests.VERSION,
        "artifact": job.id,
        "stage": job.stage,
        "recipe": job.recipe,
        "scale": plan.scale,
        "papers": list(job.papers),
        "engine": fingerprint.ENGINE,
        "fingerprint": chained,
        "spec": job.spec,
        "origins": job.origins,
        "seed": _seed(job.spec),
        "modules": own.modules,
        "equivalents": own.equivalents,
        "inputs": inputs,
        "sources": [manifests.describe(root / path, root) for path in job.sources.values()],
        "weights": _described_weights(job),
        "environment": manifests.environment(),
        "hardware": _hardware(plan, job),
        "git": manifests.commit(root),
        "mlflow": {"experiment": plan.experiment(job), "tag": {"tesserae.fingerprint": chained}},
    }


def _hardware(plan: Plan, job: Job) -> dict[str, Any]:
    """The machine, with what a job takes of it: sums over more threads or processes are made in another order.

    So they are with other instructions, and by what the environment asks of the libraries that compute.
    """
    torch, threads = sys.modules.get("torch"), int(os.environ.get(THREADS[0], 0)) or None
    asked = {name: value for name, value in sorted(os.environ.items()) if name.startswith(COMPUTING)}
    return manifests.hardware() | {
        "processes": plan.request(job.stage).world,
        "threads": threads,
        "instructions": torch and torch.backends.cpu.get_cpu_capability(),
        "asked": {name: value for name, value in asked.items() if name not in THREADS},
    }


def _seed(spec: dict) -> int | None:
    return spec.get("seed", spec.get("training", {}).get("seed"))


def _described_weights(job: Job) -> dict | None:
    """Name, hash and size of the published weights that a job takes."""
    path = published_weights(job)
    return path and _weights_of(path) | {"file": job.weights}


def _weights_of(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}


def _file_mode() -> int:
    """Permissions of a new file under this process's umask."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _limit_threads(threads: int) -> None:
    """One job, its own cores: two jobs side by side must not fight. Set before torch starts its pool."""
    os.environ |= dict.fromkeys(THREADS, str(threads))
    if "torch" in sys.modules:  # a child of the warm parent
        sys.modules["torch"].set_num_threads(threads)


if __name__ == "__main__":
    main()
