"""Publishing: pages from artifacts alone, of one whole, that say when the code has moved on."""

import io
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from tesserae.cli import prices
from tesserae.cli.main import main
from tesserae.config.stages import STAGES
from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.lineage.hashes import sha256
from tesserae.publishing import fingerprints, readme_block
from tesserae.publishing.found import shown
from tesserae.reporting import public_pages as pages
from tesserae.reporting.small_pictures import HEAVIEST, WIDEST, shrink
from tesserae.reporting.table_csv import CSV_COLUMNS
from tesserae.workflow.plan import Plan, read_plan
from tests.conftest import ROOT
from tests.lineage.results import COMMIT
from tests.workflow.conftest import Copy, cut_to_one_row

SCALE = "smoke"
README = f"""# A project

<!-- results of {SCALE}: written by `make publish` -->
old
<!-- end of {SCALE} -->

More.
"""
LIBRARIES = {"numpy": "2.4.6", "torch": "2.14.1"}


def plan_of(root: Path) -> Plan:
    return read_plan(root, SCALE)


def make(plan: Plan, name: str, **more) -> None:
    """Write made-up files of an artifact, and a manifest that says of them what is true."""
    job, root = plan.jobs[name], plan.project.root
    folder = root / plan.folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in STAGES[job.stage].files:
        (folder / file).write_bytes(content(job, file))
    own = plan.own(job)
    inputs = {}
    for producer in job.inputs.values():
        read = manifests.read(root / plan.folder(producer))
        inputs[producer] = {"fingerprint": read["fingerprint"], "files": read["outputs"]}
    record = {
        "manifest": manifests.VERSION,
        **{"artifact": name, "stage": job.stage, "recipe": job.recipe, "scale": SCALE, "papers": list(job.papers)},
        **{"engine": 1, "fingerprint": plan.fingerprint(job), "spec": job.spec, "origins": job.origins, "seed": None},
        **{"modules": own.modules, "equivalents": own.equivalents, "inputs": inputs},
        "sources": [manifests.describe(root / path, root) for path in job.sources.values()],
        "outputs": [manifests.describe(folder / file, root) for file in STAGES[job.stage].files],
        "environment": {"python": "3.11.7", "platform": "Linux", "libraries": LIBRARIES},
        **{"hardware": {}, "git": {"commit": COMMIT, "dirty": False}, "metrics": {}, "peak_mb": 1, "mlflow": {}},
        **{"started": "2026-01-05T10:11:12.345+00:00", "ended": "2026-01-05T10:12:27.345+00:00", "seconds": 75.0},
        **more,
    }
    manifests.write(folder / manifests.NAME, record)


def content(job, file: str) -> bytes:
    if file == "table.csv":
        line = dict.fromkeys(CSV_COLUMNS, "") | {"table": "Table 1", "row": "Joint noise", "direction": "lower"}
        numbers = {"published": "2.65", "measured": "944.25", "control": "1216.5", "behind": "no"}
        cells = [line | {"column": "MAR-B FID"} | numbers, line | {"column": "SiT-B FID", "published": "5.50"}]
        rows = [CSV_COLUMNS, *([cell[name] for name in CSV_COLUMNS] for cell in cells)]
        return "".join(",".join(row) + "\n" for row in rows).encode()
    if file == "table.md":
        return f"**Table of {job.recipe}**\n\n| a |\n| --- |\n| 944.25 |\n".encode()
    if file == "figure.png":
        drawn = io.BytesIO()
        Image.effect_noise((1500, 900), 80).save(drawn, "PNG")
        return drawn.getvalue()
    if file == "claims.json":
        words = ("reproduced", "contradicted", "inconclusive", "not run")
        return json.dumps({"summary": dict(zip(words, (0, 0, 3, 27), strict=True)), "claims": []}).encode()
    if file == STAGES[job.stage].numbers:  # what tables and claims read
        measure = {"kind": "images", "extractor": "embedded", "samples": 500}
        measure |= {"sampler": {"control": "closed form"}} if job.stage.endswith("_control") else {}
        values = dict.fromkeys(STAGES[job.stage].values or ("fid", "is"), 13.5)
        return json.dumps({"values": values, "measure": measure, "measure_id": "0" * 16}).encode()
    return f"{job.id} {file}".encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project of one row of one paper, with results of all that it shows."""
    root = tmp_path_factory.mktemp("made")
    for name in ("config", "data", "notebooks"):
        (root / name).symlink_to(ROOT / name) if name != "config" else _copy(ROOT / name, root / name)
    cut_to_one_row(Copy(root))
    plan = plan_of(root)
    for name in plan.demanded(*shown(plan, "detok")):
        make(plan, name)
    (root / "README.md").write_text(README)
    return root


def _copy(old: Path, new: Path) -> None:
    shutil.copytree(old, new, symlinks=True)


@pytest.fixture
def results(made, tmp_path) -> Path:
    _copy(made, tmp_path / "project")
    return tmp_path / "project"


def tesserae(root: Path, *arguments: str):
    fingerprint.forget()  # as a new process
    return CliRunner().invoke(main, ["--project", str(root), "--scale", SCALE, "publish", *arguments])


def bytes_of(root: Path) -> dict[str, bytes]:
    top = root / "docs/results" / SCALE
    return {str(file.relative_to(top)): file.read_bytes() for file in sorted(top.rglob("*")) if file.is_file()}


def test_pages_come_from_artifacts_and_nothing_else(results):
    assert tesserae(results).exit_code == 0
    found = bytes_of(results)
    plan = plan_of(results)
    tables, figures = (
        [name for name in shown(plan, "detok") if name.startswith(stage)] for stage in ("table", "figure")
    )
    pictures = {name for name in found if name.endswith(".png")}
    assert len(pictures) == len(figures) > 2
    assert all(len(found[name]) <= HEAVIEST for name in pictures)
    texts = {"README.md", "detok.md", "detok.claims.md", "detok.claims.json", "detok.fingerprints.json"}
    assert found.keys() - pictures == texts
    page = found["detok.md"].decode()
    assert all(f"Table of {name.split('/')[1]}" in page for name in tables)
    assert set(re.findall(r"\]\((detok/[^)]+)\)", page)) == pictures
    assert "| Joint noise | 2.65 | 944.2<br>control 1216.5 |" in page
    assert "SiT-B" not in pages.between(page, pages.FRONT)  # nothing of it was run
    assert COMMIT[:12] in page and "3 inconclusive, 27 not run" in page
    reported = page.partition("## Where published numbers and reports disagree")[2]
    assert "[Jiawei-Yang/DeTok#8](https://github.com/Jiawei-Yang/DeTok/issues/8)" in reported
    for text in found.values():
        assert str(results).encode() not in text and b"2026-01-05" not in text
    assert not [path for path in (results / "docs/results").iterdir() if path.name != SCALE]


def test_an_excerpt_shows_measurements_first_of_all_those_with_controls():
    line = dict.fromkeys(CSV_COLUMNS, "") | {"table": "Table 1", "direction": "lower", "kind": "images"}
    cells = [
        line | {"row": row, "column": column, "measured": number, "control": control, "kind": kind}
        for row in ("Ours", "Theirs")
        for column, kind, number, control in (
            ("S", "settings", "8", ""),
            ("T", "speed", "94.5" if row == "Ours" else "", ""),
            ("FID", "images", "13.5" if row == "Ours" else "", "20.5"),
        )
    ]
    head, _, *rows = pages.excerpt(cells).splitlines()
    assert head == "| Table 1 | FID ↓ | T ↓ |"
    assert rows == ["| Ours | 13.5<br>control 20.5 | 94.5 |"]  # of the other row, recipes say something and nothing ran


def test_the_same_artifacts_give_the_same_bytes(results):
    tesserae(results)
    first = bytes_of(results)
    tesserae(results, "--paper", "detok")
    assert bytes_of(results) == first


def test_the_readme_takes_its_block_from_the_index(results):
    tesserae(results)
    text = (results / "README.md").read_text()
    assert text.startswith("# A project") and text.endswith("More.\n") and "old" not in text
    assert f"(docs/results/{SCALE}/detok.md)" in text
    plan = plan_of(results)
    assert readme_block.block_in(plan) == readme_block.block(plan)
    (results / "README.md").write_text(text.replace("944.2", "944.3"))
    done = tesserae(results, "--check")
    assert done.exit_code == 1 and "README.md: its block of scale smoke is not what" in done.output
    (results / "README.md").write_text(text)
    index = results / "docs/results" / SCALE / "README.md"
    index.write_text(index.read_text() + "better")
    done = tesserae(results, "--check")
    assert done.exit_code == 1 and "README.md is not what the pages beside it say" in done.output


def test_check_is_content_with_what_was_just_published(results):
    tesserae(results)
    done = tesserae(results, "--check")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "docs/results/smoke is what the present code makes")


def test_check_needs_no_results(results):
    tesserae(results)
    (results / "results").rename(results / "elsewhere")
    assert tesserae(results, "--check").exit_code == 0


def test_check_names_the_setting_that_changed_and_what_follows_from_it(results):
    tesserae(results)
    recipe = results / "config/papers/detok.yaml"
    described = yaml.safe_load(recipe.read_text())
    described["generators"]["mar_b"]["label_dropout"] = 0.123
    recipe.write_text(yaml.safe_dump(described, sort_keys=False))
    done = tesserae(results, "--check")
    assert done.exit_code == 1
    assert "  generator/mar_b_joint\n" in done.output
    assert "model.label_dropout 0.1 → 0.123 (config/papers/detok.yaml: generators.mar_b.label_dropout)" in done.output
    assert "table/detok_table_1" in done.output.splitlines()[0]
    assert "figure/detok_reconstructions" not in done.output.splitlines()[0]  # of tokenizers alone
    refused = tesserae(results)
    assert refused.exit_code == 1 and "not what the present code makes" in refused.output
    before = bytes_of(results)
    assert tesserae(results, "--as-made").exit_code == 0
    assert bytes_of(results) == before  # the artifacts are the same
    assert tesserae(results, "--check").exit_code == 1


def test_check_names_the_code_that_changed(results):
    tesserae(results)
    file = fingerprints.file(results / "docs/results" / SCALE, "detok")
    told = json.loads(file.read_text())
    at, (module, _) = next(
        (at, line.split()) for at, line in enumerate(told["modules"]) if line.startswith("tesserae.tokenizers.detok ")
    )
    told["modules"][at] = f"{module} {'0' * 16}"
    changed = [name for name, kept in told["artifacts"].items() if at in told["codes"][kept["code"]]]
    for name in changed:
        told["artifacts"][name]["fingerprint"] = "0" * 16 + "-" + "0" * 16
    file.write_text(json.dumps(told))
    done = tesserae(results, "--check")
    assert done.exit_code == 1 and changed
    assert "    tokenizers/detok.py: changed" in done.output


def test_check_names_a_number_that_the_paper_prints_otherwise(results):
    tesserae(results)
    printed = results / "config/published/detok.csv"
    text = printed.read_text()
    assert "2.65" in text
    printed.write_text(text.replace("2.65", "2.66"))
    done = tesserae(results, "--check")
    assert "config/published/detok.csv changed" in done.output and done.exit_code == 1


def test_check_sees_an_edited_page_and_one_that_is_gone(results):
    tesserae(results)
    top = results / "docs/results" / SCALE
    (top / "detok.md").write_text("944 is 94")
    (top / "detok.claims.md").unlink()
    done = tesserae(results, "--check")
    assert done.exit_code == 1
    assert "detok.md is edited since it was published" in done.output
    assert "detok.claims.md is gone since it was published" in done.output


def test_check_notes_another_lock(results):
    tesserae(results)
    (results / "requirements.lock").write_text("numpy==2.4.6\ntorch==2.15.0 ; sys_platform == 'linux'\n")
    done = tesserae(results, "--check")
    assert done.exit_code == 0  # as everywhere, libraries are told of and make nothing stale
    assert "Note: torch 2.14.1 made what is published, requirements.lock has 2.15.0" in done.output


def test_nothing_is_written_of_what_is_not_whole(results):
    plan = plan_of(results)
    table = results / plan.folder("table/detok_table_1")
    manifest = (table / "manifest.json").read_bytes()
    (table / "manifest.json").unlink()
    for arguments in ((), ("--as-made",)):
        done = tesserae(results, *arguments)
        assert done.exit_code == 1 and "table/detok_table_1 is not there at scale smoke" in done.output
    (table / "manifest.json").write_bytes(manifest)
    (table / "table.md").write_text("a better number")
    for arguments in ((), ("--as-made",)):
        done = tesserae(results, *arguments)
        assert done.exit_code == 1 and "table/detok_table_1 is edited since made" in done.output
    assert not (results / "docs").exists()


def test_parts_made_from_different_versions_are_not_published_together(results):
    plan = plan_of(results)
    producer = next(name for name in plan.jobs["table/detok_table_1"].inputs.values())
    make(plan, producer, fingerprint="0" * 16 + "-" + "0" * 16)
    done = tesserae(results, "--as-made")
    assert done.exit_code == 1 and f"was made from another {producer} than is there" in done.output


# ---- so far -------------------------------------------------------------------------------------------------------


@pytest.fixture
def in_part(results) -> Path:
    """The project after a part of its run: a figure, the page and the verdicts are missing."""
    plan = plan_of(results)
    for name in ("figure/detok_samples", "claims/detok", "page/detok"):
        shutil.rmtree(results / plan.folder(name))
    return results


def so_far(root: Path, *arguments: str):
    done = tesserae(root, "--so-far", *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(bytes_of(root)["detok.fingerprints.json"])


@pytest.fixture(autouse=True)
def two_hours(monkeypatch) -> None:
    """What a job costs, so that no network is counted."""
    monkeypatch.setattr(prices, "hours", lambda plan, jobs: dict.fromkeys(jobs, 2.0))


def numbers_of(root: Path) -> set[str]:
    return set(json.loads(bytes_of(root)["detok.numbers.json"])["numbers"])


def test_what_is_there_is_published_with_what_the_rest_takes(in_part):
    assert tesserae(in_part).exit_code == 1  # the whole is not there
    told = so_far(in_part, "--paper", "detok")
    found, plan = bytes_of(in_part), plan_of(in_part)
    figures = sum(name.startswith("figure") for name in shown(plan, "detok"))
    page = found["detok.md"].decode()
    left = told["summary"]["so_far"]
    assert left == {"tables": 1, "figures": figures, "jobs": 1, "hours": 2.0, "unit": "CPU-hours"}
    said = f"numbers of 1 of 1 tables, and {figures - 1} of {figures} figures. Not run: 1 jobs, about 2 CPU-hours"
    assert said in page and "13.5" in page
    assert "detok/samples.png" not in found and "figure/detok_samples" not in told["shown"]
    claims = json.loads(found["detok.claims.json"])
    measured = [cell for record in claims["claims"] for cell in record["cells"] if cell["values"]]
    assert measured and {value for cell in measured for value in cell["values"]} == {13.5}
    assert f"| {figures - 1} of {figures} |" in found["README.md"].decode()
    assert tesserae(in_part, "--check").exit_code == 0


def test_of_a_paper_that_is_whole_nothing_is_left(results):
    left = so_far(results)["summary"]["so_far"]
    assert (left["jobs"], left["hours"]) == (0, 0)
    assert "Not run: 0 jobs" in bytes_of(results)["detok.md"].decode()


def test_a_number_that_is_not_there_leaves_its_cell(in_part):
    plan = plan_of(in_part)
    (sit,) = [name for name in plan.jobs if name.startswith("metrics/sit_b_joint")]
    shutil.rmtree(in_part / plan.folder(sit))
    so_far(in_part)
    page = bytes_of(in_part)["detok.md"].decode()
    assert sit not in numbers_of(in_part) and "not run yet" in page and "13.5" in page


def test_what_was_run_elsewhere_adds_to_what_is_published(in_part, tmp_path):
    """Of two machines each has one of the numbers; the second publishes both, and no picture is lost."""
    plan = plan_of(in_part)
    (sit,) = [name for name in plan.jobs if name.startswith("metrics/sit_b_joint")]
    (mar,) = [name for name in plan.jobs if name.startswith("metrics/mar_b_joint")]
    so_far(in_part)
    both = bytes_of(in_part)
    shutil.rmtree(in_part / "docs")
    kept = {name: tmp_path / name.replace("/", "-") for name in (sit, mar)}
    for name, place in kept.items():
        shutil.copytree(in_part / plan.folder(name), place)
    shutil.rmtree(in_part / plan.folder(mar))
    so_far(in_part)
    first = bytes_of(in_part)
    assert sit in numbers_of(in_part) and mar not in numbers_of(in_part)
    shutil.rmtree(in_part / plan.folder(sit))
    shutil.rmtree(in_part / "results/smoke/figure")
    shutil.copytree(kept[mar], in_part / plan.folder(mar))
    so_far(in_part)
    second = bytes_of(in_part)
    assert {sit, mar} <= numbers_of(in_part)
    pictures = [name for name in first if name.endswith(".png")]
    assert pictures and all(second[name] == both[name] for name in pictures)
    assert all(
        second[f"detok.{name}"] == both[f"detok.{name}"] for name in ("claims.json", "claims.md", "numbers.json")
    )
    assert tesserae(in_part, "--check").exit_code == 0


def test_numbers_of_other_code_do_not_stay(in_part):
    told = so_far(in_part)
    assert any(name.startswith("metrics/mar_b_joint") for name in told["shown"])
    recipe = in_part / "config/papers/detok.yaml"
    described = yaml.safe_load(recipe.read_text())
    described["generators"]["mar_b"]["label_dropout"] = 0.123
    recipe.write_text(yaml.safe_dump(described, sort_keys=False))
    done = tesserae(in_part, "--check")
    assert done.exit_code == 1 and "metrics/mar_b_joint" in done.output
    told = so_far(in_part)
    assert not any(name.startswith("metrics/mar_b_joint") for name in told["shown"])
    assert any(name.startswith("metrics/sit_b_joint") for name in told["shown"])


def test_the_check_writes_pages_again_from_their_numbers(in_part):
    """So it sees code that words tables or claims otherwise: here, a page of the same numbers with another word."""
    so_far(in_part)
    top = in_part / "docs/results" / SCALE
    page = top / "detok.md"
    page.write_text(page.read_text().replace("13.5", "13.6"))
    file = fingerprints.file(top, "detok")
    told = json.loads(file.read_text())
    told["files"]["detok.md"] = sha256(page)
    file.write_text(json.dumps(told))
    done = tesserae(in_part, "--check")
    assert done.exit_code == 1 and "detok.md would say something else now, of the same numbers" in done.output


def test_without_a_number_or_a_figure_nothing_is_published(results):
    shutil.rmtree(results / "results")
    done = tesserae(results, "--so-far")
    assert done.exit_code == 1 and "no figure of it is finished and no number measured" in done.output
    assert not (results / "docs").exists()


def test_claims_so_far_are_shown_and_nothing_is_written(in_part):
    before = sorted(str(path) for path in in_part.rglob("*") if ".tesserae" not in path.parts)
    fingerprint.forget()
    asked = ["--project", str(in_part), "--scale", SCALE, "claims", "--so-far", "--json", "detok"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.output)
    assert found["summary"]["not run"] == len(found["claims"]) > 20  # one row: nothing to compare it with
    assert sorted(str(path) for path in in_part.rglob("*") if ".tesserae" not in path.parts) == before


def test_what_was_never_published_is_said(results):
    done = tesserae(results, "--check")
    assert done.exit_code == 1 and "`make publish` writes it" in done.output
    done = tesserae(results, "--paper", "nothing")
    assert done.exit_code == 1 and "there are detok" in done.output


def test_pictures_become_small_and_stay_the_same(tmp_path):
    heavy, light = tmp_path / "heavy.png", tmp_path / "light.png"
    Image.effect_noise((2400, 1000), 90).save(heavy)
    Image.new("RGBA", (300, 200), (10, 200, 30, 255)).save(light)
    small = shrink(heavy)
    assert len(small) <= HEAVIEST and small == shrink(heavy)
    with Image.open(io.BytesIO(small)) as opened:
        assert opened.width <= WIDEST and abs(opened.width / opened.height - 2.4) < 0.02
    assert shrink(light) == light.read_bytes()


def test_the_readme_says_what_is_published():
    """Of this repository: its block is what docs/results has; whether that lags behind the code, `--check` tells."""
    scale = re.search(r"<!-- results of (\w+): ", (ROOT / "README.md").read_text())[1]
    plan = read_plan(ROOT, scale)
    block = readme_block.block(plan)
    if block is None:
        pytest.skip(f"nothing is published at scale {scale} yet")
    assert readme_block.block_in(plan) == block
