"""From words to a target, and from a target to everything behind it: nothing twice, nothing left out, lies found."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.lineage import manifest as manifests
from tesserae.lineage.targets import TraceError, resolve
from tesserae.lineage.trace import FACTS, trace
from tests.lineage.results import COLUMNS, COMMIT, SCALE, WEIGHTS, add, fill, seeds, table

NEVER_RUN = [{"row": "none", "column": column["name"], "reason": "never run"} for column in COLUMNS[1:]]
SEEDS = "detok_seeds[Joint noise, MAR-B w/ CFG FID]"
CELL = "detok_table_1[Joint noise, MAR-B w/ CFG FID]"
BEHIND_CELL = {
    "table/detok_table_1",
    "metrics/mar_joint-cfg",
    "samples/mar_joint-cfg",
    "generator/mar_joint",
    "tokens/detok",
    "tokenizer/detok",
    "reference/emoji-32",
    "dataset/emoji-32",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Results that no test changes."""
    root = tmp_path_factory.mktemp("made")
    fill(root)
    one = {**COLUMNS[0], "rows": ["joint"]}
    table(root, "detok_table_2", {"joint": "Joint noise", "none": "Never run"}, [one, *COLUMNS[1:]], missing=NEVER_RUN)
    seeds(root)
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    """A copy of them, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "project"))


def place(root: Path, name: str) -> Path:
    return root / "results" / SCALE / name


def edit(root: Path, artifact: str, change) -> None:
    """Change an artifact's manifest by hand."""
    record = manifests.read(place(root, artifact))
    change(record)
    manifests.write(place(root, artifact) / manifests.NAME, record)


def found(root: Path, target: str, verify: bool = False) -> list[tuple[str, str, str]]:
    """Problems of a trace."""
    problems = trace(root, SCALE, target, verify)["problems"]
    return [(problem["artifact"], problem["where"], problem["what"]) for problem in problems]


def only(problems: list[tuple[str, str, str]], artifact: str, where: str, what: str) -> bool:
    ((first, second, third),) = problems
    return first == artifact and second.endswith(where) and what in third


# ---- targets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "artifact", "file"),
    [
        ("metrics/mar_joint-cfg", "metrics/mar_joint-cfg", None),
        (" metrics/mar_joint-cfg ", "metrics/mar_joint-cfg", None),
        ("mar_joint", "generator/mar_joint", None),
        ("detok_table_1", "table/detok_table_1", None),
        ("detok_figure_4", "figure/detok_figure_4", None),
        (f"results/{SCALE}/tokenizer/detok/curves.jsonl", "tokenizer/detok", "curves.jsonl"),
        (f"./results/{SCALE}/tokenizer/detok/curves.jsonl", "tokenizer/detok", "curves.jsonl"),
        (f"results/{SCALE}/../{SCALE}/tokenizer/detok/curves.jsonl", "tokenizer/detok", "curves.jsonl"),
        ("tokenizer/detok/curves.jsonl", "tokenizer/detok", "curves.jsonl"),
        (f"results/{SCALE}/tokenizer/detok/manifest.json", "tokenizer/detok", None),
        (f"results/{SCALE}/tokenizer/detok/", "tokenizer/detok", None),
    ],
)
def test_an_artifact_or_file_is_found(made, monkeypatch, asked, artifact, file):
    monkeypatch.chdir(made)
    target = resolve(made, SCALE, asked)
    assert (target.artifact, target.cell, target.scale) == (artifact, None, SCALE)
    assert target.file == (file and f"results/{SCALE}/{artifact}/{file}")


def test_a_file_is_found_from_wherever_one_stands(made, monkeypatch):
    monkeypatch.chdir(place(made, "tokenizer"))
    for asked in ("detok/curves.jsonl", "./detok/curves.jsonl", str(place(made, "tokenizer/detok/curves.jsonl"))):
        assert resolve(made, SCALE, asked).file == f"results/{SCALE}/tokenizer/detok/curves.jsonl"
    monkeypatch.chdir("/")
    assert resolve(made, SCALE, f"results/{SCALE}/tokenizer/detok/curves.jsonl").artifact == "tokenizer/detok"


def test_a_file_that_was_deleted_still_has_an_artifact(root):
    place(root, "tokenizer/detok/curves.jsonl").unlink()
    assert resolve(root, SCALE, f"results/{SCALE}/tokenizer/detok/curves.jsonl").artifact == "tokenizer/detok"


def test_a_file_leads_to_its_own_scale(root):
    fill(root, "smoke")
    traced = trace(root, SCALE, str(root / "results/smoke/tokenizer/detok/curves.jsonl"))
    assert traced["scale"] == "smoke"
    assert {path.split("/")[1] for node in traced["nodes"] for path in [node["outputs"][0]["path"]]} == {"smoke"}


def test_the_report_lies_at_the_top(root):
    add(root, "report/index", ["table/detok_table_1"], {"index.html": "page"})
    for asked in ("report/index", "index", f"results/{SCALE}/index.html", f"results/{SCALE}/manifest.json"):
        assert resolve(root, SCALE, asked).artifact == "report/index"


@pytest.mark.parametrize(
    "asked",
    [
        CELL,
        "detok_table_1[ joint  NOISE ,mar-b w/ cfg fid]",
        "table/detok_table_1[joint, MAR-B w/ CFG FID]",
        "detok_table_1[joint, w/ fid]",
        "detok_TABLE_1[joint, mar w/ cfg fid]",
        "table_1[jo no, mar-b w/ cfg fid]",
        f"results/{SCALE}/table/detok_table_1/table.csv[joint, mar-b w/ cfg fid]",
    ],
)
def test_a_cell_is_found(made, monkeypatch, asked):
    monkeypatch.chdir(made)
    target = resolve(made, SCALE, asked)
    assert target.artifact == "table/detok_table_1"
    cell = target.cell
    assert (cell.key, cell.row, cell.column) == ("joint", "Joint noise", "MAR-B w/ CFG FID")
    assert (cell.artifacts, cell.value) == (("metrics/mar_joint-cfg",), "fid")
    assert (cell.measured, cell.numbers, cell.produced, cell.sd) == (12.5, (12.5,), 12.5, None)
    assert (cell.published, cell.printed, cell.measure["extractor"]) == (16.7, "16.70", "embedded")


def test_labels_may_hold_commas_and_the_table_may_be_left_out(made):
    assert resolve(made, SCALE, "[Latent, odd noise, MAR-B w/ CFG IS]").cell.key == "odd"
    assert resolve(made, SCALE, "[latent, mar-b w/ cfg is]").cell.row == "Latent, odd noise"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("metrics/mar_jiont-cfg", r"no 'metrics/mar_jiont-cfg' at scale pocket; nearest: .*metrics/mar_joint-cfg"),
        ("mar_jont", r"nearest: generator/mar_joint"),
        ("xyzzy", r"nor a name like it \(dataset, figure, .*a target is an artifact \(<stage>/<recipe>\)"),
        ("", "there is no ''"),
        ("mar_joint-cfg", "several artifacts at scale pocket: metrics/mar_joint-cfg, samples/mar_joint-cfg; name one"),
        ("detok_table_1[joint]", r"a cell is a row and a column: \[<row>, <column>\]"),
        ("detok_table_1[jiont, MAR-B w/ CFG FID]", "no cell .* has rows Baseline; Joint noise; Latent, odd noise and"),
        ("detok_table_1[joint, MAR-B KID]", "columns MAR-B w/ CFG FID; MAR-B w/ CFG IS; MAR-B w/o CFG FID"),
        ("detok_table_1[noise, MAR-B w/ CFG IS]", r"several cells: detok_table_1\[Joint .*detok_table_1\[Latent, odd"),
        ("detok_table_1[joint, fid]", r"\[Joint noise, MAR-B w/ CFG FID\], detok_table_1\[Joint noise, MAR-B w/o CFG"),
        ("[Joint noise, MAR-B w/ CFG IS]", r"several cells: detok_table_1\[.*detok_table_2\["),
        ("detok_table[joint, MAR-B w/ CFG FID]", "'detok_table' is several tables .*: detok_table_1, detok_table_2;"),
        ("comit[joint, fid]", "no table 'comit' at scale pocket: detok_seeds, detok_table_1, detok_table_2"),
        ("detok_table_2[never run, MAR-B w/ CFG FID]", "the cell is blank: the row has no such number"),
        ("tokenizer/detok/curves.jsonl[joint, fid]", "belongs to tokenizer/detok, which has no cells"),
        (
            "results/pocket/tokenizer/detok/stage.log",
            "not an output of tokenizer/detok, which made weights.safetensors, cur",
        ),
        ("results/pocket/tokenizer/detik/curves.jsonl", "no artifact that has a manifest; nearest: tokenizer/detok"),
        ("results/smoke/tokenizer/detok/curves.jsonl", r"no manifests in .*smoke; there are results of scale pocket"),
        ("results/pocket", "is nothing below .*/results/<scale>; a target is"),
        ("/etc/hostname", "/etc/hostname is nothing below"),
        ("../elsewhere.csv", "is nothing below"),
    ],
)
def test_what_cannot_be_found_is_an_error_that_helps(made, monkeypatch, asked, message):
    monkeypatch.chdir(made)
    with pytest.raises(TraceError, match=message):
        resolve(made, SCALE, asked)


def test_nothing_made_is_an_error_that_says_how_to_make_it(tmp_path):
    with pytest.raises(TraceError, match="there are no results at all; `tesserae --scale desk reproduce` makes them"):
        resolve(tmp_path, "desk", "tokenizer/detok")


def test_a_manifest_that_describes_no_table_is_an_error(root):
    edit(root, "table/detok_table_1", lambda record: record["spec"].pop("rows"))
    with pytest.raises(TraceError, match="manifest of table/detok_table_1 does not describe a table"):
        resolve(root, SCALE, CELL)


# ---- the walk -------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(data=st.data(), count=st.integers(1, 9), seed=st.integers(0, 2**16))
def test_everything_upstream_appears_once_and_before_what_it_was_made_from(data, count, seed):
    inputs = {f"s{i % 3}/r{i}": [f"s{j % 3}/r{j}" for j in range(i) if data.draw(st.booleans())] for i in range(count)}
    target = data.draw(st.sampled_from(sorted(inputs)))
    with tempfile.TemporaryDirectory() as folder:
        for name, producers in inputs.items():
            random.Random(seed).shuffle(producers)
            add(Path(folder), name, producers)
        traced = trace(Path(folder), SCALE, target, verify=True)
    behind, todo = set(), [target]
    while todo:
        name = todo.pop()
        behind.add(name)
        todo += inputs[name]
    names = [node["artifact"] for node in traced["nodes"]]
    assert sorted(names) == sorted(behind)
    assert names[0] == target
    assert sorted(traced["edges"]) == sorted([producer, name] for name in behind for producer in inputs[name])
    assert all(names.index(consumer) < names.index(producer) for producer, consumer in traced["edges"])
    assert traced["problems"] == []


def test_a_cell_leads_through_its_table_to_what_measured_it_and_nothing_else(made):
    traced = trace(made, SCALE, CELL)
    assert {node["artifact"] for node in traced["nodes"]} == BEHIND_CELL
    assert [edge for edge in traced["edges"] if edge[1].startswith("table/")] == [
        ["metrics/mar_joint-cfg", "table/detok_table_1"]
    ]
    cell = traced["target"]["cell"]
    assert (cell["row"], cell["column"], cell["published"], cell["measured"]) == (
        *("Joint noise", "MAR-B w/ CFG FID"),
        *(16.7, 12.5),
    )
    assert cell["measure"] == {
        "kind": "images",
        "extractor": "embedded",
        "samples": 500,
        "guidance": 1.5,
        "sampler": {"steps": 8},
    }
    assert (traced["verified"], traced["problems"]) == (False, [])


def test_a_cell_of_several_seeds_leads_to_all_of_them_and_to_what_they_share_once(made):
    traced = trace(made, SCALE, SEEDS, verify=True)
    names = [node["artifact"] for node in traced["nodes"]]
    second = {
        "metrics/mar_joint-cfg",
        "samples/mar_joint-cfg",
        "generator/mar_joint",
        "tokens/detok",
        "tokenizer/detok",
    }
    behind = BEHIND_CELL - {"table/detok_table_1"} | {f"{name}.seed2" for name in second} | {"table/detok_seeds"}
    assert sorted(names) == sorted(behind)
    assert [edge[0] for edge in traced["edges"] if edge[1].startswith("table/")] == [
        *("metrics/mar_joint-cfg", "metrics/mar_joint-cfg.seed2"),
    ]
    cell = traced["target"]["cell"]
    assert (cell["artifacts"], cell["numbers"]) == (
        ["metrics/mar_joint-cfg", "metrics/mar_joint-cfg.seed2"],
        [12.5, 13.5],
    )
    assert (cell["measured"], cell["produced"], cell["sd"]) == (13.0, 13.0, 0.5**0.5)
    assert cell["measure"] == {
        "kind": "images",
        "extractor": "embedded",
        "samples": 500,
        "guidance": [1.5, 2.0],
        "sampler": {"steps": 8},
    }
    assert traced["problems"] == []


@pytest.mark.parametrize(
    ("column", "artifacts", "number"),
    [
        ("Scale", ("metrics/mar_joint-cfg", "metrics/mar_joint-cfg.seed2"), 13.0),  # another name of the number
        ("#params", ("sizes/joint",), 7.0),  # another artifact, which no seed changes
    ],
)
def test_a_cell_may_be_an_exception_of_its_column(made, column, artifacts, number):
    cell = resolve(made, SCALE, f"detok_seeds[joint, {column}]").cell
    assert (cell.artifacts, cell.measured, cell.produced) == (artifacts, number, number)
    assert cell.problems == ()


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("left out, MAR-B w/ CFG FID", "omitted at scale pocket: too dear"),
        ("ADM, MAR-B w/ CFG FID", "the row is cited"),
    ],
)
def test_a_cell_that_was_not_run_says_why_and_what_was_printed(made, cell, reason):
    traced = trace(made, SCALE, f"detok_seeds[{cell}]", verify=True)
    assert reason in traced["target"]["cell"]["reason"]
    assert (traced["target"]["cell"]["printed"], traced["target"]["cell"]["measured"]) == ("16.70", None)
    assert [node["artifact"] for node in traced["nodes"]] == ["table/detok_seeds"]
    assert traced["problems"] == []


def test_published_weights_are_told_and_verified_where_they_are(made, tmp_path, monkeypatch):
    def taken() -> tuple[dict, list]:
        traced = trace(made, SCALE, SEEDS, verify=True)
        return next(node["weights"] for node in traced["nodes"] if node["weights"]), traced["problems"]

    monkeypatch.delenv("TESSERAE_WEIGHTS", raising=False)
    told = [node["weights"] for node in trace(made, SCALE, SEEDS)["nodes"] if node["weights"]]
    assert told == [{**WEIGHTS, "found": None}]
    assert taken() == ({**WEIGHTS, "found": "not here"}, [])
    monkeypatch.setenv("TESSERAE_WEIGHTS", str(tmp_path))
    assert taken()[0]["found"] == "not here"
    (tmp_path / WEIGHTS["file"]).write_bytes(b"published")
    assert taken() == ({**WEIGHTS, "found": "same"}, [])
    (tmp_path / WEIGHTS["file"]).write_bytes(b"published anew")
    weights, problems = taken()
    assert weights["found"] == "changed"
    assert [(problem["artifact"], problem["where"]) for problem in problems] == [
        ("tokenizer/detok.seed2", WEIGHTS["file"])
    ]


def test_a_node_tells_all_that_its_manifest_tells(made):
    node = next(node for node in trace(made, SCALE, CELL)["nodes"] if node["artifact"] == "dataset/emoji-32")
    record = manifests.read(place(made, "dataset/emoji-32"))
    for name in FACTS:
        if name not in ("inputs", "outputs", "sources", "weights", "mlflow"):
            assert node[name] == record.get(name), name
    assert node["git"] == {"commit": COMMIT, "dirty": False}
    assert node["outputs"] == [{**record["outputs"][0], "found": None}]
    assert node["sources"] == [{**record["sources"][0], "found": None}]
    assert node["mlflow"] == {**record["mlflow"], "run": None}


def test_a_trace_survives_json(made):
    for verify in (False, True):
        traced = trace(made, SCALE, CELL, verify)
        assert json.loads(json.dumps(traced, allow_nan=False)) == traced


def test_a_file_is_shown_with_its_hash(made):
    traced = trace(made, SCALE, f"{place(made, 'tokenizer/detok/curves.jsonl')}")
    assert traced["target"]["file"] == manifests.describe(place(made, "tokenizer/detok/curves.jsonl"), made) | {
        "found": None
    }


def test_the_run_of_mlflow_is_told_where_it_is_known_and_not_needed(root):
    chained = manifests.read(place(root, "tokens/detok"))["fingerprint"]
    known = {"store": "sqlite:///mlflow.db", "runs": {chained: {"run_id": "abc", "experiment_id": "1"}}}
    file = root / ".tesserae" / f"mlflow-{SCALE}.json"
    file.parent.mkdir()

    def runs():
        nodes = trace(root, SCALE, "tokens/detok")["nodes"]
        return {node["artifact"]: node["mlflow"]["run"] for node in nodes if node["mlflow"]["run"]}

    for spoilt in ("", "[]", '{"runs": {}}', '{"store": "x", "runs": [1]}'):
        file.write_text(spoilt)
        assert runs() == {}
    file.write_text(json.dumps(known))
    assert runs() == {"tokens/detok": {"store": "sqlite:///mlflow.db", "run_id": "abc", "experiment_id": "1"}}


# ---- what is missing or false ---------------------------------------------------------------------------------------


def test_true_results_pass(made):
    traced = trace(made, SCALE, CELL, verify=True)
    assert traced["problems"] == []
    files = [entry for node in traced["nodes"] for kind in ("outputs", "sources") for entry in node[kind]]
    files += [entry for node in traced["nodes"] for made_of in node["inputs"].values() for entry in made_of["files"]]
    assert len(files) > 20
    assert {entry["found"] for entry in files} == {"same"}


@pytest.mark.parametrize("file", ["tokenizer/detok/weights.safetensors", "dataset/emoji-32/data.bin"])
def test_an_edited_file_is_reported_once_and_only_when_files_are_read(root, file):
    place(root, file).write_text("edited")
    assert found(root, CELL) == []
    artifact = file.rpartition("/")[0]
    assert only(found(root, CELL, verify=True), artifact, file, "was edited after it was made: ")
    nodes = {node["artifact"]: node for node in trace(root, SCALE, CELL, verify=True)["nodes"]}
    assert {entry["path"]: entry["found"] for entry in nodes[artifact]["outputs"]}[
        f"results/{SCALE}/{file}"
    ] == "changed"
    assert nodes["tokens/detok"]["inputs"][artifact]["files"][0]["found"] == "changed"


def test_a_deleted_file_is_reported(root):
    place(root, "tokens/detok/data.bin").unlink()
    assert only(found(root, CELL, verify=True), "tokens/detok", "data.bin", "is not there any more")


def test_a_source_that_changed_since_is_reported(root):
    (root / "data/emoji/emoji.npz").write_text("other pictures")
    assert only(found(root, CELL, verify=True), "dataset/emoji-32", "emoji.npz", "changed since: ")


def test_a_number_edited_in_the_table_is_reported_at_once(root):
    file = place(root, "table/detok_table_1/table.csv")
    file.write_text(file.read_text().replace("12.5", "2.5"))
    assert only(
        found(root, CELL), "table/detok_table_1", "Joint noise, MAR-B w/ CFG FID", "says measured 2.5, but results/pock"
    )
    problems = found(root, CELL, verify=True)
    assert [where for _, where, _ in problems] == [f"results/{SCALE}/table/detok_table_1/table.csv", problems[1][1]]
    assert trace(root, SCALE, CELL)["target"]["cell"]["measured"] == 2.5


def test_a_mean_or_a_scatter_that_its_seeds_do_not_give_is_reported_at_once(root):
    file = place(root, "table/detok_seeds/table.csv")
    text = file.read_text()
    for old, new, what in (
        ("13.0", "12.9", "measured 12.9, but 2 seeds give 13.0"),
        (repr(0.5**0.5), "0.5", "sd 0.5,"),
    ):
        file.write_text(text.replace(old, new))
        assert what in found(root, SEEDS)[0][2]


@pytest.mark.parametrize("seed", ["", ".seed2"])
def test_a_number_edited_for_one_seed_is_reported_at_once(root, seed):
    file = place(root, f"metrics/mar_joint-cfg{seed}/metrics.json")
    file.write_text(file.read_text().replace('"fid": 1', '"fid": 2'))
    problems = found(root, SEEDS)
    assert [artifact for artifact, _, _ in problems] == ["table/detok_seeds", f"metrics/mar_joint-cfg{seed}"]
    assert "measured 13.0, but 2 seeds give 18.0" in problems[0][2]


def test_seeds_that_were_measured_in_two_ways_are_reported(root):
    file = place(root, "metrics/mar_joint-cfg.seed2/metrics.json")
    file.write_text(file.read_text().replace('"samples": 500', '"samples": 50'))
    assert only(found(root, SEEDS), "table/detok_seeds", "FID", "measured with several samples: [500, 50]")


def test_a_number_edited_in_table_and_metrics_alike_is_reported_at_once(root):
    for name in ("table/detok_table_1/table.csv", "metrics/mar_joint-cfg/metrics.json"):
        place(root, name).write_text(place(root, name).read_text().replace("12.5", "2.5"))
    what = "fid is 12.5 in the manifest, but 2.5 in metrics.json"
    assert only(found(root, CELL), "metrics/mar_joint-cfg", "manifest.json", what)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda file: file.unlink(), "table.csv is not there"),
        (lambda file: file.write_text("a,b\n1,2\n"), "table.csv is not what the table stage writes"),
        (lambda file: file.write_text(file.read_text().replace("Joint noise", "Jiont noise")), "has no line for it"),
        (lambda file: file.write_text(file.read_text().replace("12.5", "nan")), "says measured None, but"),
    ],
)
def test_a_cell_of_a_spoilt_table_says_so(root, spoil, what):
    spoil(place(root, "table/detok_table_1/table.csv"))
    traced = trace(root, SCALE, CELL)
    assert what in traced["target"]["cell"]["problems"][0]
    assert len(traced["problems"]) == 1
    assert traced["target"]["cell"]["measured"] is None


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_text("{}")])
def test_a_cell_of_spoilt_metrics_says_so(root, spoil):
    spoil(place(root, "metrics/mar_joint-cfg/metrics.json"))
    assert only(found(root, CELL), "table/detok_table_1", "Joint noise, MAR-B w/ CFG FID", "metrics.json is not")


def test_a_producer_that_was_made_again_is_reported_at_once(root):
    add(root, "tokens/detok", ["dataset/emoji-32", "tokenizer/detok"], spec={"batch": 1})
    problems = found(root, CELL)
    assert [(artifact, where) for artifact, where, _ in problems] == [
        ("generator/mar_joint", "tokens/detok"),
        ("samples/mar_joint-cfg", "tokens/detok"),
    ]
    assert all("was made from another version of tokens/detok" in what for _, _, what in problems)


def test_weights_swapped_together_with_their_hash_are_reported_at_once(root):
    file = place(root, "tokenizer/detok/weights.safetensors")
    file.write_text("swapped")
    edit(root, "tokenizer/detok", lambda record: record["outputs"].__setitem__(0, manifests.describe(file, root)))
    problems = found(root, CELL)
    assert {artifact for artifact, _, _ in problems} == {"tokens/detok", "samples/mar_joint-cfg"}
    assert all("but tokenizer/detok says that it wrote" in what for _, _, what in problems)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["spec"].update(batch=76),
        lambda record: record["modules"].update(tesserae="f" * 16),
        lambda record: record["equivalents"].update(tesserae="absent"),
        lambda record: record.update(engine=99),
    ],
)
def test_an_edited_manifest_is_reported(root, change):
    edit(root, "generator/mar_joint", change)
    assert found(root, CELL) == []
    what = "the fingerprint does not follow from code, spec, sources and inputs"
    assert only(found(root, CELL, verify=True), "generator/mar_joint", "manifest.json", what)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda file: file.unlink(), "there is no results/pocket/tokens/detok/manifest.json"),
        (lambda file: shutil.rmtree(file.parent), "there is no results/pocket/tokens/detok/manifest.json"),
        (lambda file: file.write_text('{"artifact": '), "cannot be read"),
        (lambda file: file.write_text("[]"), "does not say manifest, artifact"),
        (lambda file: file.write_text(file.read_text().replace('"modules"', '"moduls"')), "does not say modules"),
        (lambda file: shutil.copy(file.parents[2] / "tokenizer/detok/manifest.json", file), "is the manifest of tok"),
    ],
)
def test_a_producer_without_manifest_is_shown_as_such(root, spoil, why):
    recorded = manifests.read(place(root, "generator/mar_joint"))["inputs"]["tokens/detok"]
    spoil(place(root, "tokens/detok/manifest.json"))
    traced = trace(root, SCALE, CELL)
    node = next(node for node in traced["nodes"] if node["artifact"] == "tokens/detok")
    assert why in node["missing"]
    assert why in traced["problems"][0]["what"]
    assert node["fingerprint"] == recorded["fingerprint"]
    assert [entry["sha256"] for entry in node["outputs"]] == [entry["sha256"] for entry in recorded["files"]]
    assert {node["artifact"] for node in traced["nodes"]} == BEHIND_CELL  # the rest is reached through others


def test_of_a_producer_without_manifest_all_files_that_were_read_are_told(root):
    def only_curves(record):
        files = record["inputs"]["tokenizer/detok"]["files"]
        record["inputs"]["tokenizer/detok"]["files"] = [file for file in files if file["path"].endswith("curves.jsonl")]

    edit(root, "tokens/detok", only_curves)
    manifest = place(root, "tokenizer/detok/manifest.json")
    outputs = manifests.read(manifest.parent)["outputs"]
    manifest.unlink()
    traced = trace(root, SCALE, CELL)
    node = next(node for node in traced["nodes"] if node["artifact"] == "tokenizer/detok")
    assert sorted(entry["path"] for entry in node["outputs"]) == sorted(entry["path"] for entry in outputs)
    edit(root, "tokens/detok", lambda record: record["inputs"]["tokenizer/detok"].update(fingerprint="x"))
    problems = found(root, CELL)
    assert any("another version of tokenizer/detok" in what and "than others were" in what for _, _, what in problems)


def test_a_consumer_may_read_manifests(root):
    """As the lineage page does: they are among its inputs, but they are nobody's outputs."""
    add(root, "lineage/index", ["tokens/detok"], {"lineage.html": "page"})
    manifest = place(root, "tokens/detok/manifest.json")
    described = manifests.describe(manifest, root)
    edit(root, "lineage/index", lambda record: record["inputs"]["tokens/detok"]["files"].append(described))
    assert found(root, "lineage/index", verify=True) == []
    manifest.write_text(manifest.read_text() + "\n")
    assert only(found(root, "lineage/index", verify=True), "lineage/index", "manifest.json", "is not what was read")


def test_a_target_without_manifest_is_an_error(root):
    place(root, "tokens/detok/manifest.json").write_text("{")
    with pytest.raises(TraceError, match=r"manifest.json cannot be read .* reproduce` makes it again"):
        trace(root, SCALE, "tokens/detok")


def test_manifests_that_go_in_circles_end(root):
    edit(root, "dataset/emoji-32", lambda record: record["inputs"].update(
        {"tokens/detok": {"fingerprint": "x", "files": []}}
    ))  # fmt: skip
    traced = trace(root, SCALE, CELL)
    assert {node["artifact"] for node in traced["nodes"]} == BEHIND_CELL
    assert {problem["artifact"] for problem in traced["problems"]} == {"dataset/emoji-32"}


def test_needs_neither_torch_nor_rich():
    code = (
        "import sys, tesserae.lineage.trace, tesserae.reporting.tree, tesserae.stages.lineage; "
        "sys.exit(', '.join({'torch', 'rich', 'pandas', 'mlflow', 'jinja2'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
