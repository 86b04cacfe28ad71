"""Tables and figures from what other stages left, over the seeds of a scale."""

import json

import numpy as np
import pytest

from tesserae.config.figures import module_of
from tesserae.reporting import published, style, table_csv
from tesserae.reporting.seeds import SeedError
from tesserae.stages import figure, table
from tests.reporting.synthetic import metrics, search
from tests.stages.works import work

PRINTED = (
    "Table 1,g,One,s,MAR FID,lower,3.31,\nTable 1,g,Two,s,MAR FID,lower,2.65,\nTable 1,g,Cited,s,MAR FID,lower,1.42,\n"
    "Table 1,g,One,s,MAR w/ CFG FID,lower,3.31,\nTable 1,g,Two,s,MAR w/ CFG FID,lower,,\n"
)


@pytest.fixture
def printed(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_text(",".join(published.COLUMNS) + "\n" + PRINTED)
    return path


def left(folder, artifacts: dict[str, dict], name: str) -> dict:
    """Folders of artifacts with one JSON file each."""
    for artifact, content in artifacts.items():
        (folder / artifact).mkdir(parents=True)
        (folder / artifact / name).write_text(json.dumps(content))
    return {artifact: folder / artifact for artifact in artifacts}


def test_a_table_shows_means_over_the_seeds_and_says_what_is_not_run(tmp_path, printed):
    found = {"metrics/one": metrics(40.0, 2.0), "metrics/one.seed2": metrics(42.0, 2.0)}
    spec = {
        **{"source": "Table 1", "title": "T", "scale": "smoke", "seeds": [1, 2]},
        "rows": [["one", "One"], ["two", "Two"]],
        "published_rows": ["Cited"],
        "columns": [{"name": "MAR FID", "direction": "lower", "value": "fid", "artifact": "metrics/{row}"}],
        "missing": [{"row": "two", "column": "MAR FID", "reason": "too dear"}],
    }
    job = work("table", tmp_path, spec, inputs=left(tmp_path, found, "metrics.json"), published=printed)
    assert table.run(job) == {"One/MAR FID": 41.0}
    assert json.loads((job.out / "metrics.json").read_text()) == {"One": {"MAR FID": 41.0}}
    frame = table_csv.read_csv(job.out / "table.csv")
    assert frame["row"].tolist() == ["One", "Two", "Cited"]
    assert frame["measured"].tolist()[0] == 41.0 and frame["measured"].isna().tolist() == [False, True, True]
    assert (frame["sd"][0], frame["n"][0]) == (pytest.approx(2**0.5), 2)
    assert "| Two | 2.65 | too dear |" in (job.out / "table.md").read_text()
    with pytest.raises(KeyError, match="metrics/two"):
        table.run(work("table", tmp_path, spec | {"missing": []}, inputs=job.inputs, published=printed))


def test_rows_of_different_numbers_of_seeds_say_so(tmp_path, printed):
    found = {
        "metrics/one": metrics(40.0, 2.0),
        "metrics/one.seed2": metrics(42.0, 2.0),
        "metrics/two": metrics(44.0, 2.0),
    }
    spec = {
        **{"source": "Table 1", "title": "T", "scale": "smoke", "seeds": [1, 2], "seeds_of": {"metrics/two": [1]}},
        "rows": [["one", "One"], ["two", "Two"]],
        "columns": [{"name": "MAR FID", "direction": "lower", "value": "fid", "artifact": "metrics/{row}"}],
    }
    job = work("table", tmp_path, spec, inputs=left(tmp_path, found, "metrics.json"), published=printed)
    assert table.run(job) == {"One/MAR FID": 41.0, "Two/MAR FID": 44.0}
    assert table_csv.read_csv(job.out / "table.csv")["n"].tolist()[:2] == [2, 1]
    text = (job.out / "table.md").read_text()
    assert "means over 1 or 2 seeds" in text
    assert "Numbers differ in how many seeds they have. 1 seed: Two; 2 seeds: One." in text


def test_a_number_that_could_not_be_measured_has_a_reason_and_no_other_seed_stands_for_it(tmp_path, printed):
    failed = metrics(40.0, 2.0)
    failed["values"].pop("fid")
    found = {"metrics/one": metrics(40.0, 2.0), "metrics/one.seed2": failed | {"without": {"fid": "diverged, of 2"}}}
    spec = {
        **{"source": "Table 1", "title": "T", "scale": "smoke", "seeds": [1, 2]},
        "rows": [["one", "One"]],
        "columns": [{"name": "MAR FID", "direction": "lower", "value": "fid", "artifact": "metrics/{row}"}],
    }
    job = work("table", tmp_path, spec, inputs=left(tmp_path, found, "metrics.json"), published=printed)
    assert table.run(job) == {}
    text = (job.out / "table.md").read_text()
    assert "| One | 3.31 | diverged, of 2 |" in text and "- No number (diverged, of 2): One." in text
    assert "Not run at scale" not in text
    (job.inputs["metrics/one.seed2"] / "metrics.json").write_text(json.dumps(failed))
    with pytest.raises(SeedError, match="different values"):
        table.run(job)


@pytest.fixture
def drawn(monkeypatch):
    saved = []
    monkeypatch.setattr(style, "save", lambda figure, stem, formats=(): saved.append(figure) or [])
    return saved


def drawing(draw: str, **changes) -> dict:
    plain = {"scale": "smoke", "seeds": [1, 2], "rows": [["one", "One"], ["two", "Two"]], "published": None}
    told = {"draw": draw, "module": module_of(draw)}
    return plain | told | {"x": None, "series": None, "source": "Figure 4", "missing": []} | changes


def test_figures_of_searches_read_all_seeds(tmp_path, drawn, printed):
    found = {f"search/one{seed}": search({1.0: 50.0 + k, 2.0: 40.0 + k}, 2.0) for k, seed in enumerate(("", ".seed2"))}
    inputs = left(tmp_path, found, "search.json")
    inputs |= left(
        tmp_path, {"metrics/one": metrics(30.0, 2.0), "metrics/one.seed2": metrics(32.0, 2.0)}, "metrics.json"
    )
    roles = {"search": "search/{row}", "metrics": "metrics/{row}"}
    told = {"inputs": {"MAR": roles}, "missing": [{"row": "two", "column": "MAR: search", "reason": "too dear"}]}
    figure.run(work("figure", tmp_path, drawing("sweep", **told), inputs=inputs))
    assert [bar.get_height() for bar in drawn[0].axes[0].patches] == [40.5]
    assert "Not run: Two (too dear)." in " ".join(drawn[0].get_supxlabel().split())
    x = {"label": "gamma", "values": {"one": 1.0, "two": 2.0}}
    figure.run(work("figure", tmp_path, drawing("sweep", x=x, series={"a": ["one", "two"]}, **told), inputs=inputs))
    assert np.asarray(drawn[1].axes[0].lines[0].get_xydata()).tolist() == [[1.0, 40.5]]
    spec = drawing("guidance_curves", published="Table 1", **told)
    figure.run(work("figure", tmp_path, spec, inputs=inputs, published=printed))
    shown, measured, curves, _ = drawn[2].axes
    assert [bar.get_height() for bar in shown.patches] == [3.31]
    assert [bar.get_height() for bar in measured.patches] == [31.0]
    assert np.asarray(curves.lines[0].get_xydata()).tolist() == [[1.0, 50.5], [2.0, 40.5]]
    figure.run(work("figure", tmp_path, drawing("guidance_curves", **told), inputs=inputs))
    assert len(drawn[3].axes) == 2


def test_sheets_show_the_first_seed_and_name_what_is_not_run(tmp_path, drawn):
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8, 3)).astype(np.uint8)
    inputs = {}
    for artifact, rebuilt in zip(("one", "one.seed2"), images, strict=True):
        inputs[artifact] = tmp_path / artifact
        inputs[artifact].mkdir()
        np.savez(inputs[artifact] / "images.npz", originals=images[0], reconstructions=rebuilt)
        np.save(inputs[artifact] / "preview.npy", rebuilt)
    for draw, group, role in (("qualitative", "tokenizers", "images"), ("samples_sheet", "generators", "samples")):
        missing = [{"row": "two", "column": f"{group}: {role}", "reason": "too dear"}]
        spec = drawing(draw, inputs={group: {role: "{row}"}}, missing=missing)
        figure.run(work("figure", tmp_path, spec, inputs=inputs))
    for sheet in (one.axes[0] for one in drawn):
        assert [text.get_text() for text in sheet.get_yticklabels()][-2:] == ["One", "Two"]
        (said,) = [text for text in sheet.texts if text.get_text() == "too dear"]
        assert said.get_position()[1] == sheet.get_yticks()[-1]
        pixels = sheet.images[0].get_array()
        end = np.flatnonzero(pixels[..., 3].any(axis=1))[-1]  # the lowest line with an image
        assert (pixels[end, -1, :3] == images[0, 1, -1, -1]).all() and not pixels[end + 1 :].any()
        assert sheet.get_yticks()[-2] < end < sheet.get_yticks()[-1]
