"""`tesserae reproduce`: bring what a user looks at up to date, and say what was checked."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import click

from tesserae.cli.common import paper_option, plan_of
from tesserae.cli.showing import note_libraries, remake_of, restorable, show_reasons, work
from tesserae.words import count

# Options of Snakemake that look, or tidy up, and make nothing: the branches of snakemake.cli.args_to_api.
MAKES_NOTHING = (
    *("lint", "list_target_rules", "list_rules", "print_compilation", "containerize", "generate_unit_tests"),
    *("dag", "rulegraph", "filegraph", "d3dag", "unlock", "cleanup_metadata", "conda_cleanup_envs"),
    *("conda_create_envs_only", "list_conda_envs", "cleanup_shadow", "container_cleanup_images", "list_changes"),
    *("list_input_changes", "list_params_changes", "list_untracked", "summary", "detailed_summary", "archive"),
    *("delete_all_output", "delete_temp_output", "touch"),
)
REPORT = "report/index"
MAKES_PART = ("until", "omit_from", "batch", "allowed_rules")  # of what its targets are made from
HEARD = 3.0  # seconds within which Snakemake says that it has heard a Ctrl-C
LOOKED_AT = (*MAKES_NOTHING, *MAKES_PART, "dryrun", "report", "report_after_run")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--remake", metavar="NAMES", help="Make these again: artifacts, tables, or `libraries`; comma-separated.")
@click.option("--confirm", metavar="TOKEN", help="Agree to an expensive run, as `tesserae reproduce` asked for it.")
@click.option("--plain", is_flag=True, help="Show what Snakemake says, instead of a view of the run.")
@paper_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def reproduce(
    settings: dict,
    remake: str | None,
    confirm: str | None,
    plain: bool,
    papers: tuple[str, ...],
    arguments: tuple[str, ...],
) -> None:
    """Bring everything up to date, or some papers, tables or artifacts.

    Says what will run and why, restores what is in the cache, runs the rest and shows it in MLflow. ARGUMENTS go to
    snakemake.
    """
    from tesserae.reporting import changes
    from tesserae.tracking import follow as following
    from tesserae.workflow import last_run, launch, runs, showing, staleness, store
    from tesserae.workflow.room import room

    plan = plan_of(settings)
    root = plan.project.root
    given = {"scale": settings["scale"], "remake": remake, "confirm": confirm}
    options = _parsed(arguments)
    if any(getattr(options, name) for name in MAKES_NOTHING) or (options.report and not options.report_after_run):
        sys.exit(_plainly(root, arguments, given))
    wanted_again = remake_of(plan, remake)
    try:
        targets = [*launch.papers(plan, papers), *options.targets]
        wanted = launch.wanted(plan, targets)
        arguments = (*papers, *launch.as_files(plan, arguments, options.targets))
    except LookupError as error:
        raise click.ClickException(str(error.args[0])) from None
    statuses = staleness.examine(plan, wanted_again)
    if any(target in plan.project.papers for target in targets):
        along = launch.pages_along(plan, statuses, wanted)
        wanted += along
        arguments = (*(str(plan.outputs(plan.jobs[name])[0]) for name in along), *arguments)
    run = staleness.to_run(plan, statuses, wanted)
    try:
        if not options.dryrun:
            runs.verify_none(root, plan.scale)
        if not options.dryrun and (back := restorable(plan, statuses, run)):
            with runs.alone(root, plan.scale):
                last_run.begin(plan, statuses, back)
                back = store.restore(plan, statuses, back)
            click.echo(f"Restored from the cache: {showing.short(back)}")
            statuses = staleness.examine(plan, wanted_again)
            run = staleness.to_run(plan, statuses, wanted)
    except runs.Running as running:
        raise click.ClickException(str(running)) from None
    again = launch.replaced(plan, statuses, list(run))
    if run:
        remade = f", {len(again)} of them again" if again and len(again) < len(run) else ""
        click.echo(f"{count(len(run), 'artifact')} to make{remade}{work(plan, statuses, list(run))}")
    if again:
        show_reasons(plan, statuses, {name: run[name] for name in again}, most=6)
    note_libraries(statuses)
    if options.dryrun and not os.access(root, os.W_OK):
        click.echo(f"Snakemake's own dry run would follow; it has to write into {root}, which you may not")
        return
    if options.dryrun:
        sys.exit(_plainly(root, arguments, given))
    try:
        launch.confirm(plan, statuses, list(run), confirm)
    except launch.Unconfirmed as question:
        if not sys.stdin.isatty():
            raise click.ClickException(str(question)) from None
        click.confirm(f"{question}\nGo on", abort=True)
        given["confirm"] = launch.token(plan, statuses)
    here = room(arguments, plan.project.scale.resources.values(), plan.project.settings.device)
    if run and here.line:
        click.echo(here.line)
    follower = following.start_follower(root, plan.scale) if run else None
    try:
        failed = (_plainly if plain or not run else _watched(plan, statuses))(root, (*arguments, *here.options), given)
    finally:
        if follower:
            following.stop(follower)
    if changed := last_run.end(plan, failed=bool(failed)):
        changes.write(root / plan.top, changed)
    _sync_if_new(root, plan.scale)
    if failed:
        raise click.ClickException(
            "the workflow did not finish; what stopped it is said above, with the log of each failed job. "
            "Run the same command again to go on where it stopped."
        )
    _say_what_is(_plan_again(settings) if run else plan, targets, options)


def _plan_again(settings: dict):
    """The plan as the code and the configuration are now: a run may have taken hours."""
    from tesserae.lineage import fingerprint

    fingerprint.forget()
    return plan_of(settings)


def _say_what_is(plan, targets: list[str], options) -> None:
    """Look at what was asked for, and say how it stands; ClickException if not all of it is there and current."""
    from tesserae.workflow import launch, staleness

    statuses = staleness.examine(plan)
    left = staleness.to_run(plan, statuses, launch.wanted(plan, targets))
    if not left:
        for target in targets or ["Everything"]:
            click.echo(f"{target} at scale {plan.scale} is up to date: {_shown_in(plan, target)}")
        if targets and (waiting := staleness.to_run(plan, statuses, [REPORT])):
            click.echo(
                f"The first page, {plan.outputs(plan.jobs[REPORT])[0]}, is of all papers and waits for "
                f"{count(len(waiting.keys() - {REPORT}), 'more artifact')}: `tesserae reproduce`"
            )
    elif any(getattr(options, name) for name in MAKES_PART):
        what = f"{count(len(left), 'artifact')} {'is' if len(left) == 1 else 'are'} left to make"
        click.echo(f"Done as far as it was asked for; {what}: `tesserae stale`")
    else:
        what = f"{count(len(left), 'artifact')} {'is' if len(left) == 1 else 'are'} not up to date after all"
        raise click.ClickException(
            f"{what}, as {next(iter(left))} ({next(iter(left.values()))}); "
            "`tesserae why` says what changed. Was something edited meanwhile? Run the same command again."
        )


def _shown_in(plan, target: str) -> Path:
    """The file that shows a target: a paper's page, an artifact's page or else its first file, or the page of all."""
    from tesserae.workflow import launch

    if target in plan.project.papers:
        name = f"page/{target}"
    else:
        name = REPORT if target in ("Everything", "all") else launch.wanted(plan, [target])[0]
    outputs = plan.outputs(plan.jobs[name])
    return next((file for file in outputs if file.suffix == ".html"), outputs[0])


def _parsed(arguments: tuple[str, ...]):
    """Snakemake's own reading of its arguments."""
    from tesserae.workflow.room import only_targets

    if only_targets(arguments):
        return Namespace(targets=[*arguments], **dict.fromkeys(LOOKED_AT))
    from snakemake.cli import get_argument_parser

    return get_argument_parser().parse_args(list(arguments))


def _command(arguments: tuple[str, ...], given: dict[str, str | None], *more: str) -> list[str]:
    command = [sys.executable, "-m", "snakemake", *arguments, *more]
    if any(given.values()):
        command += ["--config", *(f"{key}={value}" for key, value in given.items() if value)]
    return command


def _plainly(root: Path, arguments: tuple[str, ...], given: dict[str, str | None]) -> int:
    """Run Snakemake in the project folder; its exit code. Ctrl-C is for Snakemake, which ends its jobs and its lock."""
    with subprocess.Popen(_command(arguments, given, "--quiet", "rules", "host"), cwd=root) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def _watched(plan, statuses):
    """The same with a view of the run."""
    from tesserae.cli.view import View
    from tesserae.workflow import events, staleness

    def run(root: Path, arguments: tuple[str, ...], given: dict[str, str | None]) -> int:
        files = events.begin(root, plan.scale)
        view = View(plan, files, lambda name: staleness.seconds(plan, statuses, name))
        command = _command(arguments, given, "--logger", "tesserae", "--quiet", "host")
        environment = {**os.environ, events.VARIABLE: str(files.events)}
        # Into the file itself, not through this process: whoever ends the view does not end the run.
        with open(files.log, "ab") as log:
            process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
        with process, _asked_to_stop() as asked:
            while process.poll() is None:
                _pass_on(asked, process, view)
                view.look()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(view.every)
        view.close()
        return process.returncode

    return run


@contextlib.contextmanager
def _asked_to_stop():
    """Whoever asks this process to stop means the run, which ends in order: yields the signals that came, with times.

    A lost terminal (SIGHUP) ends all.
    """
    asked: dict[int, float] = {}
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: asked.setdefault(number, time.monotonic()))
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_on(asked: dict[int, float], process: subprocess.Popen, view) -> None:
    """Ask Snakemake to stop, where it was not asked with us. Ctrl-C goes from the terminal to all processes of a run;
    who asked this one alone (`kill`) gets the end that does least harm.
    """
    if not asked:
        return
    if view.stops:
        view.note("Asked to stop: jobs end, trainings save their state")
    elif signal.SIGTERM in asked or time.monotonic() - asked[signal.SIGINT] > HEARD:
        view.note("Asked to stop: nothing new begins, what runs is waited for")
        if asked.setdefault(signal.SIGTERM, 0.0) < float("inf"):
            process.terminate()
            asked[signal.SIGTERM] = float("inf")
    else:
        view.note("Asked to stop")


def _sync_if_new(root: Path, scale: str) -> None:
    from tesserae.tracking.store import StoreError
    from tesserae.tracking.sync import sync_if_new

    try:
        click.echo(sync_if_new(root, scale))
    except StoreError as error:
        click.echo(str(error), err=True)  # says itself that results are complete, and the remedy
    except Exception as error:  # tracking may never cost a result
        click.echo(
            f"MLflow: not synchronised ({type(error).__name__}: {error}); "
            "results are complete without it, `tesserae mlflow sync` tries again",
            err=True,
        )
