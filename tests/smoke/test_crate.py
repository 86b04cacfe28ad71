"""The RO-Crate of a real result: everything that the workflow made at smoke scale."""

import json

from tesserae.lineage import crate, crate_graph
from tesserae.lineage import manifest as manifests
from tests.lineage import rocrate_cache


def test_a_table_made_by_the_workflow(smoke, tmp_path):
    cache = rocrate_cache.prime(tmp_path / "cache")
    folder = crate.write(smoke, "smoke", ["table/detok_table_1"], tmp_path / "crate", limit=crate.LIGHT)
    assert rocrate_cache.issues(folder, cache) == []
    graph = json.loads((folder / crate_graph.METADATA).read_text())["@graph"]
    described = {(one.get("alternateName", one["@id"]), one["sha256"]) for one in graph if "sha256" in one}
    records = manifests.collect(smoke, "smoke")
    for name in manifests.upstream(records, ["table/detok_table_1"]):
        assert {(output["path"], output["sha256"]) for output in records[name]["outputs"]} <= described


def test_everything_made_by_the_workflow(smoke, tmp_path):
    cache = rocrate_cache.prime(tmp_path / "cache")
    folder = crate.write(smoke, "smoke", None, tmp_path / "crate")
    assert rocrate_cache.issues(folder, cache) == []
    for file in manifests.files(smoke, "smoke"):
        assert (folder / file.relative_to(smoke)).read_bytes() == file.read_bytes()
