"""Every command that a block of README and docs shows is run here, on what a smoke run made, or it is said by whom."""

import json
import os
import shlex
import subprocess

import pytest
from click.testing import CliRunner

from tesserae.cli.main import main
from tests.conftest import ROOT
from tests.test_docs import PAGES, commands

# Pages that are followed as a whole.
FOLLOWED = {
    "docs/extending.md": "tests/workflow/test_extending.py",
    "docs/own_data.md": "tests/data/test_folder.py",
}
ELSEWHERE = {
    "audit": "tests/smoke/test_audit_smoke.py",
    "share": "tests/smoke/test_sharing.py",
    "pull": "tests/smoke/test_sharing.py",
    "stale --committed": "tests/smoke/test_sharing.py",
    "plan": "tests/costs/test_looking.py",  # counting networks takes a minute
    "mlflow": "tests/smoke/test_smoke.py",
    "decide": "tests/deciding/test_proposing.py",  # of claims of several seeds
    "publish": "tests/workflow/test_publishing.py",
    "reproduce spread/sit_b_joint": "tests/stages/test_spread.py",
    "reproduce tatok_table_1 tatok_figure_5": "tests/smoke/test_smoke.py",  # targets by name
}
# What a command says, by how it begins, and how it ends: without real data, without an edit to review, with 1.
SAYS = {
    "trace detok_table_1 --json": ('"artifact"', 0),
    "trace detok_table_1 --html": ("Wrote", 0),
    "trace": ("table/detok_table_1", 0),
    "compare": ("same measure", 0),
    "export": ("crate", 0),
    "why": ("Everything is current", 0),
    "stale": ("is stale at scale smoke", 0),
    "spec": ("model.gamma", 0),
    "data list": ("imagenet", 0),
    "data check": ("data.root", 1),
    "equivalent": ("perceptual", 1),
    "times": ("| tokenizer |", 0),
    "claims": ("at scale smoke", 0),
}


def shown() -> list[list[str]]:
    """Words of every command in a block, each once, of scale smoke."""
    pages = [page for page in PAGES if str(page.relative_to(ROOT)) not in FOLLOWED]
    found = {shlex.join(words) for page in pages for words, whole in commands(page.read_text()) if whole}
    return [shlex.split(line) for line in sorted(found)]


def of(words: list[str]) -> str:
    """A command without its program and its scale."""
    rest = [word.replace("desk:", "") for word in words[1:]]
    if "--scale" in rest:
        place = rest.index("--scale")
        del rest[place : place + 2]
    return " ".join(rest)


def known(command: str, table: dict) -> str | None:
    """The longest key with which a command begins."""
    return max((key for key in table if (command + " ").startswith(key + " ")), key=len, default=None)


TESSERAE = [words for words in shown() if words[0] == "tesserae"]


def test_every_command_that_is_shown_is_run_by_somebody():
    left = [words for words in TESSERAE if not known(of(words), ELSEWHERE | SAYS) and of(words) != "reproduce"]
    assert left == [] and len(TESSERAE) > 20
    assert all((ROOT / file).exists() for file in {*FOLLOWED.values(), *ELSEWHERE.values()})


@pytest.mark.parametrize("words", [w for w in TESSERAE if known(of(w), SAYS) and not known(of(w), ELSEWHERE)], ids=of)
def test_a_command_does_what_its_page_says(words, smoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # files that it writes
    monkeypatch.setattr(os, "environ", os.environ.copy())
    rest = [word.replace("desk:", "") for word in words[1:]]
    if "--scale" in rest:
        rest[rest.index("--scale") : rest.index("--scale") + 2] = []
    done = CliRunner().invoke(main, ["--project", str(smoke), "--scale", "smoke", *rest])
    word, code = SAYS[known(of(words), SAYS)]
    assert word in done.output and done.exit_code == code, done.output
    if "--json" in rest:
        json.loads(done.stdout)
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception


@pytest.mark.parametrize("words", [words for words in shown() if words[0] == "make"], ids=shlex.join)
def test_make_knows_what_to_do(words):
    """What takes hours is said, not done."""
    done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize("words", [words for words in TESSERAE if of(words) == "reproduce"], ids=shlex.join)
def test_a_run_that_takes_hours_is_planned(words, smoke):
    """Of the scale that it is of, in the project where nothing of it was made."""
    done = CliRunner().invoke(main, ["--project", str(smoke), *words[1:-1], "stale"])
    assert done.exit_code == 0 and "tokenizer" in done.output, done.output
