"""The lineage page and the tree in the terminal: everything is there, once; links lead somewhere; no name is code."""

import copy
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from rich.console import Console

from tesserae.lineage import code
from tesserae.lineage import manifest as manifests
from tesserae.lineage.trace import node, trace
from tesserae.lineage.work import Work
from tesserae.reporting import table_csv, table_files, tables
from tesserae.reporting.entries import entry_of
from tesserae.reporting.lineage import write_page, write_trace
from tesserae.reporting.links import anchor, lineage_page
from tesserae.reporting.paper_page import About, write_paper
from tesserae.reporting.table_files import fragment_of
from tesserae.reporting.tables import build_table
from tesserae.reporting.tree import render
from tesserae.stages import lineage
from tesserae.words import commit, moment, size
from tests.lineage.results import COLUMNS, NUMBERS, ROWS, SCALE, WEIGHTS, add, fill, seeds
from tests.reporting import synthetic

CELL = "detok_table_1[Joint noise, MAR-B w/ CFG FID]"
SEEDS = "detok_seeds[Joint noise, MAR-B w/ CFG FID]"
LINEAGE = lineage_page("detok")
HOSTILE = "</script><img src=x onerror=alert(1)>[red]&\"'"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(HTMLParser):
    """The elements of a page, its links, and what its script reads."""

    def __init__(self, file: Path):
        super().__init__()
        self.tags, self.links, self.data, self._in_data = [], [], "", False
        self.feed(file.read_text())
        self.data = json.loads(self.data)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.links += [attributes["href"]] if tag == "a" else []
        self._in_data = attributes.get("id") == "data"

    def handle_endtag(self, tag):
        self._in_data = False

    def handle_data(self, data):
        self.data += data if self._in_data else ""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Results with their code store and, made by the stage, the lineage page."""
    root = tmp_path_factory.mktemp("made")
    fill(root)
    top = root / "results" / SCALE
    for name, digest in manifests.read(top / "tokens/detok")["modules"].items():
        file = code.module_file(top, name, digest)
        file.parent.mkdir(parents=True)
        file.write_text("pass")
    published = manifests.read(top / "table/detok_table_1")["sources"][0]
    (top / "code/sources").mkdir()
    code.source_file(top, published["sha256"], ".csv").write_text("published")
    make(root)
    return root


def make(root: Path) -> Path:
    """Run the stage on all that `root` holds, as the runner would."""
    records = manifests.collect(root, SCALE)
    inputs = {name: root / "results" / SCALE / name for name in records if not name.startswith(("lineage", "report"))}
    out = root / "results" / SCALE / "lineage" / ".detok.making-1"
    out.mkdir(parents=True)
    work = Work(
        *("lineage", "detok", {"scale": SCALE}, inputs, {}, out, out, "", (), root, None, "cpu"),
    )
    lineage.run(work)
    folder = out.with_name("detok")
    folder.mkdir(exist_ok=True)
    (out / "lineage.html").rename(folder / "lineage.html")
    out.rmdir()
    return folder / "lineage.html"


@pytest.fixture(scope="module")
def page(made) -> Page:
    return Page(made / "results" / SCALE / LINEAGE)


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    """Results with two seeds of one row, and their page."""
    root = tmp_path_factory.mktemp("several")
    fill(root)
    seeds(root)
    make(root)
    return root


def ids(page: Page) -> list[str]:
    return [f"{artifact['stage']}/{artifact['recipe']}" for artifact in page.data["artifacts"]]


# ---- the page -------------------------------------------------------------------------------------------------------


def test_every_artifact_and_every_cell_is_on_the_page_once_and_linked(made, page):
    records = manifests.collect(made, SCALE)
    assert sorted(ids(page)) == sorted(records)
    cells = {(cell["row"], cell["column"]): cell["measured"] for cell in page.data["cells"]}
    assert cells == {
        (label, column["name"]): NUMBERS["cfg" if "cfg" in column["artifact"].split("-")[1:] else "nocfg"][
            column["value"]
        ]
        for label in ROWS.values()
        for column in COLUMNS
    }
    inside = {unquote(link[1:]) for link in page.links if link.startswith("#") and link != "#"}
    assert inside == {*records, *(f"table/detok_table_1/{row}/{column}" for row, column in cells)}


def test_an_artifact_tells_all_its_facts(made, page):
    data = page.data
    record = manifests.read(made / "results" / SCALE / "tokens/detok")
    told = data["artifacts"][ids(page).index("tokens/detok")]
    assert told["fingerprint"] == record["fingerprint"]
    assert [ids(page)[at] for at in told["in"]] == list(record["inputs"])
    assert told["out"] == [["data.bin", entry["bytes"], entry["sha256"]] for entry in record["outputs"]]
    assert [data["settings"][at] for at in told["spec"]] == [
        ["batch", "75", f"config/scales/{SCALE}.yaml: evaluation.batch"],
        ["name", "detok", ""],
        ["nested.lr", "0.001", "config/papers/detok.yaml: nested"],
    ]
    modules = [data["modules"][at] for at in data["sets"][told["modules"]]]
    assert modules == [[name, digest, 1] for name, digest in sorted(record["modules"].items())]
    assert data["environments"][told["environment"]] == record["environment"]
    assert data["machines"][told["machine"]] == "node1, CPU, 2 cores"
    assert data["commits"][told["commit"]] == [record["git"]["commit"], False]
    assert (told["seed"], told["started"], told["took"]) == (1, "2026-01-05 10:11:12 UTC", "1 min 15 s")
    assert told["mlflow"] == f"detok/{SCALE}"


def test_what_artifacts_share_is_there_once(page):
    assert [len(page.data[name]) for name in ("environments", "machines", "commits", "measures")] == [1] * 4
    assert len(page.data["modules"]) == 1 + len({name.split("/")[0] for name in ids(page)})


def test_all_files_that_the_page_links_to_are_there(made, page):
    folder = (made / "results" / SCALE / LINEAGE).parent
    top = folder / page.data["top"]
    assert top.resolve() == (made / "results" / SCALE).resolve()
    files = [top / artifact["folder"] / out[0] for artifact in page.data["artifacts"] for out in artifact["out"]]
    files += [top / artifact["folder"] / "manifest.json" for artifact in page.data["artifacts"]]
    files += [top / "code" / name / f"{digest}.py" for name, digest, kept in page.data["modules"] if kept]
    kept = [source[3] for artifact in page.data["artifacts"] for source in artifact.get("sources", []) if source[3]]
    files += [top / name for name in kept]
    assert len(files) > 40
    assert len(kept) == 1
    assert [file for file in files if not file.is_file()] == []
    assert sum(module[2] for module in page.data["modules"]) == 2  # those of one artifact are in the store


def test_a_cell_of_several_seeds_has_all_of_them_and_what_was_not_run_says_why(several):
    page = Page(several / "results" / SCALE / LINEAGE)
    cells = {(cell["row"], cell["column"]): cell for cell in page.data["cells"]}
    cell = cells["Joint noise", "Scale"]
    told = [(ids(page)[at], number) for at, number in cell["seeds"]]
    assert told == [("metrics/mar_joint-cfg", 12.5), ("metrics/mar_joint-cfg.seed2", 13.5)]
    assert (cell["measured"], cell["sd"], cell["reason"]) == (13.0, 0.5**0.5, "")
    left_out, cited = (cells[row, COLUMNS[0]["name"]] for row in ("Left out", "ADM"))
    assert (left_out["seeds"], left_out["reason"]) == ([], "omitted at scale pocket: too dear")
    assert (cited["seeds"], cited["reason"][:16]) == ([], "the row is cited")
    inside = {unquote(link[1:]) for link in page.links}
    assert {f"table/detok_seeds/Joint noise/{name}" for name in (COLUMNS[0]["name"], "Scale", "#params")} <= inside
    assert f"table/detok_seeds/Left out/{COLUMNS[0]['name']}" in inside  # which says why it was not run
    assert not [link for link in inside if link.endswith("Left out/Scale") or "/ADM/" in link]
    weights = [artifact["weights"] for artifact in page.data["artifacts"] if "weights" in artifact]
    assert weights == [[WEIGHTS["file"], WEIGHTS["bytes"], WEIGHTS["sha256"], None]]


def test_the_page_is_one_file_that_fetches_nothing(made):
    text = (made / "results" / SCALE / LINEAGE).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\(|<link|\bsrc=|fetch\(|XMLHttp|innerHTML", text)
    assert "prefers-color-scheme: dark" in text


def test_a_hundred_artifacts_take_less_than_a_megabyte(made, tmp_path):
    records = list(manifests.collect(made, SCALE).values())
    nodes = []
    for at in range(100):
        one = copy.deepcopy(records[at % len(records)])
        one["artifact"] += f"_{at}"
        one["spec"] = {f"key{key}": at * key for key in range(40)}
        one["modules"] = {f"tesserae.module{key}": f"{key:016x}" for key in range(30)}
        nodes.append(node(one))
    file = write_page(tmp_path / "lineage.html", nodes, [], scale=SCALE, top=tmp_path)
    assert file.stat().st_size < 300_000


def test_names_are_text_and_never_code(tmp_path):
    nodes = [node(add(tmp_path, "stage/harmless"))]
    record = copy.deepcopy(manifests.read(tmp_path / "results" / SCALE / "stage/harmless"))
    record |= {"artifact": f"stage/{HOSTILE}", "spec": {HOSTILE: HOSTILE}, "metrics": {HOSTILE: 1.0}}
    cell = {"table": f"stage/{HOSTILE}", "source": HOSTILE, "title": HOSTILE, "key": "a", "row": HOSTILE}
    cell |= {"column": HOSTILE, "value": "fid", "artifacts": ["stage/harmless"], "numbers": [1.0], "sd": None}
    cell |= {"published": 1.0, "printed": HOSTILE, "status": "measured", "reason": HOSTILE}
    cell |= {"measured": 1.0, "measure": {HOSTILE: HOSTILE}, "measure_id": HOSTILE, "problems": [HOSTILE]}
    problems = [{"artifact": f"stage/{HOSTILE}", "where": HOSTILE, "what": HOSTILE}]
    nodes.append(node(record))
    top = tmp_path / "results" / SCALE
    file = write_page(tmp_path / "lineage.html", nodes, [cell], scale=SCALE, top=top, problems=problems)
    page = Page(file)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert f"stage/{HOSTILE}" in ids(page)
    assert f"#{anchor(f'stage/{HOSTILE}')}" in page.links
    assert f"#{anchor(f'stage/{HOSTILE}', HOSTILE, HOSTILE)}" in page.links


def test_the_page_of_a_trace_opens_at_its_target_and_shows_what_is_wrong(made, tmp_path):
    root = Path(shutil.copytree(made, tmp_path / "project"))
    (root / "results" / SCALE / "tokenizer/detok/weights.safetensors").write_text("edited")
    (root / "results" / SCALE / "tokens/detok/manifest.json").unlink()
    traced = trace(root, SCALE, CELL, verify=True)
    page = Page(write_trace(tmp_path / "page.html", traced, root))
    assert page.data["start"] == anchor("table/detok_table_1", "Joint noise", "MAR-B w/ CFG FID")
    assert page.data["top"] == f"project/results/{SCALE}"
    assert sorted(ids(page)) == sorted(found["artifact"] for found in traced["nodes"])
    assert page.data["problems"] == traced["problems"]
    by_id = dict(zip(ids(page), page.data["artifacts"]))
    assert by_id["tokenizer/detok"]["out"][0][3] == "changed"
    assert by_id["tokens/detok"]["missing"] == f"there is no results/{SCALE}/tokens/detok/manifest.json"
    assert page.data["verified"]


def test_the_run_of_mlflow_is_on_the_page_of_a_trace(made, tmp_path):
    traced = trace(made, SCALE, "tokens/detok")
    traced["nodes"][0]["mlflow"]["run"] = {"run_id": "abc", "experiment_id": "1", "store": "x"}
    page = Page(write_trace(tmp_path / "page.html", traced, made))
    assert page.data["artifacts"][0]["run"]["run_id"] == "abc"


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (f"#{anchor('table/detok_table_1', 'Joint noise', 'MAR-B w/ CFG FID')}", "cell"),
        ("#table/detok_table_1/joint/MAR-B w/ CFG FID", "cell"),
        ("#tokenizer/detok", "tokenizer"),
        ("#tokenizer/nothing", "unknown"),
    ],
)
def test_a_browser_draws_what_stands_behind_the_place_it_is_sent_to(made, tmp_path, place, expected):
    shown, graph, boxes = browsed(made, tmp_path, place)
    if expected == "unknown":
        assert "There is no tokenizer/nothing on this page." in shown
        assert boxes == set()
    elif expected == "tokenizer":
        assert boxes == {"tokenizer/detok", "dataset/emoji-32"}
        assert "curves.jsonl" in shown
    else:
        assert boxes == {found["artifact"] for found in trace(made, SCALE, CELL)["nodes"]}
        assert ">12.5</text>" in graph
        assert re.search(r'aria-current="true" aria-label="metrics/mar_joint-cfg', graph)
        assert "614e98a9f418df31" in shown


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_a_browser_draws_all_seeds_of_a_cell(several, tmp_path):
    place = anchor("table/detok_seeds", "Joint noise", "MAR-B w/ CFG FID")
    shown, graph, boxes = browsed(several, tmp_path, f"#{place}")
    assert boxes == {found["artifact"] for found in trace(several, SCALE, SEEDS)["nodes"]}
    assert ">13</text>" in graph
    assert graph.count('aria-current="true"') == 2
    assert "13, the mean of 2 seeds (sd 0.7071067811865476)" in shown
    assert "metrics/mar_joint-cfg.seed2</a>, fid 13.5" in shown


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_a_browser_says_why_a_cell_was_not_run(several, tmp_path):
    place = anchor("table/detok_seeds", "Left out", "MAR-B w/ CFG FID")
    shown, graph, boxes = browsed(several, tmp_path, f"#{place}")
    assert boxes == {"table/detok_seeds"}
    assert ">no number</text>" in graph
    assert "not run: omitted at scale pocket: too dear" in shown


def browsed(root: Path, tmp_path: Path, place: str) -> tuple[str, str, set[str]]:
    """What a browser shows of the page at a place: all of it, its graph, and the artifacts that have a box there."""
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking dump-dom"
    flags += f" disable-component-update disable-sync virtual-time-budget=3000 user-data-dir={tmp_path}"
    command = [BROWSER, *(f"--{flag}" for flag in flags.split())]
    done = subprocess.run(
        [*command, f"file://{root}/results/{SCALE}/{LINEAGE}{place}"], capture_output=True, text=True, timeout=120
    )
    shown = done.stdout.partition('id="start"')[2].partition('id="data"')[0].partition('id="unknown"')[2]
    graph = shown.partition('id="graph"')[2].partition('id="notes"')[0]
    return shown, graph, {unquote(link) for link in re.findall(r'<a href="#([^"]+)"', graph)}


# ---- links from tables and the index --------------------------------------------------------------------------------


def linked(tmp_path: Path) -> tables.Table:
    return build_table(
        synthetic.description(),
        synthetic.usual_cells(),
        synthetic.published_frame(tmp_path),
        scale="pocket",
        recipe="detok_table_1",
    )


def hrefs(html: str) -> list[str]:
    return re.findall(r'<a href="([^"]+)"', html)


def test_each_measured_number_of_a_table_leads_to_its_cell_on_the_page(tmp_path):
    table = linked(tmp_path)
    start = "../../lineage/detok/lineage.html#table/detok_table_1"
    assert hrefs(table_files.html_fragment(table)) == [
        f"{start}/{row}/MAR-B%20{column}"
        for row in ("Baseline", "Joint%20noise")
        for column in ("w%2F%20CFG%20FID", "w%2F%20CFG%20IS", "w%2Fo%20CFG%20FID")
    ]
    assert not hrefs(table_files.to_markdown(table) + table_files.to_latex(table) + table_csv.to_csv(table))


def test_a_table_that_the_workflow_does_not_make_has_no_links(tmp_path):
    table = build_table(
        synthetic.description(), synthetic.usual_cells(), synthetic.published_frame(tmp_path), scale="pocket"
    )
    assert hrefs(table_files.html_fragment(table)) == []


def test_links_are_counted_from_the_page_that_shows_the_table(tmp_path):
    html = table_files.to_html(linked(tmp_path))
    assert fragment_of(html, where="x") == table_files.html_fragment(linked(tmp_path))
    assert {link.partition("#")[0] for link in hrefs(fragment_of(html, where="x", folder="table/detok_table_1"))} == {
        LINEAGE
    }


def test_a_papers_page_leads_from_artifacts_to_places_that_the_lineage_page_has(made, page):
    top = made / "results" / SCALE
    records = [manifests.read(top / name) for name in ids(page) if not name.startswith(("table/", "figure/"))]
    start = f"results/{SCALE}/page/detok"
    entries = [entry_of(record, start=start) for record in records]
    about = About("detok", "l-DeTok", "Latent Denoising")
    file = write_paper(top, about, entries, scale=SCALE, base=made / start)
    found = [link for link in hrefs(file.read_text()) if link.startswith(f"../../{LINEAGE}#")]
    assert len(found) == len(records)
    assert set(found) <= {f"../../{LINEAGE}#{anchor(name)}" for name in ids(page)}
    file.unlink()


# ---- the terminal ---------------------------------------------------------------------------------------------------


def printed(traced: dict, **options) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(traced, **options))
    return console.export_text()


def test_the_tree_tells_each_artifact_once_and_fits(made):
    text = printed(trace(made, SCALE, CELL))
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("12.5  Table 1, Joint noise, MAR-B w/ CFG FID at scale pocket (published: 16.70)")
    for found in trace(made, SCALE, CELL)["nodes"]:
        assert text.count(found["fingerprint"]) == 1
        assert all(entry["sha256"][:16] in text for entry in found["outputs"])
    assert text.count("dataset/emoji-32 (above)") == 2
    assert text.index("dataset/emoji-32\n") < text.index("dataset/emoji-32 (above)")
    for expected in (
        "data/emoji/emoji.npz",
        "started 2026-01-05 10:11:12 UTC, took 1 min 15 s, seed 1, commit 0123456",
        "code 2 modules; spec batch=75, name=emoji-32; nested: lr=0.001",
        "0123456789abcdef0123456789abcdef01234567",
        "node1, CPU, 2 cores",
        "numpy 2.4.6, torch 2.14.1",
        "detok/pocket",
        "--verify reads the files again",
    ):
        assert expected in text, expected


def test_the_tree_of_several_seeds_shows_each_and_what_they_share_once(several, monkeypatch):
    monkeypatch.delenv("TESSERAE_WEIGHTS", raising=False)
    text = printed(trace(several, SCALE, SEEDS, verify=True))
    words = " ".join(text.split())
    assert words.startswith("13 (mean of 2 seeds: 12.5, 13.5; sd 0.707107) Table 1, Joint noise, MAR-B w/ CFG FID at")
    for expected in ("metrics/mar_joint-cfg fid 12.5, is 3.25", "metrics/mar_joint-cfg.seed2 fid 13.5, is 3.25"):
        assert expected in words
    data = manifests.read(several / "results" / SCALE / "dataset/emoji-32")["fingerprint"]
    assert text.count(data) == 1
    assert text.count("reference/emoji-32 (above)") == 1
    assert re.search(rf"detok-BB.pth 9 B sha256 {WEIGHTS['sha256'][:16]} published weights", words)
    assert "all as recorded. Published weights that are not on this machine: detok-BB.pth" in words


@pytest.mark.parametrize(
    ("row", "reason"), [("left out", "omitted at scale pocket: too dear"), ("ADM", "the row is ci")]
)
def test_the_tree_says_why_a_cell_was_not_run(several, row, reason):
    text = printed(trace(several, SCALE, f"detok_seeds[{row}, MAR-B w/ CFG FID]"))
    assert text.startswith("no number  Table 1, ")
    assert f"(published: 16.70)\nnot run: {reason}" in text
    assert text.count("fingerprint ") == 1  # of the table


def test_the_tree_can_be_cut(made):
    text = printed(trace(made, SCALE, CELL), depth=2)
    assert "made from reference/emoji-32, samples/mar_joint-cfg (more with a larger --depth)" in text
    assert "tokenizer/detok" not in text


def test_the_tree_of_a_file_starts_with_it(made):
    file = f"results/{SCALE}/tokenizer/detok/curves.jsonl"
    described = manifests.describe(made / file, made)
    lines = printed(trace(made, SCALE, str(made / file))).splitlines()
    assert lines[0] == f"{file}  1 B"
    assert lines[1] == f"sha256 {described['sha256']}"


def test_what_is_true_is_said_to_be(made):
    assert "files of 8 artifacts were read again: all as recorded" in printed(trace(made, SCALE, CELL, verify=True))


def test_lies_and_dirty_trees_stand_out(made, tmp_path):
    root = Path(shutil.copytree(made, tmp_path / "project"))
    (root / "results" / SCALE / "tokenizer/detok/weights.safetensors").write_text("edited")
    (root / "results" / SCALE / "tokens/detok/manifest.json").unlink()
    file = root / "results" / SCALE / "generator/mar_joint/manifest.json"
    record = manifests.read(file.parent)
    manifests.write(file, record | {"git": {"commit": record["git"]["commit"], "dirty": True}})
    text = re.sub(r"[\s│]+", " ", printed(trace(root, SCALE, CELL, verify=True)))
    assert "✗ 2 problems upstream" in text
    assert text.count("✗ weights.safetensors: was edited after it was made") == 1
    assert text.count("✗ tokenizer/detok: weights.safetensors: was edited") == 1
    assert re.search(r"weights\.safetensors 1 B sha256 \w{16} CHANGED", text)
    assert "tokens/detok no manifest" in text
    assert text.count("commit 0123456 with uncommitted changes") == 1
    assert "with uncommitted changes: the code store has what ran" in text


def test_machines_and_environments_that_differ_are_numbered(made, tmp_path):
    root = Path(shutil.copytree(made, tmp_path / "project"))
    file = root / "results" / SCALE / "generator/mar_joint/manifest.json"
    record = manifests.read(file.parent)
    manifests.write(file, record | {"hardware": {**record["hardware"], "gpu": "H100", "scheduler_job": "17"}})
    text = printed(trace(root, SCALE, CELL))
    assert "machine 1" in text
    assert re.search(r"machine 2 +node1, CPU, 2 cores, H100, job 17", text)
    assert text.count(", machine 2") == 1


def test_names_are_no_markup_in_the_terminal(tmp_path):
    traced = trace(tmp_path, SCALE, add(tmp_path, "stage/harmless")["artifact"])
    traced["nodes"][0] |= {"artifact": "stage/[red]x[/red]\x1b[31m", "spec": {"[bold]": "[/]"}}
    traced["target"]["artifact"] = traced["nodes"][0]["artifact"]
    text = printed(traced)
    assert "[red]x[/red]" in text
    assert "[bold]=[/]" in text
    assert "\x1b" not in text


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9994, "9.99 kB"),
        (9996, "10.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_501, "1.00 MB"),
        (4_235_012, "4.24 MB"),
        (150e9, "150 GB"),
        (7.25e15, "7250 TB"),
    ],
)
def test_sizes(count, text):
    assert size(int(count)) == text


def test_moments_and_commits():
    assert moment("2026-01-05T10:11:12.345+00:00") == "2026-01-05 10:11:12 UTC"
    assert moment(None) == ""
    assert commit({"commit": "0123456789", "dirty": True}) == "0123456 with uncommitted changes"
    assert commit({"commit": "0123456789", "dirty": False}) == "0123456"
    assert commit({"commit": None, "dirty": None}) == commit(None) == "no commit"


def test_anchors_keep_slashes_of_names_apart_from_those_between_them():
    assert anchor("metrics/mar_b-cfg") == "metrics/mar_b-cfg"
    assert anchor("table/t", "a/b", "w/ FID") == "table/t/a%2Fb/w%2F%20FID"
    assert anchor("stage/odd/name") == "stage/odd%2Fname"
