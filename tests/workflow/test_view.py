"""How a run looks: what its events come to, what a terminal shows, and that no line of an error is lost."""

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console

from tesserae.cli import view as views
from tesserae.config.stages import STAGES
from tesserae.workflow import events
from tesserae.workflow.plan import open_plan
from tesserae.workflow.under_way import Bar, UnderWay, bar_of, taken_elsewhere
from tests.conftest import ROOT
from tests.waiting import until

DATASET, REFERENCE, TOKENIZER = "dataset/emoji_few-32", "reference/emoji_few-32", "tokenizer/detok_sb_joint"
ERROR = "what goes wrong here does not fit into forty columns of a terminal, and stays whole"


@pytest.fixture(scope="module")
def plan():
    return open_plan(ROOT, "smoke")


def under_way(root: Path, *told: tuple[str, str], jobs=(DATASET, REFERENCE, TOKENIZER), **about) -> UnderWay:
    """A run of which (event, job) was told, a second after each other from second 0 on."""
    run = UnderWay(root)
    run.apply({"event": "begun", "at": 0.0, "jobs": [*jobs], "remote": False, "room": 2} | about)
    for at, (event, job) in enumerate(told):
        run.apply({"event": event, "at": float(at), "job": job, "log": [f"{job.replace('/', '-')}.log"]})
    return run


def test_events_come_to_what_runs_is_done_and_failed(tmp_path):
    run = under_way(tmp_path, ("started", "all/index"), ("started", DATASET), ("started", TOKENIZER))
    assert [*run.running] == [DATASET, TOKENIZER] and not run.done
    run.apply({"event": "finished", "at": 9.0, "job": DATASET})
    run.apply({"event": "failed", "at": 9.0, "job": TOKENIZER})
    assert run.done == {DATASET: 8.0} and [*run.failed] == [TOKENIZER] and not run.running
    run.apply({"event": "started", "at": 9.0, "job": TOKENIZER, "log": []})
    assert not run.failed and [*run.running] == [TOKENIZER]  # tried again


def test_the_time_left_is_that_of_the_schedule(tmp_path, plan):
    times = {DATASET: 10.0, REFERENCE: 20.0, TOKENIZER: 60.0}
    assert UnderWay(tmp_path).left(plan, times.get) is None
    assert under_way(tmp_path).left(plan, times.get) == (70.0, 0)  # the two read the first, side by side
    assert under_way(tmp_path, room=1).left(plan, times.get) == (90.0, 0)
    assert under_way(tmp_path, ("started", DATASET)).left(plan, times.get, now=4.0) == (66.0, 0)
    some = under_way(tmp_path, ("started", DATASET), ("finished", DATASET))
    assert some.left(plan, {REFERENCE: 20.0}.get) == (20.0, 1)  # of the tokenizer nothing is known: more than 20 s
    assert some.left(plan, lambda name: None) is None
    # The tokenizer took 30 s elsewhere, and the data set, which took 1 s here, half a second.
    assert some.left(plan, {REFERENCE: 20.0}.get, {"tokenizer": 30.0, "dataset": 0.5}) == (60.0, 0)


def test_the_page_of_times_says_what_stages_take(tmp_path):
    found = taken_elsewhere(ROOT, "pocket")
    assert {"tokenizer", "generator", "samples", "report"} <= found.keys() <= STAGES.keys()
    assert found["tokenizer"] > 20 > found["table"] > 0
    assert taken_elsewhere(ROOT, "desk") == taken_elsewhere(tmp_path, "pocket") == {}


def test_a_training_says_itself_how_long_it_takes(tmp_path, plan):
    run = under_way(tmp_path, ("started", TOKENIZER), jobs=[TOKENIZER])
    log = tmp_path / f"{TOKENIZER.replace('/', '-')}.log"
    log.write_text("one: 50%|##   | 1.00k/2.00k [00:10<01:10, 99img/s]\ralso:  25%|#    | 1/4 [00:10<1:00:05, 9img/s]")
    assert run.bar(TOKENIZER) == Bar(0.25, 3605.0) and run.left(plan, lambda name: 7.0) == (3605.0, 0)
    os.utime(log, (-9.0, -9.0))  # of an earlier run
    assert run.bar(TOKENIZER) is None and run.left(plan, lambda name: 7.0, now=2.0) == (5.0, 0)
    assert bar_of(tmp_path / "none.log") is None


def test_bars_are_read_as_they_are_written(tmp_path):
    from tqdm import tqdm

    log = tmp_path / "log"
    with open(log, "w") as file:
        bar = tqdm(range(200), desc="a 7%| title", file=file, mininterval=0, unit="img", unit_scale=64)
        for step in bar:
            bar.set_postfix({"loss": "0.1"}, refresh=False)
            if step == 99:
                break
        bar.n = 100
        bar.refresh()
    assert bar_of(log).fraction == 0.5 and bar_of(log).left is not None


def test_lines_of_snakemake_are_told_from_all_others(tmp_path):
    file = tmp_path / "log"
    file.write_text(events.stamped("Job stats:\n\njob  count") + "12:30 | not a stamp\nTraceback")
    lines = events.Lines(file)
    assert [line for line in lines.new() if not events.foreseen(line)] == ["12:30 | not a stamp"]
    with open(file, "ab") as more:
        more.write(b" (most recent\xff call last)\nhalf")
    assert lines.new() == [r"Traceback (most recent\xff call last)"] and lines.new(last=True) == ["half"]


def test_logs_of_earlier_runs_do_not_pile_up(tmp_path):
    for number in range(events.KEPT + 4):
        (tmp_path / events.FOLDER).mkdir(parents=True, exist_ok=True)
        (tmp_path / events.FOLDER / f"smoke-2020{number:04d}-000000.log").touch()
    (tmp_path / events.FOLDER / "desk-20200000-000000.log").touch()
    for name, age in (("killed", 2 * events.FORGOTTEN), ("another", 5.0)):
        (tmp_path / events.FOLDER / f"smoke-{name}.events").touch()
        os.utime(tmp_path / events.FOLDER / f"smoke-{name}.events", (time.time() - age,) * 2)
    log = events.begin(tmp_path, "smoke").log
    kept = sorted(path.name for path in (tmp_path / events.FOLDER).glob("smoke-*.log"))
    assert len(kept) == events.KEPT and kept[-1] == log.name and kept[0] == "smoke-20200005-000000.log"
    assert (tmp_path / events.FOLDER / "desk-20200000-000000.log").exists()
    left = {path.name for path in (tmp_path / events.FOLDER).glob("smoke-*.events")}
    assert left == {"smoke-another.events", log.with_suffix(".events").name}


@pytest.mark.parametrize(
    ("width", "encoding"), [(20, "utf-8"), (40, "ascii"), (63, "utf-8"), (64, "ascii"), (200, "utf-8")]
)
def test_the_view_is_never_wider_than_the_terminal(width, encoding, tmp_path, plan, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(
        views, "_terminal", lambda: Console(file=out, width=width, height=50, force_terminal=True, color_system=None)
    )
    names = [name for name in plan.jobs if name.startswith("tokenizer/")]
    files = events.begin(tmp_path, "smoke")
    with open(files.events, "w") as told:
        for event in (
            {"event": "begun", "jobs": names, "remote": True, "room": 99},
            *({"event": "started", "job": name, "log": [f"{number}.log"]} for number, name in enumerate(names)),
            {"event": "failed", "job": names[1], "message": "x" * 300},
        ):
            told.write(json.dumps(event | {"at": time.time()}) + "\n")
    shown = views.View(plan, files, lambda name: 3600.0)
    shown.run.root = tmp_path
    for number in range(len(names) - 3):  # three have not begun
        (tmp_path / f"{number}.log").write_text("t: 50%|##| 1/2 [00:10<01:10, 9img/s]" if number % 2 else "")
    shown.note("a note " * 20)
    shown.look()
    out.seek(0)
    out.truncate()
    shown.look()
    out.flush()
    written = out.buffer.getvalue().decode()
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", written).strip())
    assert max(map(len, lines)) <= width and written.isascii() == (encoding == "ascii")
    text = " ".join(lines)
    assert "1 failed" in text or width < 40
    assert "50%" in text and ("3 in the queue" in text or width < 40) and "a note" in text
    assert len(lines) <= 2 + views.ROWS + 2
    shown.close()


def on_terminal(toys, columns: int, *arguments: str, **environment: str) -> tuple[int, int]:
    """Start `tesserae reproduce` on a terminal of its own: process, and our end of the terminal."""
    own = {"PYTHONPATH": str(toys.root / "src"), "MLFLOW_TRACKING_URI": toys.store, "TESSERAE_WARM": "off"}
    command = [sys.executable, "-m", "tesserae.cli.main", "--scale", "smoke", "reproduce", *arguments]
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(toys.root)
        os.execve(sys.executable, command, {**os.environ, "TERM": "xterm-256color", **own, **environment})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    return process, terminal


class Screen:
    """What came out of a terminal so far."""

    def __init__(self, terminal: int):
        self.terminal, self.raw = terminal, b""
        os.set_blocking(terminal, False)

    @property
    def text(self) -> str:
        try:
            while found := os.read(self.terminal, 1 << 16):
                self.raw += found
        except OSError:  # nothing now, or it is closed
            pass
        return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", self.raw.decode(errors="replace")).replace("\r\n", "\n")


def test_a_terminal_shows_what_runs_and_all_of_an_error(toys):
    """Of two jobs at a time one fails; the other one is ended by Ctrl-C."""
    toys.insert("reference", f"raise RuntimeError({ERROR!r})")
    toys.insert("scenes", "import sys; print('t:  50%|##   | 1/2 [00:10<00:10, 9img/s]', file=sys.stderr, flush=True)")
    toys.gate("scenes")
    scenes = next(job for job in open_plan(toys.root, "smoke").jobs if job.startswith("scenes/"))
    process, terminal = on_terminal(toys, 40, REFERENCE, scenes)
    screen = Screen(terminal)
    until(lambda: "1 failed" in screen.text and " 50%" in screen.text, lambda: screen.text)
    assert f"RuntimeError: {ERROR}\n" in screen.text and f"{REFERENCE} failed: {ERROR}\n" in screen.text
    assert f"\n{scenes[:23]}" in screen.text.replace("\r", "\n")
    os.write(terminal, b"\x03")
    until(lambda: "Run the same command again" in screen.text, lambda: screen.text)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 1
    log = re.search(r"Log of this run: (\S+)", screen.text)[1]
    assert screen.text.count(log) == 2 and f"Failed: {REFERENCE}, its log: results/smoke/" in screen.text
    assert screen.raw.rfind(b"\x1b[?25h") > screen.raw.rfind(b"\x1b[?25l")  # the cursor is to be seen
    assert ERROR in (toys.root / log).read_text() and "rule reference:" in (toys.root / log).read_text()


def test_a_run_whose_reader_is_gone_goes_on(toys):
    """The other end of its pipe closes; and SIGTERM, which asks for an orderly end, lets the job end that runs."""
    toys.gate("dataset")
    run = toys.start("tesserae.cli.main", "--scale", "smoke", "reproduce", REFERENCE, LC_ALL="C", PYTHONUTF8="0")
    until(toys.began, lambda: "the job does not begin")
    assert any("0 of 2 done; running: dataset/emoji_few-32" in line for line in iter(run.stdout.readline, None))
    run.stdout.close()
    run.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    toys.open()
    assert run.wait() == 1
    assert toys.manifest(DATASET) and not (toys.root / "results/smoke" / REFERENCE / "manifest.json").exists()
