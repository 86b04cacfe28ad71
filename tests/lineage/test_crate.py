"""The RO-Crate of an artifact: valid for the public validator, true, and no more than what was asked for."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from tesserae.lineage import code, crate, crate_graph, fingerprint
from tesserae.lineage import manifest as manifests
from tests.lineage import rocrate_cache

SCALE = "toy"
TARGET = "table/one"
UPSTREAM = {"dataset/emoji", *("tokenizer/small", "metrics/small"), "metrics/small.seed2", TARGET}
TABLE = "row,column,published,measured,sd,n\nSmall,FID,2.43,3872.027049,0.5,2\nLarge,FID,2.10,,,\n"
SPEC = {"rows": [["small", "Small"]], "published_rows": ["Large"], "seeds": [1, 2]}
SPEC |= {"columns": [{"name": "FID", "value": "fid", "artifact": "metrics/{row}"}]}
WEIGHTS = {"file": "small/kl16.ckpt", "sha256": hashlib.sha256(b"published").hexdigest(), "bytes": 9}


class Toy:
    """A project folder with six made-up artifacts: a table of two seeds with all upstream of it, and a figure."""

    def __init__(self, root: Path):
        self.root, self.records = root, {}
        self.write("Snakefile", "rule all:\n")
        self.write("LICENSE", "MIT License\n")
        self.write("workflow/rules/all.smk", "# rules\n")
        self.write("config/config.yaml", "scale: toy\n")
        self.write("config/published/one.csv", "table,published\n")
        self.write("data/emoji/emoji.npz", "pictures")
        self.write("data/emoji/LICENSE-OFL.txt", "SIL Open Font License\n")
        self.make("dataset/emoji", {"images.npy": "i" * 3000}, sources=["data/emoji/emoji.npz"], seed=0)
        self.make("tokenizer/small", {"weights.safetensors": "w" * 5000}, ["dataset/emoji"], seed=1, weights=WEIGHTS)
        for name, fid in (("small", 3872.5), ("small.seed2", 3871.5)):
            self.make(f"metrics/{name}", {"metrics.json": "{}"}, ["tokenizer/small"], metrics={"fid": fid})
        measured = ["metrics/small", "metrics/small.seed2"]
        self.make(TARGET, {"table.csv": TABLE}, measured, sources=["config/published/one.csv"], **SPEC)
        self.make("figure/one", {"figure.png": "p"}, ["tokenizer/small"])

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def make(
        self,
        artifact: str,
        outputs: dict[str, str],
        inputs=(),
        sources=(),
        seed=None,
        metrics=None,
        weights=None,
        **told,
    ) -> None:
        stage, recipe = artifact.split("/")
        folder = f"results/{SCALE}/{artifact}"
        files = [self.write(f"{folder}/{name}", text) for name, text in outputs.items()]
        texts = {f"tesserae.stages.{stage}": f'"""Make a {stage}."""\nSTAGE = {stage!r}\n', "tesserae": ""}
        modules = {name: fingerprint.meaning(name, text.encode()).digest for name, text in texts.items()}
        for name, digest in modules.items():
            self.write(str(code.module_file(Path("results") / SCALE, name, digest)), texts[name])
        sources = [manifests.describe(self.root / path, self.root) for path in sources]
        spec = {"size": 32, "name": recipe, **told}
        own = fingerprint.own_digest(modules, {}, spec, {one["path"]: one["sha256"] for one in sources}, 1)
        read = {name: self.records[name] for name in inputs}
        minute = len(self.records)
        self.records[artifact] = {
            "manifest": 2,
            "artifact": artifact,
            "stage": stage,
            "recipe": recipe,
            "scale": SCALE,
            "papers": [],
            "engine": 1,
            "fingerprint": fingerprint.chain(own, [record["fingerprint"] for record in read.values()]),
            "spec": spec,
            "origins": {},
            "seed": seed,
            "modules": modules,
            "equivalents": {},
            "inputs": {
                name: {"fingerprint": record["fingerprint"], "files": record["outputs"]}
                for name, record in read.items()
            },
            "sources": sources,
            "weights": weights,
            "outputs": [manifests.describe(file, self.root) for file in files],
            "environment": {"python": "3.11.7", "platform": "Linux", "libraries": {"numpy": "2.4.6"}},
            "hardware": {"host": "a", "processor": "b", "cores": 2, "gpu": None, "scheduler_job": None},
            "git": {"commit": "ab" * 20, "dirty": True},
            "started": f"2026-01-02T03:{minute:02d}:00.000+00:00",
            "ended": f"2026-01-02T03:{minute:02d}:30.500+00:00",
            "seconds": 30.5,
            "metrics": metrics or {},
            "peak_mb": 100,
            "mlflow": {"experiment": "shared/toy", "tag": {}},
        }
        self.save(artifact)

    def save(self, artifact: str) -> None:
        manifests.write(self.root / "results" / SCALE / artifact / manifests.NAME, self.records[artifact])


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path / "project")


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return rocrate_cache.prime(tmp_path_factory.mktemp("validator") / "cache")


def entities(document: dict) -> dict[str, dict]:
    return {entity["@id"]: entity for entity in document["@graph"]}


def ids(value) -> set[str]:
    return {one["@id"] for one in (value if isinstance(value, list) else [value])}


def document_of(folder: Path) -> dict:
    return json.loads((folder / crate_graph.METADATA).read_text())


# ---- valid --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"limit": 2000}, {"copy": False}], ids=["whole", "light", "without files"])
def test_the_public_validator_finds_nothing(toy, cache, tmp_path, options):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate", **options)
    assert rocrate_cache.issues(folder, cache) == []


def test_the_whole_scale_is_valid_and_has_every_artifact(toy, cache, tmp_path):
    folder = crate.write(toy.root, SCALE, None, tmp_path / "crate")
    assert rocrate_cache.issues(folder, cache) == []
    jobs = {key.removeprefix("#job/") for key in entities(document_of(folder)) if key.startswith("#job/")}
    assert jobs == set(toy.records)


@pytest.mark.parametrize(
    "key, link",
    [
        ("#job/metrics/small", "instrument"),
        ("#step/metrics", "workExample"),
        ("#organize", "result"),
        ("./", "mainEntity"),
        ("#memory/metrics/small", "propertyID"),
    ],
)
def test_the_validator_reports_a_missing_link(toy, cache, tmp_path, key, link):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate")
    document = document_of(folder)
    del entities(document)[key][link]
    (folder / crate_graph.METADATA).write_text(json.dumps(document))
    assert rocrate_cache.issues(folder, cache)


def test_the_validator_reports_a_missing_file(toy, cache, tmp_path):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate")
    (folder / "results/toy/tokenizer/small/weights.safetensors").unlink()
    assert any("weights.safetensors" in issue for issue in rocrate_cache.issues(folder, cache))


@pytest.mark.filterwarnings("error")
def test_it_opens_with_the_public_library(toy, tmp_path):
    opened = ROCrate(crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate"))
    assert opened.mainEntity.id == "Snakefile"
    assert opened.dereference("results/toy/table/one/table.csv")["sha256"] == hashlib.sha256(TABLE.encode()).hexdigest()


# ---- true ---------------------------------------------------------------------------------------------------------


def test_it_names_every_output_with_its_hash_and_holds_its_bytes(toy, tmp_path):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate")
    found = entities(document_of(folder))
    for artifact in UPSTREAM:
        for output in toy.records[artifact]["outputs"]:
            entity = found[output["path"]]
            assert (entity["sha256"], entity["contentSize"]) == (output["sha256"], str(output["bytes"]))
            assert hashlib.sha256((folder / output["path"]).read_bytes()).hexdigest() == output["sha256"]


def test_a_target_brings_exactly_its_upstream(toy, tmp_path):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate")
    found = entities(document_of(folder))
    assert {key.removeprefix("#job/") for key in found if key.startswith("#job/")} == UPSTREAM
    assert not [key for key in found if "figure" in key]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - {crate_graph.METADATA, crate.PREVIEW} == ids(found["./"]["hasPart"])
    assert "data/emoji/LICENSE-OFL.txt" in there


def test_a_job_says_what_it_was_made_from(toy):
    found = entities(crate.crate(toy.root, SCALE, [TARGET]))
    record, job = toy.records["tokenizer/small"], found["#job/tokenizer/small"]
    assert "results/toy/dataset/emoji/images.npy" in ids(job["object"])
    assert ids(job["result"]) == {"results/toy/tokenizer/small/weights.safetensors"}
    assert job["startTime"] == record["started"] and job["endTime"] == record["ended"]
    told = {found[key]["name"]: found[key].get("value") for key in ids(job["object"])}
    assert json.loads(told["spec"]) == record["spec"]
    assert told["fingerprint"] == record["fingerprint"] and told["seed"] == "1"
    tool = found[job["instrument"]["@id"]]
    assert tool["name"] == "tesserae.stages.tokenizer" and tool["description"] == "Make a tokenizer."
    assert {found[key]["name"] for key in ids(tool["softwareRequirements"])} == {"Python", "numpy"}
    around = {found[key]["name"]: json.loads(found[key]["value"]) for key in ids(job["additionalProperty"])}
    assert around == {
        "software environment": record["environment"],
        "hardware": record["hardware"],
        "git": record["git"],
    }
    collections = [found[key] for key in ids(job["object"]) if found[key]["@type"] == "Collection"]
    assert [{found[key]["name"] for key in ids(one["hasPart"])} for one in collections] == [set(record["modules"])]


def test_published_weights_are_used_and_described_but_not_there(toy, tmp_path):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate")
    found = entities(document_of(folder))
    taken = found[f"#weights/{WEIGHTS['sha256']}"]
    assert (taken["alternateName"], taken["sha256"], taken["contentSize"]) == (WEIGHTS["file"], WEIGHTS["sha256"], "9")
    assert [key for key, one in found.items() if taken["@id"] in str(one.get("object"))] == ["#job/tokenizer/small"]
    assert not list(folder.rglob("kl16*"))


def test_other_published_weights_than_were_taken(toy, tmp_path, monkeypatch):
    file = toy.write("weights/small/kl16.ckpt", "published")
    document = crate.crate(toy.root, SCALE, [TARGET])
    monkeypatch.setenv("TESSERAE_WEIGHTS", str(file.parents[1]))
    assert crate.crate(toy.root, SCALE, [TARGET]) == document  # whether they are here or not
    flip(file)
    refused(toy, tmp_path, r"kl16\.ckpt is not the published file that tokenizer/small took")


def test_the_seed_zero_is_said(toy):
    found = entities(crate.crate(toy.root, SCALE, [TARGET]))
    assert found["#seed/dataset/emoji"]["value"] == "0"


def test_licences(toy):
    found = entities(crate.crate(toy.root, SCALE, [TARGET]))
    assert found["./"]["license"] == {"@id": crate_graph.MIT}
    for path in ("data/emoji/emoji.npz", "results/toy/dataset/emoji/images.npy"):
        assert crate_graph.OFL in ids(found[path]["license"])
    assert "license" not in found["results/toy/table/one/table.csv"]


def test_what_is_left_out_is_described(toy, tmp_path):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate", limit=4000)
    found = entities(document_of(folder))
    path = "results/toy/tokenizer/small/weights.safetensors"
    assert not (folder / path).exists() and path not in found
    assert found[f"#{path}"]["alternateName"] == path
    assert found[f"#{path}"]["sha256"] == toy.records["tokenizer/small"]["outputs"][0]["sha256"]
    assert f"#{path}" in ids(found["#job/tokenizer/small"]["result"]) & ids(found["#job/metrics/small"]["object"])
    assert (folder / "results/toy/dataset/emoji/images.npy").exists()
    assert "Described, not included" in (folder / crate.PREVIEW).read_text()


def test_without_files_code_and_configuration_are_there(toy, tmp_path):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate", copy=False)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"Snakefile", "LICENSE", "workflow/rules/all.smk", "config/config.yaml"} <= there
    assert {path.split("/")[2] for path in there if path.startswith("results/")} == {"code"}


def test_equal_records_give_equal_documents(toy, tmp_path):
    again = Toy(tmp_path / "elsewhere" / "copy")
    document = crate.crate(toy.root, SCALE, [TARGET])
    assert crate.crate(again.root, SCALE, [TARGET]) == document
    assert str(tmp_path) not in json.dumps(document)
    one = crate.write(toy.root, SCALE, [TARGET], tmp_path / "one")
    two = crate.write(again.root, SCALE, [TARGET], tmp_path / "two")
    assert document_of(one) == document
    for path in one.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def test_a_source_that_changed_since_comes_from_the_code_store(toy):
    entry = toy.records[TARGET]["sources"][0]
    kept = code.source_file(Path("results") / SCALE, entry["sha256"], ".csv")
    toy.write(str(kept), (toy.root / entry["path"]).read_text())
    toy.write(entry["path"], "table,published\nedited\n")
    found = entities(crate.crate(toy.root, SCALE, [TARGET]))
    assert kept.as_posix() in ids(found[f"#job/{TARGET}"]["object"])
    assert entry["path"] not in ids(found[f"#job/{TARGET}"]["object"])
    assert found[kept.as_posix()]["alternateName"] == entry["path"]


# ---- refused ------------------------------------------------------------------------------------------------------


def flip(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[0] ^= 1
    file.write_bytes(raw)


def refused(toy: Toy, tmp_path: Path, says: str, **options) -> None:
    """Neither the document nor a folder is made, and the error says what it is about."""
    with pytest.raises(crate.CrateError, match=says):
        crate.crate(toy.root, SCALE, [TARGET])
    with pytest.raises(crate.CrateError, match=says):
        crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


@pytest.mark.parametrize("options", [{}, {"limit": 10}, {"copy": False}], ids=["whole", "light", "without files"])
@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda file: file.write_bytes(b"")])
def test_a_damaged_output(toy, tmp_path, damage, options):
    damage(toy.root / "results/toy/tokenizer/small/weights.safetensors")
    refused(toy, tmp_path, r"results/toy/tokenizer/small/weights\.safetensors .*tesserae audit", **options)


def test_damage_beside_the_target_is_no_reason(toy):
    flip(toy.root / "results/toy/figure/one/figure.png")
    crate.crate(toy.root, SCALE, [TARGET])
    with pytest.raises(crate.CrateError, match=r"figure\.png"):
        crate.crate(toy.root, SCALE, None)


def test_a_changed_source_without_a_copy(toy, tmp_path):
    flip(toy.root / "data/emoji/emoji.npz")
    refused(toy, tmp_path, r"data/emoji/emoji\.npz is not what dataset/emoji read")


@pytest.mark.parametrize("text", ["STAGE = 'other'\n", "def broken(:\n", None])
def test_code_that_is_not_what_ran(toy, tmp_path, text):
    digest = toy.records["metrics/small"]["modules"]["tesserae.stages.metrics"]
    file = code.module_file(toy.root / "results" / SCALE, "tesserae.stages.metrics", digest)
    file.write_text(text) if text else file.unlink()
    refused(toy, tmp_path, "metrics/small")


def rename(record):
    record["artifact"] = "tokenizer/large"


def reread(record):
    record["inputs"]["dataset/emoji"]["files"][0]["sha256"] = "0" * 64


@pytest.mark.parametrize(
    "edit, says",
    [
        (lambda record: record["spec"].update(size=64), "manifest of tokenizer/small was edited"),
        (lambda record: record["modules"].update({"tesserae": "0" * 16}), "manifest of tokenizer/small was edited"),
        (lambda record: record.update(fingerprint="0" * 16 + "-" + "0" * 16), "tokenizer/small"),
        (lambda record: record.update(manifest=1), "not a manifest of version 2"),
        (lambda record: record.pop("hardware"), "does not say hardware"),
        (rename, "not of this folder"),
        (reread, r"read other content in results/toy/dataset/emoji/images\.npy"),
    ],
)
def test_an_edited_manifest(toy, tmp_path, edit, says):
    edit(toy.records["tokenizer/small"])
    manifests.write(toy.root / "results/toy/tokenizer/small/manifest.json", toy.records["tokenizer/small"])
    refused(toy, tmp_path, says)


def test_a_manifest_that_is_no_json(toy, tmp_path):
    toy.write("results/toy/tokenizer/small/manifest.json", "{")
    refused(toy, tmp_path, "results/toy/tokenizer/small/manifest.json cannot be read")


def test_another_version_upstream(toy, tmp_path):
    record = toy.records["dataset/emoji"]
    record["spec"]["size"] = 64
    sources = {entry["path"]: entry["sha256"] for entry in record["sources"]}
    record["fingerprint"] = fingerprint.chain(
        fingerprint.own_digest(record["modules"], {}, record["spec"], sources, 1), []
    )
    toy.save("dataset/emoji")
    refused(toy, tmp_path, "tokenizer/small was made from another version of dataset/emoji")


def test_a_producer_without_manifest(toy, tmp_path):
    (toy.root / "results/toy/dataset/emoji/manifest.json").unlink()
    refused(toy, tmp_path, "tokenizer/small was made from dataset/emoji, which has no manifest")


def test_unknown_targets_and_scales(toy):
    with pytest.raises(crate.CrateError, match="'table/two'"):
        crate.crate(toy.root, SCALE, ["table/two"])
    with pytest.raises(crate.CrateError, match="tesserae --scale pocket reproduce"):
        crate.crate(toy.root, "pocket", None)


def test_without_a_workflow(toy, tmp_path):
    (toy.root / "Snakefile").unlink()
    refused(toy, tmp_path, "Snakefile is missing")


def test_a_folder_that_is_not_empty_is_left_alone(toy, tmp_path):
    file = tmp_path / "crate" / "mine.txt"
    file.parent.mkdir()
    crate.write(toy.root, SCALE, [TARGET], file.parent)  # empty: taken
    shutil.rmtree(file.parent)
    file.parent.mkdir()
    file.write_text("mine")
    with pytest.raises(crate.CrateError, match="not empty"):
        crate.write(toy.root, SCALE, [TARGET], file.parent)
    assert [path.name for path in file.parent.iterdir()] == ["mine.txt"]


# ---- for people ---------------------------------------------------------------------------------------------------


def test_the_preview_leads_from_a_number_to_the_data(toy, tmp_path):
    folder = crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate")
    page = (folder / crate.PREVIEW).read_text()
    row = (
        page.replace("\n", "")
        .partition("<td>2.43</td><td>3872.03</td><td>0.5</td><td>2</td><td>")[2]
        .partition("</td>")[0]
    )
    assert re.findall('href="#job/([^"]+)"', row) == ["metrics/small", "metrics/small.seed2"]
    assert "<td>2.10</td><td></td><td></td><td></td><td>the row is cited" in page.replace("\n", "")
    assert re.search(rf"small/kl16.ckpt\s+<span .*>not in this crate</span>\s+.*9 bytes.*{WEIGHTS['sha256']}", page)
    assert "<script" not in page
    anchors = {part.split('"')[0] for part in page.split(' id="')[1:]}
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    assert anchors == {f"job/{name}" for name in UPSTREAM}
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors
        elif not link.startswith("https://"):
            assert (folder / link).is_file()


def test_the_preview_shows_words_as_words(toy, tmp_path):
    (toy.root / f"results/toy/{TARGET}/table.csv").write_text("row,measured\n<b>&,1\n")
    record = toy.records[TARGET]
    record["outputs"] = [manifests.describe(toy.root / f"results/toy/{TARGET}/table.csv", toy.root)]
    toy.save(TARGET)
    page = (crate.write(toy.root, SCALE, [TARGET], tmp_path / "crate") / crate.PREVIEW).read_text()
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page
