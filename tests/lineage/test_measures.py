"""Kinds of measures: what a record holds, what identifies it, and what is refused."""

import ast

import pytest
from pydantic import ValidationError

from tesserae.lineage.measures.concepts import Concepts
from tesserae.lineage.measures.counted import Counted
from tesserae.lineage.measures.images import Images
from tesserae.lineage.measures.registry import KINDS, MeasureError, kind_of, problem
from tests.conftest import ROOT

FIELDS = {"extractor": "embedded", "layer": "320", "reference": "emoji-32 train", "samples": 500, "splits": 1}
FIELDS |= {"rounding": "truncate"}


def test_a_record_has_its_kind_and_the_fields_that_were_given():
    told = Images(**FIELDS, selection=None, guidance=2.0).record()
    assert told == {"kind": "images", **FIELDS, "selection": None, "guidance": 2.0}
    assert problem(told) == ""


def test_what_a_search_chooses_is_not_part_of_the_identity():
    plain = Images(**FIELDS)
    assert Images(**FIELDS, guidance=2.0, temperature=0.9).identity == plain.identity
    assert Images(**FIELDS | {"samples": 501}).identity != plain.identity
    assert Counted(counted="x").identity != plain.identity


def test_every_kind_is_found_by_the_name_that_its_records_have():
    assert all(kind.model_fields["kind"].default == name for name, kind in KINDS.items())
    modules = {file.stem for file in (ROOT / "src/tesserae/lineage/measures").glob("*.py")}
    assert modules - {"__init__", "base", "texts", "registry"} == set(KINDS)


def test_a_stage_that_measures_depends_on_its_own_kind_alone():
    for file in (ROOT / "src/tesserae/stages").rglob("*.py"):
        if file.stem in ("table", "claims", "figure", "report", "notebook"):
            continue
        imported = {node.module for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)}
        assert "tesserae.lineage.measures.registry" not in imported, file


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"layer": None}, "kind images: layer: Input should be a valid string"),
        ({"samples": "500"}, "kind images: samples: Input should be a valid integer"),
        ({"sample": 3}, "kind images: sample: Extra inputs are not permitted"),
        ({"extractor": ""}, "the measure names no extractor"),
        ({"kind": "guess"}, "of kind 'guess', which is none of images, concepts"),
    ],
)
def test_a_record_that_is_not_of_its_kind_is_told(change, expected):
    assert expected in problem({"kind": "images", **FIELDS} | change)


def test_a_record_without_a_kind_has_none():
    with pytest.raises(MeasureError, match="of kind None"):
        kind_of(FIELDS)
    with pytest.raises(ValidationError):
        Concepts(**FIELDS)


def test_what_measured_is_named_after_its_kind():
    told = {"kind": "concepts", "concept_set": "topk_sae-emoji", "samples": 8, "reference": "emoji-32 val"}
    assert kind_of(told).described(told) == "concepts of topk_sae-emoji, 8 samples per number, reference emoji-32 val"
    assert kind_of({"kind": "counted"}).named({"kind": "counted", "counted": "parameters"}) == ""
