"""How a run looks: one live view on a terminal, a line a minute elsewhere; whatever nobody foresaw is shown as it is.

The view only reads files that Snakemake's process writes (workflow/events.py).
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tesserae.words import count, duration
from tesserae.workflow import events
from tesserae.workflow.plan import Plan
from tesserae.workflow.under_way import Left, UnderWay, taken_elsewhere

EVERY, EVERY_REMOTE = 0.5, 3.0  # seconds between two looks, at jobs here and at those on a shared file system
EVERY_LINE = 60.0  # seconds between two lines
RECKONED = 5.0  # seconds for which the time that is left stands, less what passes
STOPS = "Terminating processes on user request"  # how Snakemake says it
ROWS = 8  # running jobs that are shown by name
ENDING = 15  # lines of a failed job's log
BAR = 24  # columns of a bar
NARROW, NARROWER = 64, 32  # columns of a terminal from which on there are bars, and times


class Row(NamedTuple):
    """A running job in the view."""

    job: str
    fraction: float | None
    since: float


class View:
    """Shows a run: call `look` a few times a second, `close` at its end.

    known: seconds that an artifact takes, as far as that is known. Writing errors (a terminal that is gone) end the
    view, not the run.
    """

    def __init__(self, plan: Plan, files: events.Files, known: Callable[[str], float | None]):
        self.run = UnderWay(plan.project.root)
        self._plan, self._known, self._files = plan, known, files
        self._elsewhere = taken_elsewhere(plan.project.root, plan.scale)
        self._log, self._events = events.Lines(files.log), events.Lines(files.events)
        self._began = self._said = time.time()
        self._left: tuple[float, Left | None] = (0.0, None)
        self.stops = False  # Snakemake has said that it stops
        self._heard: set[str] = set()
        self._note, self._noted, self._mute = "", "", False
        self._live = None
        if (console := _terminal()) is not None:
            from rich.live import Live

            self._console = console
            self._live = Live(
                get_renderable=self._picture,
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            console.show_cursor(True)  # whatever ends this process, the terminal is as it was
        self._print(f"Log of this run: {self._path(files.log)}")

    @property
    def every(self) -> float:
        """Seconds between two looks."""
        return EVERY_REMOTE if self.run.remote else EVERY

    # ---- what happens -----------------------------------------------------------------------------------------------

    def look(self, last: bool = False) -> None:
        """Take in what is new, and show it."""
        began = self.run.jobs is not None
        lines = self._log.new(last)
        self.stops |= any(events.foreseen(line) and STOPS in line for line in lines)
        for event in filter(None, map(events.parsed, self._events.new())):
            self._take(event)
        if not (self._note and self.run.jobs is None):  # nothing had begun: all that may come is how planning broke off
            self.complain(*(line for line in lines if not events.foreseen(line)))
        if self._note and not self._live and self._note != self._noted:
            self._noted = self._note
            self._print(self._note)
        if self._live and not self._mute:
            with self._careful():
                self._live.refresh()
        elif not last and self.run.jobs and (not began or time.time() - self._said >= EVERY_LINE):
            self._said = time.time()
            self._print(self.line())

    def _take(self, event: dict[str, Any]) -> None:
        self.run.apply(event)
        if event["event"] == "said" and not _repeats(event) and event["words"] not in self._heard:
            self._heard.add(event["words"])  # some is said of every job that is submitted; the log has it all
            self.complain(event["words"])
        elif event["event"] == "failed" and self.run.remote:  # elsewhere than here: its rule says it there
            self._tell_failure(event)

    def note(self, text: str) -> None:
        """Something that the user has done: from the next look on it stays in view."""
        self._note = text

    def complain(self, *lines: str) -> None:
        """Show lines of an error in full, as they are."""
        if not lines:
            return
        with self._careful():
            if self._live:
                from rich.text import Text

                self._console.print(Text.from_ansi("\n".join(lines)), soft_wrap=True, highlight=False)
            if not self._live or not sys.stderr.isatty():
                print(*lines, sep="\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Show what is left to show, and how the run ended."""
        self.look(last=True)
        if self._live:
            with self._careful():
                self._live.stop()
            self._live = None
        run = self.run
        for name, log in run.failed.items():
            self.complain(f"Failed: {name}{f', its log: {self._path(log)}' if log else ''}")
        if run.jobs:
            failed = f", {len(run.failed)} failed" if run.failed else ""
            took = duration(time.time() - self._began)
            self._print(f"{len(run.done)} of {count(len(run.jobs), 'artifact')} made{failed}, in {took}")
        self._print(f"Log of this run: {self._path(self._files.log)}")
        self._files.events.unlink(missing_ok=True)

    def _tell_failure(self, event: dict[str, Any]) -> None:
        name, log = event["job"], self.run.failed.get(event["job"])
        lines = [f"{name} failed. {event['message'] or ''}".rstrip()]
        if log:
            lines += [f"Its log is {self._path(log)} and ends:", *_ending(log)]
        self.complain(*lines)

    # ---- in words ---------------------------------------------------------------------------------------------------

    def line(self) -> str:
        """The run in one line."""
        rows, waiting = self._rows()
        named = ", ".join(row.job + ("" if row.fraction is None else f" {row.fraction:.0%}") for row in rows[:ROWS])
        more = f" and {len(rows) - ROWS} more" if len(rows) > ROWS else ""
        parts = [
            f"{len(self.run.done)} of {len(self.run.jobs)} done",
            f"{len(self.run.failed)} failed" if self.run.failed else "",
            f"running: {named}{more}" if rows else "",
            f"{waiting} in the queue" if waiting else "",
            self._left_words(),
        ]
        return f"{time.strftime('%H:%M:%S')} {'; '.join(filter(None, parts))}"

    def _left_words(self) -> str:
        reckoned, left = self._left
        if time.time() - reckoned >= RECKONED:
            reckoned, left = self._left = time.time(), self.run.left(self._plan, self._known, self._elsewhere)
        seconds = 0.0 if left is None else left.seconds - (time.time() - reckoned)
        if seconds <= 0:  # nothing is known, or all takes longer than it did
            return ""
        words = rough(seconds)
        return f"more than {words} left" if left.unknown else f"about {words} left"

    def _rows(self) -> tuple[list[Row], int]:
        """Running jobs, the longest first, and how many others wait in a queue."""
        waiting = {name for name in self.run.running if self.run.waits(name)}
        running = sorted((name for name in self.run.running if name not in waiting), key=self._since)
        bars = {name: self.run.bar(name) for name in running[:ROWS]}
        rows = [Row(name, bars[name].fraction if bars.get(name) else None, self._since(name)) for name in running]
        return rows, len(waiting)

    def _since(self, name: str) -> float:
        return self.run.running[name].since

    def _path(self, file: Path) -> str:
        with contextlib.suppress(ValueError):
            return str(file.relative_to(self._plan.project.root))
        return str(file)

    # ---- on a terminal ----------------------------------------------------------------------------------------------

    def _picture(self) -> Any:
        """The live view, as something that rich draws; at most as wide as the terminal."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        console = self._console
        wide, times, ascii_only = console.width >= NARROW, console.width >= NARROWER, console.options.ascii_only
        run, now = self.run, time.time()

        def cut(text: str, width: int) -> str:
            return shortened(text, width, ".." if ascii_only else "…")

        if run.jobs is None:
            return cut(f"Planning, {rough(now - self._began)} ... {self._note}", console.width)
        rows, waiting = self._rows()
        head = f"{len(run.done)} of {len(run.jobs)} done"
        head += f", {len(run.failed)} failed" if run.failed else ""
        head = ", ".join(filter(None, [head, self._left_words()]))
        found: list[Any] = [cut(head, console.width)]
        if wide:
            found.append(ProgressBar(max(1, len(run.jobs)), len(run.done), width=min(console.width - 1, 2 * NARROW)))
        table = Table.grid(padding=(0, 1))
        taken = 5 + (BAR + 1 if wide else 0) + (10 if times else 0)
        for row in rows[:ROWS]:
            cells: list[Any] = [cut(row.job, max(1, console.width - taken))]
            if wide:
                cells.append("" if row.fraction is None else ProgressBar(1.0, row.fraction, width=BAR))
            cells.append(f"{'' if row.fraction is None else f'{row.fraction:.0%}':>4}")
            if times:
                cells.append(f"{rough(now - row.since):>9}")
            table.add_row(*cells)
        for column in table.columns:
            column.no_wrap = True
        found.append(table)
        more = f"{len(rows) - ROWS} more run" if len(rows) > ROWS else ""
        rest = "; ".join(filter(None, [more, f"{waiting} in the queue" if waiting else ""]))
        found += [cut(text, console.width) for text in (rest, self._note) if text]
        return Group(*found)

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        """Whoever looked may be gone, with the terminal or the other end of a pipe; the run goes on."""
        if self._mute:
            return
        try:
            yield
        except OSError:
            self._mute = True

    def _print(self, text: str) -> None:
        with self._careful():
            if self._live:
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, flush=True)


def _terminal() -> Any:
    """A console on which things can be redrawn; None where nothing can (a pipe, TERM=dumb)."""
    from rich.console import Console

    if not sys.stdout.isatty():
        return None
    console = Console(markup=False, emoji=False, highlight=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


def _repeats(event: dict[str, Any]) -> bool:
    """Whether an error of Snakemake's says once more that a job failed, with the text of its command."""
    return event["exception"] == "RuleException" and "CalledProcessError" in event["words"]


def _ending(log: Path) -> list[str]:
    """The last lines of a log, of a progress bar its last state."""
    try:
        text = log.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        return [f"({error.strerror})"]
    return [line.rpartition("\r")[2] for line in text.rstrip("\n\r").split("\n")][-ENDING:]


def shortened(text: str, width: int, mark: str = "…") -> str:
    """Text in at most `width` columns; what was cut out of its end is marked."""
    return text if len(text) <= width else text[: max(0, width - len(mark))] + mark


def rough(seconds: float) -> str:
    """A duration as one reads it from afar: 40 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
