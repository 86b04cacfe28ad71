"""A scale that leaves most rows out: every table, figure and claim keeps its shape and says why, in every place.

The project's own papers are planned with a few rows, and drawn from made-up numbers of just what that plan makes.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tesserae.config.figures import KINDS, module_of
from tesserae.config.project import read_project
from tesserae.config.stages import SEARCHED, STAGES
from tesserae.lineage import cells as mapping
from tesserae.stages import claims, figure, table
from tesserae.workflow.graph.job import Job
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.conftest import ROOT
from tests.reporting.drawings import texts
from tests.reporting.synthetic import control, metrics, search
from tests.stages.works import work

WHY = "at desk"
CONTROL_STAGES = ("generation_control", "image_control", "reconstruction_control")
KEPT = {
    *(f"detok_sb_{row}" for row in ("baseline", "masking", "latent", "joint")),
    *("detok_bb_extended", "detok_bb_baseline"),
    *(f"{kind}_b_{row}" for kind in ("mar", "sit") for row in ("baseline", "joint", "extended")),
    *("siglip_sae", "concepttok_bb64", "llamagen_b_bb64"),
}
RNG = np.random.default_rng(0)


def plan(root: Path, kept: set[str] | None) -> dict[str, Job]:
    """All jobs of pocket with the rows that are `kept`; None: with all that can be trained."""
    for name in ("data", "notebooks", "workflow"):
        (root / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", root / "config")
    here = read_project(ROOT, "pocket")
    trained = {*here.saes, *here.tokenizers, *here.generators, *here.decoded}
    trained |= {name for name, reason in here.omitted.items() if reason != "at paper and released"}
    groups = [] if kept is None else [{"reason": WHY, "recipes": sorted(trained - kept)}]
    edit(root, "scales/pocket.yaml", lambda c: c.update(omit=[c["omit"][0], *groups]))
    return jobs(read_project(root, "pocket"))


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> dict[str, Job]:
    return plan(tmp_path_factory.mktemp("few"), KEPT)


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> dict[str, Job]:
    return plan(tmp_path_factory.mktemp("all"), None)


def ids(planned: dict[str, Job], stage: str) -> list[Job]:
    return [job for job in planned.values() if job.stage == stage]


def pictures(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 8, 8, 3)).astype(np.uint8)


SHARED = {"originals": pictures(2), "images": pictures(2, 3), "concepts": np.array([3, 5])}


def content(stage: str, file: str, values: set[str]) -> object:
    """Made-up content of a stage's file: JSON, or arrays by name; what tokenizers share is the same for all."""
    if file == "search.json":
        return search({1.0: 60.0, 2.0: 50.0, 3.0: 55.0}, 2.0)
    if file == "metrics.json" and stage in ("probe", "probe_control"):
        record = {
            "probe": "classes",
            "reference": "emoji val",
            "samples": 9,
            "chance": "1",
            "weights": "of the best epoch",
        }
        record |= {"kind": "probe", "prompt": "none", "latents": {"probe": "codes"}.get(stage, "patches")}
        return {"values": dict.fromkeys(STAGES[stage].values, 1.5), "measure": record, "measure_id": "ab"}
    if file == "metrics.json" and stage in ("task_score", "task_control"):
        record = {"kind": "task", "task_network": "U-Net", "reference": "land val", "samples": 9}
        record |= {"latents": "patches"} if stage == "task_control" else {}
        return {"values": dict.fromkeys(STAGES[stage].values, 1.5), "measure": record, "measure_id": "ab"}
    if file == "metrics.json" and stage in ("metrics", "reconstruction", *CONTROL_STAGES):
        found = control(50.0, 2.0) if stage in CONTROL_STAGES else metrics(50.0, 2.0)
        return found | {
            "values": found["values"] | dict.fromkeys({*values, *STAGES[stage].values} - found["values"].keys(), 1.5)
        }
    if file == "metrics.json":
        told = dict.fromkeys((*STAGES[stage].values, *sorted(values)), 1.5)
        more = {
            "information_gain": {"curves": {"avgig": [0.3, 0.2]}},
            "correlations": {
                "by_seed": {name: [0.5, 0.6] for name in ("rfid", "avgig", "mc")},
                "rows": [
                    {"numbers": {key: [1.5, 1.5] for key in ("against", "rfid", "avgig", "mc")}} for _ in range(4)
                ],
            },
        }.get(stage, {})
        return {
            **more,
            "values": told,
            "measure": {"kind": "counted", "counted": stage, "first": 3, "samples": 9},
            "measure_id": "ab",
        }
    concepts = {"concepts": SHARED["concepts"], "names": np.array(["bird", ""]), "prompted": np.array(False)}
    levels = {"taus": np.array([0.0, 0.5]), "ratios": np.array([0.0, 0.5]), "gamma": np.array(3.0)}
    return {
        "preview.npy": pictures(4),
        "images.npz": {"originals": SHARED["originals"], "reconstructions": pictures(2)},
        "denoising.npz": {
            **{**levels, "count": np.array(9), "originals": SHARED["originals"]},
            **{"images": pictures(2, 2), "psnr": np.array([20.0, 9.0])},
            **{"masked_images": pictures(2, 2), "masked_psnr": np.array([20.0, 9.0])},
        },
        "examples.npz": {
            **{**concepts, "images": SHARED["images"], "fires": np.zeros((2, 3, 4, 4), bool)},
            **{"found": pictures(2, 3), "has": np.ones((2, 3), bool), "frequency": np.array([0.1, 0.2])},
        },
        "shown.npz": {
            **{"originals": SHARED["originals"], "reconstructions": pictures(2)},
            **{"true": np.ones((2, 8, 8), np.uint8), "found": np.zeros((2, 8, 8), np.uint8)},
        },
        "paths.npz": {"losses": np.full((3, 5), 0.7)},
        "clusters.npz": {
            **{**concepts, "labels": np.array([0, 1, 1]), "classes": np.array([0, 1, 1])},
            **{"points": np.zeros((3, 2), np.float32), "frequency": np.array([0.1, 0.2])},
        },
    }[file]


def made(job: Job, folder: Path, values: dict[str, set[str]]) -> dict[str, Path]:
    """Folders of all that a job reads, with just the files that it declares."""
    for name in job.inputs.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in job.reads[name]:
            found = content(name.partition("/")[0], file, values.get(name, set()))
            if name.startswith("task_control/") and name.endswith("-real"):  # a row of its own, of all of an image
                found["measure"].pop("latents")
            if file.endswith(".json"):
                (folder / name / file).write_text(json.dumps(found))
            elif isinstance(found, dict):
                np.savez(folder / name / file, **found)
            else:
                np.save(folder / name / file, found)
    return {role: folder / name for role, name in job.inputs.items()}


def job_of(job: Job, folder: Path, values: dict[str, set[str]] | None = None):
    sources = {role: ROOT / path for role, path in job.sources.items()}
    return work(job.stage, folder, job.spec, inputs=made(job, folder, values or {}), **sources)


def shape(table: Job) -> tuple[list[list[str]], list[tuple[str, str, str]]]:
    """Rows and columns of a table, but for controls: a column without numbers has none."""
    foot = table.spec.get("control_rows", [])
    columns = [(column["name"], column["artifact"], column["value"]) for column in table.spec["columns"]]
    return [row for row in table.spec["rows"] if row[0] not in foot], columns


def test_only_what_is_kept_is_trained(planned):
    trained = {job.recipe for job in planned.values() if STAGES[job.stage].trains}
    assert trained == KEPT


def test_every_table_keeps_its_shape_and_says_why_in_its_cells(planned, full, tmp_path):
    for job in ids(planned, "table"):
        values: dict[str, set[str]] = {}
        for _, _, source in mapping.sources(job.spec):
            for name in source.artifacts:
                values.setdefault(name, set()).add(source.value)
        told = job_of(job, tmp_path, values)
        table.run(told)
        assert shape(job) == shape(full[job.id])
        left_out = [cell for cell in job.spec["missing"] if cell["reason"] == WHY]
        markdown = (told.out / "table.md").read_text()
        assert sum(line.count(f"| {WHY} ") for line in markdown.splitlines()) == len(left_out), job.id
        html = (told.out / "table.html").read_text()
        assert html.count(f'title="{WHY}">{WHY}</td>') == len(left_out)
        assert (told.out / "table.tex").read_text().count(f"& {WHY}") == len(left_out)
        assert bool(left_out) == (f"Not run at scale pocket ({WHY}): " in html), job.id
    assert any(job.spec["missing"] for job in ids(planned, "table"))


def test_every_figure_keeps_its_shape_and_says_why_in_its_places(planned, full, tmp_path, drawn):
    kinds = set()
    for job in ids(planned, "figure"):
        figure.run(job_of(job, tmp_path))
        assert job.spec["rows"] == full[job.id].spec["rows"]
        told = texts(drawn[-1]) + [axes.get_title(loc="left").replace("\n", " ") for axes in drawn[-1].axes]
        told.append(drawn[-1].get_supxlabel())
        if any(cell["reason"] == WHY for cell in job.spec["missing"]):
            assert any(WHY in text for text in told), job.id
        drawn[-1].canvas.draw()
        kinds.add(job.spec["draw"])
    assert kinds >= KINDS.keys() - {"concept_images"}


# Kinds with panels of all rows together, or of one row each.
SAID_ONCE = ("guidance_curves", "quality_and_speed", "token_sweep", "truncation", "drawing_sweep", "bottleneck")
SAID_ONCE += ("swap_curves", "descents_and_paths")


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_of_any_kind_of_which_nothing_is_run_is_empty_places(kind, tmp_path, drawn):
    roles = {role: f"{source.stage}/{{row}}" for role, source in KINDS[kind].roles.items() if not source.optional}
    groups = [KINDS[kind].group] if KINDS[kind].group else ["MAR", "SiT"]
    rows = [["one", "One"], ["two", "Two"]]
    spec = {
        **{"draw": kind, "module": module_of(kind), "scale": "pocket", "seeds": [1], "source": "Figure 1"},
        **{"title": "A figure"},
        **{
            "rows": rows,
            "inputs": dict.fromkeys(groups, roles),
            "published": None,
            "published_rows": [],
            "series": None,
            "pair": None,
        },
        "x": {"label": "ratio", "values": {"one": 0.3, "two": 0.7}},
        "missing": [
            {"row": row, "column": f"{group}: {role}", "reason": WHY}
            for group in groups
            for role in roles
            for row, _ in rows
        ],
    }
    figure.run(work("figure", tmp_path, spec))
    (made,) = drawn
    made.canvas.draw()
    panels = [axes for axes in made.axes if axes.get_visible()]
    said = [text for text in texts(made) if text == WHY]
    assert len(said) == len(panels) * (1 if kind in SAID_ONCE else len(rows))
    assert "One" in " ".join(
        [label.get_text() for axes in panels for label in axes.get_yticklabels()]
        + [axes.get_title(loc="left") for axes in panels]
        + [made.get_supxlabel()]
        + [text.get_text() for legend in made.legends for text in legend.get_texts()]
    )


def test_claims_on_what_is_left_out_are_not_run_for_that_reason(planned, tmp_path):
    for job in ids(planned, "claims"):
        values: dict[str, set[str]] = {}
        for cell in job.spec["cells"]:
            for name in cell.get("artifacts", ()):
                values.setdefault(name, set()).add(cell["value"])
        told = job_of(job, tmp_path, values)
        claims.run(told)
        left_out = {
            (cell["table"], cell["row"], cell["column"]) for cell in job.spec["cells"] if cell.get("reason") == WHY
        }
        assert left_out
        for record in json.loads((told.out / "claims.json").read_text())["claims"]:
            about = {(cell["table"], cell["row"], cell["column"]) for cell in record["cells"]}
            if about & left_out and not record.get("studies"):  # a study is of the tokenizers that are run
                assert record["verdict"] == "not run" and WHY in record["reason"], record["id"]


def test_searches_are_made_up_of_what_figures_read():
    assert set(SEARCHED) <= content("search", "search.json", set())["points"][0].keys()
