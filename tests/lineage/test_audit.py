"""No kind of tampering passes: each is found under its own word, at the right artifact and file; nothing else is."""

import io
import json
import os
import shutil
import subprocess
import tokenize
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from tesserae.audit.evidence import AuditError
from tesserae.audit.findings import KINDS, UNSEEN, Report, render
from tesserae.config.types import Equivalent
from tesserae.lineage import fingerprint
from tesserae.reporting.table_files import fragment_of
from tests.lineage.audited import CONTROLS, CORPUS, FID, MODULE, PUBLISHED, SCALE, TOP, WEIGHTS, Results, build, sign

TABLE = "table/paper_table_1"
CLAIMS = "claims/paper"
PAGES = ("notebook/paper", "report/index")  # what shows the table
SHOWN = (TABLE, CLAIMS, "figure/paper_samples", *PAGES)  # what is made from numbers


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Results:
    return build(tmp_path_factory.mktemp("pristine"))


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory) -> Path:
    """The published weights that one tokenizer took, on this machine."""
    file = tmp_path_factory.mktemp("weights") / WEIGHTS["file"]
    file.write_bytes(b"published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TESSERAE_WEIGHTS", str(file.parent))
        yield file


@pytest.fixture
def results(pristine, tmp_path) -> Results:
    return pristine.copy(tmp_path)


def found(report: Report) -> set[tuple[str, str, str]]:
    """Findings as `at` names them."""
    return {(it.kind, it.artifact, _short(it.path)) for it in report.findings}


def at(kind: str, artifact: str, path: str | None = None) -> tuple[str, str, str]:
    """A kind of finding at an artifact: about its manifest, or about a file below the scale's results (or the project).

    Of files in the code store only the folder is named: their names are hashes.
    """
    return kind, artifact, path or ("manifest.json" if artifact.startswith("report/") else f"{artifact}/manifest.json")


# Of the table and of the claims: wherever numbers stand for programs; and wherever the table's stand for readers. Two
# seeds give no verdict, so that a manifest of claims, which counts them, stays what it was.
NUMBERS = [at("number", TABLE, f"{TABLE}/{name}") for name in ("table.csv", "metrics.json", "manifest.json")]
JUDGED = [at("number", CLAIMS, f"{CLAIMS}/metrics.json")]
RENDERED = [at("table", TABLE, f"{TABLE}/table.{suffix}") for suffix in ("md", "tex", "html")]


def _short(path: str) -> str:
    path = path.removeprefix(f"{TOP}/")
    return path.rsplit("/", 1)[0] if path.startswith("code/") else path


def stored(results: Results, module: str) -> Path:
    """The copy of a module in the code store."""
    return next((results.root / TOP / "code" / module).iterdir())


def test_results_that_nobody_touched_are_clean(results):
    report = results.audit()
    assert report.clean and report.findings == ()
    assert [note.kind for note in report.notes] == ["anchor"]
    assert report.artifacts == 25
    files = [file for file in (results.root / TOP).rglob("*") if file.is_file() and file.suffix != ".log"]
    files += [results.root / CORPUS, results.root / PUBLISHED]
    assert (report.files, report.bytes) == (len(files), sum(map(os.path.getsize, files)))


def test_a_scale_without_results_is_no_clean_scale(results):
    shutil.rmtree(results.root / TOP)
    with pytest.raises(AuditError, match="nothing to audit"):
        results.audit()


# ---- one case per kind of tampering -----------------------------------------------------------------------------
# Each changes something in good results and says exactly what must be found: (kind, artifact, file).

CASES = []


def case(*expected: tuple[str, str, str]):
    def register(tamper):
        CASES.append(pytest.param(tamper, set(expected), id=tamper.__name__))
        return tamper

    return register


# manifests that cannot be used


@case(at("manifest", "tokenizer/a"))
def manifest_cut_short(results):
    file = results.manifest("tokenizer/a")
    file.write_text(file.read_text()[:500])


@case(at("manifest", "tokenizer/a"))
def manifest_of_another_version(results):
    results.change("tokenizer/a", lambda record: record.update(manifest=1))


@case(at("manifest", "tokenizer/a"))
def manifest_that_is_a_list(results):
    (results.manifest("tokenizer/a")).write_text("[]\n")


@case(at("manifest", "tokenizer/a"))
def manifest_laid_out_by_hand(results):
    file = results.manifest("tokenizer/a")
    file.write_text(json.dumps(json.loads(file.read_text())))


@case(at("manifest", "tokenizer/a"))
def manifest_with_a_number_that_is_none(results):
    results.change("tokenizer/a", lambda record: record["metrics"].update(mse=float("nan")))


@case(at("manifest", "tokenizer/a"))
def manifest_that_names_a_file_twice(results):
    results.change("tokenizer/a", lambda record: record["outputs"].append(record["outputs"][0]))


@case(at("manifest", "report/index"), at("unrecorded", "", "index.html"), at("missing", "report/index", "other.html"))
def manifest_that_leaves_out_a_file(results):
    results.change("report/index", lambda record: record["outputs"][0].update(path=f"{TOP}/other.html"))


# manifests in the wrong place


@case(
    at("place", "tokenizer/a"),
    at("place", "tokenizer/b"),
    at("input-changed", "samples/a", "tokenizer/a/weights.safetensors"),
    at("input-changed", "samples/b", "tokenizer/b/weights.safetensors"),
)
def two_tokenizers_swapped_with_their_manifests(results):
    a, b = results.folder("tokenizer/a"), results.folder("tokenizer/b")
    a.rename(a.with_name("aside"))
    b.rename(a)
    a.with_name("aside").rename(b)


@case(at("place", "metrics/a"), at("mixed", TABLE, f"{TABLE}/table.csv"))
def artifact_of_another_scale(results):
    results.change("metrics/a", lambda record: record.update(scale="pocket"))


@case(at("place", "tokenizer/a"))
def recipe_of_another_name(results):
    results.change("tokenizer/a", lambda record: record.update(recipe="b"))


@case(at("place", "tokenizer/a"))
def output_in_the_folder_of_another(results):
    path = f"{TOP}/tokenizer/b/weights.safetensors"
    results.change("tokenizer/a", lambda record: record["outputs"][0].update(path=path))


@case(at("place", "tokenizer/a"))
def output_outside_the_project(results):
    results.change("tokenizer/a", lambda record: record["outputs"][0].update(path=f"{TOP}/tokenizer/a/../../../x"))


@case(at("place", "tokenizer/a"))
def input_of_another_scale(results):
    def change(record):
        record["inputs"]["dataset/few-8"]["files"][0]["path"] = "results/pocket/dataset/few-8/train.npy"

    results.change("tokenizer/a", change)


@case(at("place", "dataset/few-8"))
def tracked_file_outside_the_project(results):
    results.change("dataset/few-8", lambda record: record["sources"][0].update(path="../corpus.npz"))


# outputs


@case(at("missing", "tokenizer/a", "tokenizer/a/weights.safetensors"))
def output_deleted(results):
    (results.folder("tokenizer/a") / "weights.safetensors").unlink()


@case(at("missing", "tokenizer/a", "tokenizer/a/weights.safetensors"))
def output_replaced_by_a_folder(results):
    (results.folder("tokenizer/a") / "weights.safetensors").unlink()
    (results.folder("tokenizer/a") / "weights.safetensors").mkdir()


UNREADABLE = Path("/proc/self/mem")  # opens, but reading its start is an error, also for root


@case(at("missing", "tokenizer/a", "tokenizer/a/weights.safetensors"))
def output_that_cannot_be_read(results):
    (results.folder("tokenizer/a") / "weights.safetensors").unlink()
    (results.folder("tokenizer/a") / "weights.safetensors").symlink_to(UNREADABLE)


@case(at("manifest", "tokenizer/a"))
def manifest_that_cannot_be_read(results):
    results.manifest("tokenizer/a").unlink()
    results.manifest("tokenizer/a").symlink_to(UNREADABLE)


@case(at("edited", "tokenizer/a", "tokenizer/a/weights.safetensors"))
def output_edited_and_its_size_and_time_kept(results):
    file = results.folder("tokenizer/a") / "weights.safetensors"
    times = file.stat()
    file.write_bytes(file.read_bytes().replace(b"of", b"0f"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@case(
    at("edited", "tokenizer/a", "tokenizer/a/curves.jsonl"),
    at("input-changed", "samples/a", "tokenizer/a/curves.jsonl"),
)
def output_of_another_size(results):
    def change(record):
        record["outputs"][1]["bytes"] += 1

    results.change("tokenizer/a", change)


@case(
    at("edited", "tokenizer/a", "tokenizer/a/weights.safetensors"),
    at("edited", "tokenizer/b", "tokenizer/b/weights.safetensors"),
)
def weights_of_two_tokenizers_swapped(results):
    a, b = (results.folder(f"tokenizer/{name}") / "weights.safetensors" for name in "ab")
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)


# inputs


@case(
    at("input-changed", "samples/a", "tokenizer/a/weights.safetensors"),
    at("input-changed", "samples/b", "tokenizer/b/weights.safetensors"),
)
def weights_swapped_and_their_hashes_too(results):
    weights_of_two_tokenizers_swapped(results)
    results.rehash("tokenizer/a", "tokenizer/b")


@case(
    at("code", "tokenizer/a"),
    at("code", "tokenizer/b"),
    at("input-changed", "samples/a", "tokenizer/a/weights.safetensors"),
    at("input-changed", "samples/b", "tokenizer/b/weights.safetensors"),
)
def tokenizers_swapped_and_renamed(results):
    two_tokenizers_swapped_with_their_manifests(results)
    for name, other in (("a", "b"), ("b", "a")):
        file = results.manifest(f"tokenizer/{name}")
        text = file.read_text().replace(f"tokenizer/{other}", f"tokenizer/{name}")
        file.write_text(text.replace(f'"recipe": "{other}"', f'"recipe": "{name}"'))


@case(at("input-missing", "samples/a", "tokenizer/a/manifest.json"))
def input_deleted(results):
    shutil.rmtree(results.folder("tokenizer/a"))


@case(
    at("input-missing", "samples/a", "tokenizer/a/manifest.json"),
    at("unrecorded", "tokenizer/a", "tokenizer/a"),
)
def manifest_of_an_input_deleted(results):
    (results.manifest("tokenizer/a")).unlink()


@case(
    at("input-missing", "samples/a", "tokenizer/a/manifest.json"),
    at("input-changed", "samples/a", "tokenizer/a/weights.safetensors"),
    at("unrecorded", "tokenizer/a", "tokenizer/a"),
)
def manifest_of_an_input_deleted_and_the_input_edited(results):
    manifest_of_an_input_deleted(results)
    (results.folder("tokenizer/a") / "weights.safetensors").write_bytes(b"other")


@case(at("input-changed", "samples/a", "tokenizer/a/weights.safetensors"))
def hash_of_an_input_edited(results):
    def change(record):
        record["inputs"]["tokenizer/a"]["files"][0]["sha256"] = "0" * 64

    results.change("samples/a", change)


@case(at("input-changed", "samples/a", "tokenizer/a/curves.jsonl"))
def input_left_out(results):
    results.change("samples/a", lambda record: record["inputs"]["tokenizer/a"]["files"].pop())


@case(at("input-changed", "samples/a", "tokenizer/a/extra.npy"))
def input_made_up(results):
    def change(record):
        files = record["inputs"]["tokenizer/a"]["files"]
        files.append({**files[0], "path": f"{TOP}/tokenizer/a/extra.npy"})

    results.change("samples/a", change)


@case(
    at("input-changed", "samples/a", "tokenizer/a/manifest.json"),
    at("identity", "samples/a"),
)
def fingerprint_of_an_input_edited(results):
    def change(record):
        record["inputs"]["tokenizer/a"]["fingerprint"] = "0" * 16 + "-" + "0" * 16

    results.change("samples/a", change)


@case(
    at("code", "tokenizer/a"),
    at("input-changed", "samples/a", "tokenizer/a/weights.safetensors"),
)
def input_made_again_with_other_settings(results):
    (results.folder("tokenizer/a") / "weights.safetensors").write_bytes(b"other weights")
    results.change("tokenizer/a", lambda record: record["spec"].update(gamma=2.0))
    results.rehash("tokenizer/a")


@case(at("input-changed", "lineage/index", "reference/few-8/manifest.json"))
def host_edited_in_a_manifest_that_was_read(results):
    results.change("reference/few-8", lambda record: record["hardware"].update(host="elsewhere"))


@case(at("manifest", "reference/few-8"), at("input-changed", "lineage/index", "reference/few-8/manifest.json"))
def manifest_that_was_read_cut_short(results):
    file = results.manifest("reference/few-8")
    file.write_text(file.read_text()[:500])


# tracked files


@case(at("source", TABLE, PUBLISHED), at("source", CLAIMS, PUBLISHED))
def tracked_file_edited(results):
    file = results.root / PUBLISHED
    file.write_text(file.read_text().replace("3.31", "3.13"))


@case(at("source", "dataset/few-8", CORPUS))
def tracked_file_deleted(results):
    (results.root / CORPUS).unlink()


@case(at("source", "dataset/few-8", CORPUS), at("identity", "dataset/few-8"))
def hash_of_a_tracked_file_edited(results):
    results.change("dataset/few-8", lambda record: record["sources"][0].update(sha256="0" * 64))


@case(
    at("source", TABLE, PUBLISHED),
    at("stored-code", TABLE, "code/sources"),
    at("identity", TABLE),
)
def hash_of_published_numbers_edited(results):
    results.change(TABLE, lambda record: record["sources"][0].update(sha256="0" * 64))


# manifests that contradict themselves


@case(at("identity", "tokenizer/a"))
def settings_edited(results):
    results.change("tokenizer/a", lambda record: record["spec"].update(gamma=2.0))


@case(at("identity", "tokenizer/a"), at("stored-code", "tokenizer/a", f"code/{MODULE}"))
def module_edited(results):
    results.change("tokenizer/a", lambda record: record["modules"].update({MODULE: "0" * 16}))


@case(at("identity", "tokenizer/a"))
def module_left_out(results):
    results.change("tokenizer/a", lambda record: record["modules"].pop(MODULE))


@case(at("identity", "tokenizer/a"))
def engine_edited(results):
    results.change("tokenizer/a", lambda record: record.update(engine=7))


@case(at("identity", "tokenizer/a"), at("equivalent", "tokenizer/a"))
def equivalent_made_up_for_nothing(results):
    results.change("tokenizer/a", lambda record: record["equivalents"].update({"tesserae.nn.rope": "absent"}))


@case(at("stored-code", "tokenizer/a", f"code/{MODULE}"), at("equivalent", "tokenizer/a"))
def other_code_under_a_made_up_equivalent(results):
    def change(record):
        record["equivalents"][MODULE] = record["modules"][MODULE]
        record["modules"][MODULE] = "0" * 16

    results.change("tokenizer/a", change)


@case(at("identity", "tokenizer/a"))
def seed_edited(results):
    results.change("tokenizer/a", lambda record: record.update(seed=7))


@case(at("identity", "tokenizer/a"))
def tag_edited(results):
    results.change("tokenizer/a", lambda record: record["mlflow"]["tag"].clear())


@case(at("identity", "tokenizer/a"))
def paper_edited(results):
    results.change("tokenizer/a", lambda record: record.update(papers=["other"]))


@case(
    at("identity", "tokenizer/a"),
    at("code", "tokenizer/a"),
    at("input-changed", "samples/a", "tokenizer/a/manifest.json"),
)
def fingerprint_edited(results):
    def change(record):
        record["fingerprint"] = "0" * 16 + record["fingerprint"][16:]
        record["mlflow"]["tag"]["tesserae.fingerprint"] = record["fingerprint"]

    results.change("tokenizer/a", change)


@case(at("clock", "tokenizer/a"))
def ended_before_it_started(results):
    results.change("tokenizer/a", lambda record: record.update(ended="2026-03-01T11:00:00.000+00:00"))


@case(at("clock", "tokenizer/a"))
def took_longer_than_there_was_time(results):
    results.change("tokenizer/a", lambda record: record.update(seconds=1000.0))


# code


@case(
    at("code", "tokenizer/a"),
    *(at("upstream", name) for name in ("samples/a", "metrics/a", TABLE, CLAIMS)),
    *(at("upstream", name) for name in ("figure/paper_samples", "notebook/paper", "report/index")),
)
def code_changed_since(results):
    results.replan("tokenizer/a")


@case(at("unplanned", "tokenizer/b"))
def artifact_that_is_not_planned(results):
    del results.planned["tokenizer/b"]


@case(at("stored-code", "dataset/few-8", f"code/{MODULE}"))
def stored_code_deleted(results):
    stored(results, MODULE).unlink()


@case(at("stored-code", "dataset/few-8", f"code/{MODULE}"))
def stored_code_edited(results):
    file = stored(results, MODULE)
    file.write_text(file.read_text().replace("remedy", "advice", 1).replace("class ", "class My", 1))


@case(at("stored-code", "dataset/few-8", f"code/{MODULE}"))
def stored_code_that_is_no_python(results):
    stored(results, MODULE).write_text("def")


@case(at("stored-code", "", "code/tesserae.nn.rope"))
def stored_code_that_nothing_uses_and_no_name_fits(results):
    file = results.root / TOP / "code/tesserae.nn.rope/0123456789abcdef.py"
    file.parent.mkdir()
    file.write_text("x = 1\n")


@case(at("stored-code", CLAIMS, "code/sources"))
def stored_published_numbers_edited(results):
    file = next((results.root / TOP / "code/sources").iterdir())
    file.write_text(file.read_text().replace("3.31", "3.13"))


# tables


def show_everywhere(results: Results) -> None:
    """Show 43.5 instead of 45.5 on every page; the order of the rows stays, so that the same number is the best."""
    for name in ("table.csv", "metrics.json", "table.md", "table.tex", "table.html"):
        results.swap(TABLE, name, "45.5", "43.5")
    results.change(TABLE, lambda record: record["metrics"].update({"Row A/MAR-B FID": 43.5}))
    for artifact, name in (("notebook/paper", "notebook.html"), ("notebook/paper", "notebook.ipynb")):
        results.swap(artifact, name, "45.50", "43.50")
    results.swap("report/index", "index.html", "45.50", "43.50")


def draw_everywhere(results: Results) -> None:
    """Draw claims and table from what is there now, and show that table on every page."""
    old = fragment_of((results.folder(TABLE) / "table.html").read_text(), where="")
    results.draw(CLAIMS)
    results.draw(TABLE)
    new = fragment_of((results.folder(TABLE) / "table.html").read_text(), where="")
    inside = [json.dumps(text)[1:-1] for text in (old, new)]
    results.swap("notebook/paper", "notebook.html", old, new)
    results.swap("notebook/paper", "notebook.ipynb", *inside)
    results.swap("report/index", "index.html", old, new)


@case(at("number", TABLE, f"{TABLE}/table.csv"), at("edited", TABLE, f"{TABLE}/table.csv"))
def number_edited(results):
    results.swap(TABLE, "table.csv", "45.5", "43.5")


def edit_table(results: Results, name: str, old: str, new: str) -> None:
    """Edit a file of the table, and make every manifest down the road agree."""
    results.swap(TABLE, name, old, new)
    results.rehash(TABLE, *PAGES)


def first_row(results: Results) -> str:
    """A line of the table's file, with its end."""
    return (results.folder(TABLE) / "table.csv").read_text().splitlines(keepends=True)[1]


# What was edited; the kind of finding; the file, what it said and what it says then.
EXCHANGED = [
    ("number_edited", "number", "table.csv", "45.5", "43.5"),
    ("deviation_edited", "number", "table.csv", "0.125", "0.001"),
    ("published_number_edited", "published", "table.csv", ",3.31,", ",33.1,"),
    ("blank_filled_in", "published", "table.csv", "higher,,", "higher,99,"),
    ("backing_of_a_cell_edited", "table", "table.csv", "metrics/a", "metrics/b"),
    ("line_ends_edited", "table", "table.csv", "\n", "\r\n"),
    ("markdown_edited", "table", "table.md", "45.50", "43.50"),
    ("latex_edited", "table", "table.tex", "45.50", "43.50"),
    ("numbers_for_dvc_edited", "number", "metrics.json", "45.5", "43.5"),
    ("scatter_edited", "number", "table.csv", "0.7071067811865476", "0.0071067811865476"),
    ("number_of_seeds_edited", "number", "table.csv", ",2,44.25,", ",9,44.25,"),
    ("mark_taken_off", "control", "table.csv", "generation_control/a,yes", "generation_control/a,no"),
    ("control_made_easier", "control", "table.csv", ",44.25,", ",54.25,"),
    ("mark_taken_off_the_page", "table", "table.md", "45.50†", "45.50"),
]
CASES += [
    pytest.param(
        partial(edit_table, name=name, old=old, new=new),
        {at(kind, TABLE, f"{TABLE}/{name}")},
        id=f"{edited}_and_all_manifests_too",
    )
    for edited, kind, name, old, new in EXCHANGED
]


@case(at("mixed", TABLE, f"{TABLE}/table.csv"))
def extractor_of_a_cell_edited_and_all_manifests_too(results):
    row = first_row(results)
    edit_table(results, "table.csv", row, row.replace("embedded", "inception"))


@case(at("mixed", TABLE, f"{TABLE}/table.csv"))
def scale_of_a_cell_edited_and_all_manifests_too(results):
    row = first_row(results)
    edit_table(results, "table.csv", row, row.replace("smoke", "paper"))


@case(at("table", TABLE, f"{TABLE}/table.csv"))
def row_left_out_and_all_manifests_too(results):
    lines = (results.folder(TABLE) / "table.csv").read_text().splitlines(keepends=True)
    edit_table(results, "table.csv", "".join(lines[3:]), "")


@case(at("table", TABLE, f"{TABLE}/table.csv"))
def row_made_up_and_all_manifests_too(results):
    row = first_row(results)
    edit_table(results, "table.csv", row, row + row.replace("Row A", "Row Z"))


@case(at("table", TABLE, f"{TABLE}/table.csv"))
def row_given_twice_and_all_manifests_too(results):
    row = first_row(results)
    edit_table(results, "table.csv", row, row + row.replace("45.5", "44"))


@case(
    at("table", TABLE, f"{TABLE}/table.html"),
    at("table", "notebook/paper", "notebook/paper/notebook.html"),
    at("table", "notebook/paper", "notebook/paper/notebook.ipynb"),
    at("table", "report/index", "index.html"),
)
def html_edited_and_all_manifests_too(results):
    edit_table(results, "table.html", "45.50", "43.50")


@case(at("number", TABLE, f"{TABLE}/manifest.json"))
def numbers_in_the_manifest_of_a_table_edited(results):
    results.change(TABLE, lambda record: record["metrics"].update({"Row A/MAR-B FID": 1.0}))


@case(at("number", TABLE, f"{TABLE}/manifest.json"))
def numbers_in_the_manifest_of_a_table_left_out(results):
    results.change(TABLE, lambda record: record["metrics"].clear())


@case(
    *NUMBERS,
    *RENDERED,
)
def a_whole_table_forged(results):
    show_everywhere(results)
    results.rehash(TABLE, *PAGES)


@case(
    at("edited", "metrics/a", "metrics/a/metrics.json"),
    *NUMBERS,
    *JUDGED,
)
def number_edited_where_it_was_measured(results):
    results.swap("metrics/a", "metrics.json", "45.0", "43.0")


@case(
    at("input-changed", TABLE, "metrics/a/metrics.json"),
    at("input-changed", "figure/paper_samples", "metrics/a/metrics.json"),
    *NUMBERS,
    at("input-changed", CLAIMS, "metrics/a/metrics.json"),
    *JUDGED,
)
def metrics_forged_together_with_their_manifest(results):
    results.swap("metrics/a", "metrics.json", "45.0", "43.0")
    results.change("metrics/a", lambda record: record["metrics"].update(fid=43.0))
    results.rehash("metrics/a")


@case(
    at("missing", "metrics/a", "metrics/a/metrics.json"),
    at("number", TABLE, f"{TABLE}/table.csv"),
    at("table", CLAIMS),
)
def measured_numbers_deleted(results):
    (results.folder("metrics/a") / "metrics.json").unlink()


@case(
    at("input-missing", TABLE, "metrics/a/manifest.json"),
    at("input-missing", "figure/paper_samples", "metrics/a/manifest.json"),
    at("input-missing", CLAIMS, "metrics/a/manifest.json"),
    at("number", TABLE, f"{TABLE}/table.csv"),
    at("table", CLAIMS),
)
def measurement_deleted(results):
    shutil.rmtree(results.folder("metrics/a"))


@case(at("number", "metrics/a", "metrics/a/metrics.json"))
def number_in_a_manifest_edited(results):
    results.change("metrics/a", lambda record: record["metrics"].update(fid=43.5))


def resign(results: Results, artifact: str, edit: Callable[[dict], object], *after: str) -> None:
    """Edit a manifest under a fingerprint that fits, and make those of what comes `after` it and the plan agree."""

    def change(record):
        edit(record)
        sign(record)

    results.change(artifact, change)
    results.rehash(*after)
    results.agree()


def respec(results: Results, artifact: str, **spec: object) -> None:
    """Edit settings of what the pages show, and make all else agree."""
    resign(results, artifact, lambda record: record["spec"].update(spec), *PAGES)


def forge(results: Results, artifact: str, **measure: object) -> None:
    """Claim another measure, and make every manifest down the road agree."""
    file = results.folder(artifact) / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["measure"] |= measure
    policy = {key: value for key, value in metrics["measure"].items() if key != "guidance"}
    metrics["measure_id"] = fingerprint.digest(policy)
    file.write_text(json.dumps(metrics))
    results.change(
        artifact, lambda record: record["spec"].update({k: measure[k] for k in ("extractor",) if k in measure})
    )
    results.rehash(artifact, *SHOWN)
    results.agree()


@case(at("mixed", "metrics/a"), at("mixed", TABLE, f"{TABLE}/table.csv"), at("table", CLAIMS))
def two_extractors_in_one_column(results):
    forge(results, "metrics/a", extractor="inception")


@case(at("mixed", TABLE, f"{TABLE}/table.csv"), at("table", CLAIMS))
def two_measures_in_one_column(results):
    forge(results, "metrics/a", rounding="round")


@case(at("measure", "metrics/a", "metrics/a/metrics.json"), at("table", TABLE, f"{TABLE}/table.csv"),
      *RENDERED)  # fmt: skip
def guidance_that_the_samples_were_not_drawn_with(results):
    forge(results, "metrics/a", guidance=4.0)


@case(at("measure", "metrics/a", "metrics/a/metrics.json"))
def measure_under_a_false_id(results):
    file = results.folder("metrics/a") / "metrics.json"
    metrics = json.loads(file.read_text()) | {"measure_id": "0" * 16}
    file.write_text(json.dumps(metrics))
    results.rehash("metrics/a", *SHOWN)


@case(at("number", TABLE, f"{TABLE}/table.csv"))
def numbers_of_what_the_table_did_not_read(results):
    resign(results, TABLE, lambda record: record["inputs"].pop("metrics/b"), *PAGES)


@case(at("table", TABLE))
def settings_that_describe_no_table(results):
    resign(results, TABLE, lambda record: record["spec"].pop("columns"), *PAGES)


@case(at("mixed", TABLE), at("mixed", TABLE, f"{TABLE}/table.csv"),
      *RENDERED)  # fmt: skip
def table_of_another_scale(results):
    respec(results, TABLE, scale="paper")


@case(
    at("number", "metrics/a", "metrics/a/metrics.json"),
    at("number", TABLE, f"{TABLE}/table.csv"),
    at("table", CLAIMS),
)
def measure_with_a_number_that_is_none(results):
    results.swap("metrics/a", "metrics.json", '"samples": 64', '"samples": NaN')
    results.rehash("metrics/a", *SHOWN)


# seeds


@case(
    at("edited", "metrics/a.seed2", "metrics/a.seed2/metrics.json"),
    *NUMBERS,
    *JUDGED,
)
def number_of_one_seed_edited(results):
    results.swap("metrics/a.seed2", "metrics.json", "46.0", "44.0")


def swap_seeds(results: Results) -> None:
    """Take the FID of each seed of row a for the other's: their mean and scatter stay what they were."""
    for artifact, old, new in (("metrics/a", "45.0", "46.0"), ("metrics/a.seed2", "46.0", "45.0")):
        results.swap(artifact, "metrics.json", old, new)


@case(
    at("edited", "metrics/a", "metrics/a/metrics.json"),
    at("edited", "metrics/a.seed2", "metrics/a.seed2/metrics.json"),
)
def seeds_swapped(results):
    swap_seeds(results)


@case(*(at("table", CLAIMS, f"{CLAIMS}/claims.{suffix}") for suffix in ("json", "html")))  # each seed's number
def seeds_swapped_and_all_manifests_too(results):
    swap_seeds(results)
    results.change("metrics/a", lambda record: record["metrics"].update(fid=46.0))
    results.change("metrics/a.seed2", lambda record: record["metrics"].update(fid=45.0))
    results.rehash("metrics/a", "metrics/a.seed2", *SHOWN)


# controls


def redrawn_with(results: Results, controls: dict[str, str], dropped: str, **more) -> None:
    """Let the table show other controls, without reading `dropped` ones, and make all that follows agree."""

    def change(record):
        record["spec"].update(controls=controls)
        record["inputs"] = {name: read for name, read in record["inputs"].items() if not name.startswith(dropped)}
        sign(record)

    results.change(TABLE, change)
    draw_everywhere(results)
    results.rehash(TABLE, *PAGES)
    results.agree()
    left = results.planned[TABLE]
    reads = {name: files for name, files in left.reads.items() if not name.startswith(dropped)}
    results.planned[TABLE] = replace(left, reads=reads)


@case(at("control", TABLE, f"{TABLE}/table.csv"))
def controls_that_a_table_does_without(results):
    redrawn_with(results, {}, "generation_control/")


@case(at("control", TABLE, f"{TABLE}/table.csv"))
def control_of_one_row_left_out(results):
    redrawn_with(results, {"metrics/b": "generation_control/b"}, "generation_control/a")


@case(at("control", TABLE, f"{TABLE}/table.csv"), at("table", TABLE))
def number_whose_control_is_another_number(results):
    respec(results, TABLE, controls=CONTROLS | {"metrics/a": "metrics/b"})


@case(at("control", TABLE, f"{TABLE}/table.csv"))
def control_of_another_tokenizer(results):
    for name in ("generation_control/b", "generation_control/b.seed2"):
        tokenizer = name.replace("generation_control", "tokenizer")
        read = results.read(name.replace("generation_control", "samples"))["inputs"][tokenizer]
        results.change(name, lambda record, read=read, tokenizer=tokenizer: record["inputs"].update({tokenizer: read}))
        results.rehash(name)
        reads = {**results.planned[name].reads, tokenizer: results.planned[tokenizer].outputs}
        results.planned[name] = replace(results.planned[name], reads=reads)
    redrawn_with(results, CONTROLS | {"metrics/a": "generation_control/b"}, "generation_control/a")


@case(at("table", TABLE))
def one_seed_told_where_two_were_read(results):
    respec(results, TABLE, seeds=[1])


@case(at("number", TABLE, f"{TABLE}/table.csv"))
def more_seeds_told_than_were_read(results):
    respec(results, TABLE, seeds=[1, 2, 3])


@case(at("table", TABLE))
def number_left_out_as_not_run(results):
    cells = [{"row": "b", "column": name, "reason": "omitted: too good"} for name in ("MAR-B FID", "MAR-B IS")]
    respec(results, TABLE, missing=[*results.read(TABLE)["spec"]["missing"], *cells])


@case(at("identity", "tokenizer/a.seed2"))
def two_seeds_that_are_one_run(results):
    def edit(record):
        record["spec"]["training"]["seed"] = record["seed"] = 0

    resign(results, "tokenizer/a.seed2", edit, "samples/a.seed2", "metrics/a.seed2", *SHOWN)


@case(at("identity", "samples/a.seed2"))
def samples_of_one_seed_drawn_with_another(results):
    inputs = {"tokenizer/a": results.read("samples/a")["inputs"]["tokenizer/a"]}
    resign(results, "samples/a.seed2", lambda record: record.update(inputs=inputs), "metrics/a.seed2", *SHOWN)


# published weights


@case(at("identity", "tokenizer/b"))
def other_published_weights_named(results):
    results.change("tokenizer/b", lambda record: record["weights"].update(file="other.pth"))


@case(at("identity", "tokenizer/b"))
def published_weights_not_named(results):
    results.change("tokenizer/b", lambda record: record.update(weights=None))


@case(at("source", "tokenizer/b", WEIGHTS["file"]))
def hash_of_published_weights_edited(results):
    results.change("tokenizer/b", lambda record: record["weights"].update(sha256="0" * 64))


# pages


@case(at("table", "report/index", "index.html"))
def number_edited_on_the_index_page_and_its_manifest_too(results):
    results.swap("report/index", "index.html", "45.50", "43.50")
    results.rehash("report/index")


@case(at("table", "report/index", "index.html"))
def picture_exchanged_on_the_index_page_and_its_manifest_too(results):
    results.swap("report/index", "index.html", "paper_samples/figure.png", "paper_others/figure.png")
    results.rehash("report/index")


@case(at("table", "report/index", "index.html"))
def table_left_out_of_the_index_page_and_its_manifest_too(results):
    results.swap("report/index", "index.html", "tesserae-table", "other-table")
    results.rehash("report/index")


@case(at("table", "notebook/paper", "notebook/paper/notebook.ipynb"))
def number_edited_in_a_notebook_and_all_manifests_too(results):
    results.swap("notebook/paper", "notebook.ipynb", "45.50", "43.50")
    results.rehash(*PAGES)


# files that no manifest names


@case(at("unrecorded", "tokenizer/a", "tokenizer/a/better.safetensors"))
def file_added_to_an_artifact(results):
    (results.folder("tokenizer/a") / "better.safetensors").write_bytes(b"weights")


@case(at("unrecorded", "", "table.csv"))
def file_added_beside_the_page(results):
    (results.root / TOP / "table.csv").write_text("a,b\n")


@case(at("unrecorded", "metrics/c", "metrics/c"))
def artifact_without_a_manifest(results):
    shutil.copytree(results.folder("metrics/b"), results.folder("metrics/c"))
    (results.folder("metrics/c") / "manifest.json").unlink()


@case(at("unrecorded", "", "metrics/c"))
def link_to_a_folder(results):
    results.folder("metrics/c").symlink_to(results.root / "data", target_is_directory=True)


# what was shared


@case(at("shared", "tokenizer/a"))
def host_edited_after_sharing(results):
    results.share()
    results.change("tokenizer/a", lambda record: record["hardware"].update(host="elsewhere"))


@case(*(at("shared", name) for name in ("samples/a", "metrics/a", *SHOWN)))
def everything_forged_after_sharing(results):
    results.share()
    (results.folder("samples/a") / "samples.npy").write_bytes(b"better samples")
    results.swap("metrics/a", "metrics.json", "45.0", "43.0")
    results.change("metrics/a", lambda record: record["metrics"].update(fid=43.0))
    draw_everywhere(results)
    results.rehash("samples/a", "metrics/a", *SHOWN)


@case(at("shared", "", f"code/{MODULE}"))
def comment_in_stored_code_edited_after_sharing(results):
    results.share()
    file = stored(results, MODULE)
    file.write_text(file.read_text().replace('"""The errors of', '"""All errors of'))


@case(at("shared", "", f"lineage/{SCALE}.json"))
def index_of_what_was_shared_cut_short(results):
    results.share()
    file = results.root / f"lineage/{SCALE}.json"
    file.write_text(file.read_text()[:-9])


@case(at("shared", "", f"lineage/{SCALE}.json"))
def index_of_another_scale(results):
    results.share()
    file = results.root / f"lineage/{SCALE}.json"
    file.write_text(file.read_text().replace('"scale": "smoke"', '"scale": "pocket"'))


@pytest.mark.parametrize("tamper, expected", CASES)
def test_tampering_is_found_under_its_own_word(results, tamper, expected):
    tamper(results)
    report = results.audit()
    assert found(report) == expected, "\n".join(
        f"{it.kind} {it.artifact} {it.path}: {it.what}" for it in report.findings
    )
    assert not report.clean
    assert all(it.what and it.since and it.remedy for it in report.findings)


def test_every_kind_of_finding_has_its_case():
    assert {kind for parameters in CASES for kind, _, _ in parameters.values[1]} == set(KINDS)


# ---- no byte can change -----------------------------------------------------------------------------------------

TAKES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def shared(pristine, tmp_path_factory) -> Results:
    results = pristine.copy(tmp_path_factory.mktemp("shared"))
    results.share()
    return results


def flip(file: Path, position: int, bits: int) -> bytes:
    """Change one byte of a file; what it held before."""
    content = file.read_bytes()
    changed = bytearray(content)
    changed[position] ^= bits
    file.write_bytes(bytes(changed))
    return content


def files_of(results: Results, *globs: str) -> list[Path]:
    """Files with something in them that an audit is answerable for."""
    files = {file for glob in globs for file in results.root.glob(glob) if file.is_file() and file.suffix != ".log"}
    return sorted(file for file in files if file.stat().st_size)


@TAKES
@given(st.data())
def test_no_byte_of_a_result_or_of_a_tracked_file_can_change(pristine, data):
    everything = files_of(pristine, f"{TOP}/**/*", "data/*", "config/**/*")
    store = pristine.root / TOP / "code"
    kept = [
        file
        for file in everything
        if file.name != "manifest.json" and (store not in file.parents or file.suffix != ".py")
    ]
    file = data.draw(st.sampled_from(kept))
    position = data.draw(st.integers(0, file.stat().st_size - 1))
    before = flip(file, position, data.draw(st.integers(1, 255)))
    try:
        assert not pristine.audit().clean
    finally:
        file.write_bytes(before)


@TAKES
@given(st.data())
def test_no_byte_at_all_can_change_once_shared(shared, data):
    file = data.draw(st.sampled_from(files_of(shared, f"{TOP}/**/*", "data/*", "config/**/*")))
    position = data.draw(st.integers(0, file.stat().st_size - 1))
    before = flip(file, position, data.draw(st.integers(1, 255)))
    try:
        assert not shared.audit().clean
    finally:
        file.write_bytes(before)


# What nothing but the index of what was shared can contradict: a manifest's own words about where and when it was made.
FREE = {"environment", "hardware", "git", "started", "ended", "seconds", "peak_mb", "origins"}
# Numbers of stages that leave no metrics.json: only the manifest has them.
UNBACKED = {(f"tokenizer/{row}{seed}", "metrics") for row in FID for seed in ("", ".seed2")}


def leaves(value, path=()):
    if isinstance(value, dict | list) and value:
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(child, (*path, key))
    else:
        yield path


def other(value):
    """Another value of the same type, where the type has several."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return {None: 7}.get(value, 7) if value is None else {"more": "0"} if isinstance(value, dict) else ["more"]


@TAKES
@given(st.data())
def test_no_value_of_a_manifest_can_change_unless_nothing_else_knows_it(pristine, data):
    artifact = data.draw(st.sampled_from(sorted(pristine.planned)))
    record = pristine.read(artifact)
    places = [path for path in leaves(record) if path[0] not in FREE and (artifact, path[0]) not in UNBACKED]
    place = data.draw(st.sampled_from(places))
    inside = record
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = other(inside[place[-1]])
    file = pristine.folder(artifact) / "manifest.json"
    before = file.read_bytes()
    pristine.write(artifact, record)
    try:
        assert not pristine.audit().clean, (artifact, place)
    finally:
        file.write_bytes(before)


@TAKES
@given(st.data())
def test_no_name_in_stored_code_can_change(pristine, data):
    file = data.draw(
        st.sampled_from(files_of(pristine, f"{TOP}/code/**/*.py")).filter(lambda file: file.stat().st_size)
    )
    lines = file.read_bytes().splitlines(keepends=True)
    tokens = tokenize.tokenize(io.BytesIO(file.read_bytes()).readline)
    names = [token.start for token in tokens if token.type == tokenize.NAME]
    line, column = data.draw(st.sampled_from(names))
    position = sum(map(len, lines[: line - 1])) + len(lines[line - 1].decode()[:column].encode())
    before = flip(file, position, data.draw(st.integers(1, 127)))
    try:
        assert not pristine.audit().clean
    finally:
        file.write_bytes(before)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
)
READ = ("metrics/a/metrics.json", "samples/a/index.json", f"{TABLE}/metrics.json", "notebook/paper/notebook.ipynb")
READ += (f"{CLAIMS}/claims.json", "metrics/b.seed2/metrics.json")


@TAKES
@given(st.data())
def test_whatever_forged_files_hold_an_audit_ends_with_a_list(pristine, data):
    path = data.draw(st.sampled_from(READ))
    file = pristine.root / TOP / path
    content = json.loads(file.read_bytes())
    places = [place for depth in range(4) for place in prefixes(content, depth)]
    place = data.draw(st.sampled_from(places))
    value = data.draw(JSON)
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    if place:
        inside[place[-1]] = value
    changed = sorted(
        name for name in pristine.planned if name.split("/")[0] in "metrics table claims figure notebook report"
    )
    changed = [name for name in pristine.planned if name in changed or name == "samples/a"]
    kept = {at: at.read_bytes() for at in [file, *map(pristine.manifest, changed)]}
    file.write_text(json.dumps(content if place else value))
    try:
        pristine.rehash(*changed)
        assert text(pristine.audit()).startswith(f"Audit of {TOP}: ")
    finally:
        for at, before in kept.items():
            at.write_bytes(before)


def prefixes(content, depth: int) -> list[tuple]:
    """Places of a given depth in nested content."""
    if depth == 0:
        return [()]
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [(key, *rest) for key, child in children for rest in prefixes(child, depth - 1)]


# ---- notes, words and looks -------------------------------------------------------------------------------------


def notes(report: Report) -> dict[str, str]:
    return {note.kind: note.what for note in report.notes if note.kind != "anchor"}


def test_what_is_no_failure_is_a_note(results):
    making = results.root / TOP / "tokenizer/.a.making-77"
    making.mkdir()
    (making / "weights.safetensors").write_bytes(b"half")
    (results.folder("tokenizer/a") / ".manifest.json.77").write_text("{")
    state = results.root / TOP / ".state/tokenizer/a"
    state.mkdir(parents=True)
    (state / "begun.json").write_text("{}")
    (results.root / TOP / "report.log").write_text("done")
    results.change("tokenizer/a", lambda record: record["environment"]["libraries"].update(numpy="1.0"))
    results.change("tokenizer/b", lambda record: record["git"].update(dirty=True))
    results.planned["tokenizer/c"] = results.planned["tokenizer/a"]
    report = results.audit()
    assert report.clean
    assert {note.kind for note in report.notes} == {"anchor", "leftover", "libraries", "commit", "not-made"}
    assert sum(note.kind == "leftover" for note in report.notes) == 2
    said = notes(report)
    assert said["libraries"].startswith("numpy 1.0, here ") and "(tokenizer/a)" in said["libraries"]
    assert said["commit"] == "made from a dirty tree at commit 0123456: 1 artifacts (tokenizer/b)"
    assert said["not-made"] == "1 of 26 planned artifacts: tokenizer/c"


def test_published_weights_are_verified_where_they_are(results, weights, monkeypatch):
    monkeypatch.delenv("TESSERAE_WEIGHTS")
    report = results.audit()
    assert report.clean
    assert notes(report)["weights"] == "official.pth is not on this machine: not verified (taken by tokenizer/b)"
    (results.root / "weights").mkdir()
    (results.root / "weights/official.pth").write_bytes(b"published anew")
    monkeypatch.setenv("TESSERAE_WEIGHTS", str(results.root / "weights"))
    (finding,) = results.audit().findings
    assert (finding.kind, finding.artifact, finding.path) == ("source", "tokenizer/b", "official.pth")
    assert finding.what.startswith("other weights than were taken: sha256 ") and "9 → 14 bytes" in finding.what
    assert "--remake tokenizer/b" in finding.remedy


def test_an_input_made_again_with_the_same_content_is_a_note(results):
    later = {"started": "2026-03-02T00:00:00.000+00:00", "ended": "2026-03-02T00:05:00.000+00:00"}
    results.change("tokenizer/a", lambda record: record.update(later))
    report = results.audit()
    assert report.clean and notes(report)["made-again"].startswith("made again since samples/a read it")


def test_equivalences_are_listed_with_their_reviewer(results):
    present = fingerprint.scan(MODULE).digest
    entry = Equivalent(module=MODULE, code=present, same_as="0" * 16, why="a local was renamed", by="someone")

    def older(record):  # made before the edit that was reviewed
        record["modules"][MODULE] = "0" * 16
        sign(record)

    def newer(record):  # made after it, counting as what was there before
        record["equivalents"][MODULE] = "0" * 16
        sign(record)

    for artifact, change in (("dataset/few-8", older), ("tokenizer/a", newer)):
        results.change(artifact, change)
    results.rehash(*(artifact for artifact in results.planned if artifact != "dataset/few-8"))
    results.agree()
    report = results.audit([entry])
    assert found(report) == {at("stored-code", "dataset/few-8", f"code/{MODULE}")}  # no text of the made-up digest
    said = notes(report)["equivalent"]
    assert "a local was renamed (someone); 2 artifacts rely on it (tokenizer/a, dataset/few-8)" in said
    unreviewed = results.audit([])
    assert at("equivalent", "tokenizer/a") in found(unreviewed)


def test_shared_results_say_what_is_new_and_what_is_elsewhere(results):
    results.share()
    assert results.audit().clean and not results.audit().notes
    index = json.loads((results.root / f"lineage/{SCALE}.json").read_text())
    index["artifacts"]["tokenizer/z"] = index["artifacts"].pop("tokenizer/b")
    index["artifacts"]["tokenizer/a"]["fingerprint"] = "0" * 16 + "-" + "0" * 16
    (results.root / f"lineage/{SCALE}.json").write_text(json.dumps(index))
    report = results.audit()
    assert report.clean
    assert {(note.kind, note.artifact) for note in report.notes} == {
        ("not-here", "tokenizer/z"), ("remade", "tokenizer/a"), ("not-shared", "")
    }  # fmt: skip


def test_who_may_not_read_cannot_judge(results, monkeypatch):
    """Another user of a shared folder is not told that files are missing."""
    denied, opened = results.folder("tokenizer/a") / "weights.safetensors", open

    def refuse(file, *arguments, **named):
        if Path(file) == denied:
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *arguments, **named)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match=r"weights\.safetensors"):
        results.audit()


def test_an_index_that_is_not_committed_is_no_witness_and_the_end_says_what_none_can_see(results):
    results.share()
    index = results.root / f"lineage/{SCALE}.json"
    person = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (("init", "-q"), ("add", "lineage"), ("commit", "-q", "-m", "shared")):
        subprocess.run(["git", *person, *arguments], cwd=results.root, check=True)
    assert not results.audit().notes
    index.write_text(index.read_text() + "\n")
    report = results.audit()
    assert report.clean and "is not what is committed" in {note.kind: note.what for note in report.notes}["anchor"]
    Console(file=(page := io.StringIO()), width=400).print(render(report))
    assert UNSEEN in page.getvalue()


def test_without_a_plan_code_is_not_compared_and_the_report_says_so(results):
    report = results.audit(planned=None)
    assert report.clean and "were not compared" in notes(report)["code"]


def test_findings_say_what_where_since_when_and_what_to_do(results):
    file = results.folder("tokenizer/a") / "weights.safetensors"
    file.write_bytes(b"other")
    os.utime(file, (1772366400 + 4000, 1772366400 + 4000))
    (finding,) = results.audit().findings
    assert finding.path == f"{TOP}/tokenizer/a/weights.safetensors"
    assert finding.what.startswith("its content changed: sha256 ") and finding.what.endswith("12 → 5 bytes")
    assert finding.since == "after 2026-03-01 12:25 UTC, when it was made; the file's time says 13:06 UTC"
    assert "--remake tokenizer/a" in finding.remedy and "dvc checkout" in finding.remedy


def test_a_change_of_code_names_the_words_and_the_commit_and_gathers_what_follows(results):
    results.replan("tokenizer/a")
    report = results.audit(why=lambda artifact: ["losses/perceptual.py: function `lpips` changed"])
    code = next(finding for finding in report.findings if finding.kind == "code")
    assert code.what == "losses/perceptual.py: function `lpips` changed"
    assert code.since == "made 2026-03-01 12:25 UTC at commit 0123456"
    assert {finding.what for finding in report.findings if finding.kind == "upstream"} == {"made from tokenizer/a"}
    shown = text(report)
    assert shown.count("made from tokenizer/a") == 1 and "figure/paper_samples" in shown and "and 2 more" in shown


def test_words_that_cannot_be_found_cost_no_audit(results):
    def why(artifact):
        raise SyntaxError("damaged")

    results.replan("tokenizer/a")
    assert "what changed cannot be said (damaged)" in text(results.audit(why=why))


def test_an_edited_setting_is_named(results):
    results.change("tokenizer/a", lambda record: record["spec"].update(gamma=2.0))
    (finding,) = results.audit(why=lambda artifact: ["gamma 2.0 → 3.0"]).findings
    assert finding.kind == "identity" and finding.what.endswith("to be what its fingerprint says: gamma 2.0 → 3.0")


def test_what_was_pulled_in_part_is_one_block(results):
    for artifact in ("dataset/few-8", "tokenizer/a", "tokenizer/b", "samples/a", "samples/b"):
        for name in results.planned[artifact].outputs:
            (results.folder(artifact) / name).unlink()
    report = results.audit()
    assert {finding.kind for finding in report.findings} == {"missing"} and len(report.findings) == 10
    shown = text(report)
    assert shown.count("missing: ") == 1 and "and 5 more (--json lists all)" in shown


def text(report: Report, width: int = 100) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(render(report))
    return file.getvalue()


def test_the_list_reads_well_at_a_hundred_columns(results):
    clean = text(results.audit())
    assert "no findings, 1 note" in clean and "Clean: 25 artifacts, " in clean
    weights_of_two_tokenizers_swapped(results)
    report = results.audit()
    shown = text(report)
    assert all(len(line.rstrip()) <= 100 for line in shown.splitlines())
    for word in ("2 findings", "artifact", "file", "what", "since", "to do", "Not clean"):
        assert word in shown
    assert shown.index("tokenizer/a") < shown.index("tokenizer/b") < shown.index("Notes")


def test_json_and_order_do_not_depend_on_the_moment(results):
    weights_of_two_tokenizers_swapped(results)
    (results.root / PUBLISHED).unlink()
    first, second = (json.dumps(results.audit().as_json()) for _ in range(2))
    assert first == second
    content = json.loads(first)
    assert content["clean"] is False and content["scale"] == SCALE
    assert [it["kind"] for it in content["findings"]] == ["edited", "edited", "source", "source"]
    assert set(content["findings"][0]) == {"kind", "artifact", "path", "what", "since", "remedy"}
    assert content["verified"]["artifacts"] == 25
