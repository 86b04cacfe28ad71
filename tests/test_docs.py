"""README and docs: links lead somewhere, and commands that are shown exist with their options."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tesserae.cli.main import main
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
PROMPT = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?(?=(?:tesserae|make|python -m tesserae)\b)")
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub makes them."""
    text = FENCED.sub("", page.read_text())
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(FENCED.sub("", text)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def commands(text: str) -> list[tuple[list[str], bool]]:
    """Words of each command that a page shows, and whether it is whole: one in a sentence may lack its arguments."""
    blocks = [block for _, language, block in FENCED.findall(text) if language in ("", "console")]
    lines = [(line, True) for block in blocks for line in block.splitlines()]
    lines += [(line, False) for line in INLINE.findall(FENCED.sub("", text))]
    found = []
    for line, whole in lines:
        shown = shlex.split(PROMPT.sub("", line), comments=True) if PROMPT.match(line) else []
        for words in split(shown):
            if words[0] in ("tesserae", "make") or words[:2] == ["python", "-m"]:
                found.append((words, whole))
    return found


def split(words: list[str]) -> list[list[str]]:
    """The commands of a line, which stand between && and semicolons."""
    parts: list[list[str]] = [[]]
    for word in words:
        bare = word.rstrip(";")
        parts[-1] += [bare] if bare not in ("", "&&") else []
        if bare != word or word == "&&":
            parts.append([])
    return [part for part in parts if part]


def fault(words: list[str], whole: bool, page: str = "") -> str | None:
    """What is wrong with a command; None if it could be run. A module may be one that the page itself adds."""
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        known = re.findall(r"^([\w-]+)(?=:(?!=)| \?=)", makefile, re.MULTILINE)  # targets, and settings such as SCALE
        unknown = [word for word in words[1:] if word.partition("=")[0] not in known]
        return f"the Makefile has no {unknown[0]}" if unknown else None
    if words[0] == "python":
        path = words[2].replace(".", "/")
        known = [base / end for base in (ROOT / "src", ROOT) for end in (f"{path}.py", f"{path}/__init__.py")]
        return (
            None
            if any(file.exists() for file in known) or f"\n# src/{path}.py\n" in page
            else f"there is no module {words[2]}"
        )
    command, context, rest = main, None, words[1:]
    try:
        while True:
            context = command.make_context(command.name, list(rest), parent=context)
            if not isinstance(command, click.Group):
                return None
            _, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    except (click.exceptions.NoArgsIsHelpError, click.exceptions.Exit):  # help, version
        return None
    except click.MissingParameter as error:
        return error.format_message() if whole else None
    except click.UsageError as error:
        return error.format_message()


@named
def test_links_lead_somewhere(page):
    assert broken(page, page.read_text()) == []


@named
def test_commands_exist_with_their_options(page):
    text = page.read_text()
    said = {shlex.join(words): fault(words, whole, text) for words, whole in commands(text)}
    assert {command: problem for command, problem in said.items() if problem} == {}


# Each block of YAML of a page: the file below config/ that it is put into, below which keys, and a scale that reads it.
# Others' blocks are put where they belong by tests of their own.
PLACES = {
    "docs/change.md": [("scales/desk.yaml", [], "desk"), ("papers/detok.yaml", [], "pocket")],
    "docs/data.md": [("config.yaml", [], "pocket")],
    "docs/decide.md": [("scales/desk.yaml", [], "desk")],
    "docs/domains.md": [("papers/comptok.yaml", ["tables", "own_h"], "desk")],
    "docs/probes.md": [("papers/concepttok.yaml", ["tables", "own_f"], "smoke")],
    "docs/weights.md": [("scales/released.yaml", [], "released")],
}
PLACED = {
    "docs/extending.md": "tests/workflow/test_extending.py",
    "docs/own_data.md": "tests/data/test_folder.py",
}


def yaml_blocks(page: Path) -> list[str]:
    return [block for _, language, block in FENCED.findall(page.read_text()) if language == "yaml"]


def put(old: Any, new: Any) -> Any:
    """YAML with what a page says of it: keys are added or changed, `...` stands for what is there."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: put(old.get(key), value) for key, value in new.items() if key != "..."}
    return new


def placed(project: Path, page: str) -> None:
    """Put the blocks of a page into a copy of the configuration."""
    for block, (name, keys, _) in zip(yaml_blocks(ROOT / page), PLACES[page], strict=True):
        told = yaml.safe_load(textwrap.dedent(block))
        for key in reversed(keys):
            told = {key: told}
        file = project / "config" / name
        file.write_text(yaml.safe_dump(put(read_yaml(file), told), sort_keys=False), encoding="utf-8")


def test_every_block_of_yaml_has_its_place():
    shown = {str(page.relative_to(ROOT)) for page in PAGES if yaml_blocks(page)}
    assert shown == PLACES.keys() | PLACED.keys()


@pytest.mark.parametrize("page", PLACES)
def test_yaml_holds_where_it_belongs(page, project):
    before = {scale: open_plan(project, scale).jobs.keys() for _, _, scale in PLACES[page]}
    placed(project, page)
    added = {scale: open_plan(project, scale).jobs.keys() - jobs for scale, jobs in before.items()}
    if page == "docs/change.md":  # a row of one's own: its trainings, and all that is measured of them
        assert {"tokenizer/detok_sb_strong", "generator/mar_b_strong", "generator/sit_b_strong"} <= added["pocket"]
        assert all(name.split("/")[1].partition("-")[0].endswith("_strong") for name in added["pocket"])
    elif page == "docs/decide.md":
        assert {"generator/sit_b_joint.seed12", "tokenizer/detok_sb_joint.seed12"} <= added["desk"]
    elif page == "docs/probes.md":
        assert {name.split("/")[0] for name in added["smoke"]} >= {"probe", "neighbours"}
    elif page == "docs/domains.md":
        assert {"task_score/sd_vae-medical", "information_gain/sd_vae-medical"} <= added["desk"]


def test_a_wrong_link_and_a_wrong_command_would_be_seen():
    text = "[a](docs/nowhere.md) [b](docs/lineage.md#nothing) [c](docs/lineage.md#sharing) [d](https://example.org)"
    assert broken(ROOT / "README.md", text) == ["docs/nowhere.md", "docs/lineage.md#nothing"]
    block = "```console\n$ tesserae audti\n$ tesserae stale --jsn && make everything\n$ tesserae spec  # all\n```\n"
    wrong = [fault(*command) for command in commands(block + "`tesserae spec` and `python -m tesserae.stages.nothing`")]
    assert [bool(said) for said in wrong] == [True, True, True, True, False, True]


def test_every_command_is_shown_somewhere():
    shown = {
        words[1] for page in PAGES for words, _ in commands(page.read_text()) if words[0] == "tesserae" and words[1:]
    }
    assert main.commands.keys() <= shown, main.commands.keys() - shown


def test_the_glossary_names_what_exists():
    rows = [line for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 40
    for row in rows:
        for name in INLINE.findall(row.split("|")[3]):
            if "/" in name and "<" not in name:
                below = ROOT / "src/tesserae" / name
                assert below.exists() or any(ROOT.glob(name)), row


def test_the_readme_says_how_many_claims_there_are():
    text = (ROOT / "README.md").read_text()
    papers = re.search(r"^\| \| (.*) \|$", text, re.MULTILINE)[1].split(" | ")
    counts = re.search(r"^\| claims \| (.*) \|$", text, re.MULTILINE)[1].split(" | ")
    project = read_project(ROOT)
    found = {name.partition(" (")[0]: int(count) for name, count in zip(papers, counts, strict=True)}
    assert found == {paper.name: len(project.claims[key]) for key, paper in project.papers.items()}
