"""Toy stages that sleep, die when told to, and keep a journal of every making: what a scale test is judged by.

The journal lies outside the results and is only ever appended to, a line per event. Imported by the jobs themselves,
so standard library only; the folder with the settings and the journal is named by TOYS in the environment.
"""

import json
import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

FOLDER = "TOYS"  # environment variable
SLACK = 0.05  # seconds by which two clocks of this machine may differ


def prepare(folder: Path, seconds: dict[str, float], fates: dict[str, str]) -> None:
    """Settings for the toys: how long each stage sleeps (`default` for the rest), and which artifacts die
    once in their sleep, of `exit` or `kill`."""
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"seconds": seconds, "fates": fates}))


def arm(text: str) -> str:
    """The text of a toy stage (tests/workflow/conftest.py: TOY) that also sleeps and keeps the journal."""
    before, after = "    found = [", '    return {"version"'
    assert before in text and after in text
    text = text.replace("import hashlib\n", "import hashlib\n\nfrom tests.slurm import toys\n")
    text = text.replace(before, f"    if not toys.begin(work.title):\n        return {{}}\n{before}")
    return text.replace(after, f"    toys.end(work.title)\n{after}")


def begin(artifact: str) -> bool:
    """Journal, sleep, and die if that is this making's fate; whether this process, if there are several, writes."""
    folder = Path(os.environ[FOLDER])
    settings = json.loads((folder / "settings.json").read_text())
    leads = os.environ.get("RANK", "0") == "0"
    died = any(line["event"] == "death" and line["artifact"] == artifact for line in read(folder))
    note(folder, "start", artifact, cpu=time.process_time(), began=_ancestors())
    time.sleep(settings["seconds"].get(artifact.split("/")[0], settings["seconds"]["default"]))
    fate = settings["fates"].get(artifact) if leads and not died else None
    if fate:
        note(folder, "death", artifact, fate=fate)
        if fate == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(f"{artifact} dies, as it was told to")
    return leads


def end(artifact: str) -> None:
    note(Path(os.environ[FOLDER]), "end", artifact)


def note(folder: Path, event: str, artifact: str, **more: Any) -> None:
    """Append one line, in one write: lines of several processes do not mix."""
    names = {"job": "SLURM_JOB_ID", "node": "SLURMD_NODENAME", "rank": "RANK"}
    who = {key: os.environ.get(name, "0") for key, name in names.items()}
    line = {"time": time.time(), "event": event, "artifact": artifact, "pid": os.getpid(), **who, **more}
    descriptor = os.open(folder / "journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{json.dumps(line)}\n".encode())
    finally:
        os.close(descriptor)


def read(folder: Path) -> list[dict[str, Any]]:
    file = folder / "journal.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def makings(journal: list[dict[str, Any]]) -> dict[str, list[tuple[float, float | None, str, dict[str, Any]]]]:
    """Artifact -> its makings by first process: (start, end, how it ended, the line of its start).

    How: `end`, `death` (as it was told), `lost` (its node disappeared), `undone` (its node disappeared after its end,
    before SLURM knew of it: SLURM starts the same job again) or `open`, without an end.
    """
    found: dict[str, list] = defaultdict(list)
    open_: dict[tuple, dict] = {}
    for line in journal:
        if line["event"] == "lost":
            for key in [key for key, start in open_.items() if start["node"] == line["node"]]:
                start = open_.pop(key)
                found[start["artifact"]].append((start["time"], line["time"], "lost", start))
        elif line["rank"] == "0":
            key = (line["artifact"], line["job"], line["pid"])
            if line["event"] == "start":
                open_[key] = line
                mine = found[line["artifact"]]
                mine[:] = [_judged(making, line, journal) for making in mine]
            else:
                start = open_.pop(key)
                found[line["artifact"]].append((start["time"], line["time"], line["event"], start))
    for start in open_.values():
        found[start["artifact"]].append((start["time"], None, "open", start))
    return found


def _judged(making: tuple, again: dict[str, Any], journal: list[dict[str, Any]]) -> tuple:
    start, end, how, line = making
    lost = any(
        other["event"] == "lost" and other["node"] == line["node"] and end <= other["time"] <= again["time"]
        for other in journal
    )
    return (start, end, "undone" if how == "end" and lost and line["job"] == again["job"] else how, line)


def faults(journal: list[dict[str, Any]], wanted: list[str], landed: dict[str, int]) -> list[str]:
    """What is wrong with how `wanted` were made, in words: nothing, if each was finished and landed exactly once (once
    more for each time that it was undone), every making had an end, and no two makings of one artifact overlapped.

    `landed`: artifact -> how many different manifests it had.
    """
    said, found = [], makings(journal)
    for name in sorted(found.keys() | landed | set(wanted)):
        mine = sorted(found.get(name, []), key=lambda making: making[0])
        ends = [making[2] for making in mine]
        if name not in wanted:
            said.append(f"{name} was made though nobody wanted it")
        elif ends.count("end") != 1 or not 1 <= landed.get(name, 0) <= 1 + ends.count("undone"):
            said.append(f"{name}: makings {ends}, landed {landed.get(name, 0)} times")
        if "open" in ends:
            said.append(f"{name}: a making without an end")
        for one, two in zip(mine, mine[1:]):
            if one[1] is None or two[0] < one[1] - SLACK:
                said.append(f"{name}: two makings at the same time, in jobs {one[3]['job']} and {two[3]['job']}")
    return said


def _ancestors() -> list[tuple[str, float, float]]:
    """This process and those above it: (what it is, when it began in Unix time, CPU seconds so far), own first."""
    ticks = os.sysconf("SC_CLK_TCK")
    booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    pid, found = os.getpid(), []
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        except OSError:
            break
        found.append((command[:60], booted + int(stat[19]) / ticks, (int(stat[11]) + int(stat[12])) / ticks))
        pid = int(stat[1])
    return found
