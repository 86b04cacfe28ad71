"""The fingerprint follows meaning: what cannot change a number does not change it, everything else does."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.lineage import fingerprint
from tests.conftest import ROOT

BEFORE = '''
"""Docstring."""
import math

def f(x, y=2):
    """What f does."""
    return math.sqrt(x) + y  # comment

class C:
    value = "text"
'''


def digest(text: str) -> str:
    return fingerprint._analyse("tesserae.some", False, text.encode())[0]


@pytest.mark.parametrize(
    "after",
    [
        BEFORE.replace("# comment", ""),
        BEFORE.replace('"""What f does."""', '"""Something else."""'),
        BEFORE.replace('    """What f does."""\n', ""),
        BEFORE.replace("math.sqrt(x) + y", "(\n        math.sqrt( x )\n        + y\n    )"),
        BEFORE.replace('"text"', "'text'"),
        "# a comment\n" + BEFORE,
    ],
)
def test_comments_docstrings_and_layout_do_not_count(after):
    assert digest(after) == digest(BEFORE)


@pytest.mark.parametrize(
    "after",
    [
        BEFORE.replace("y=2", "y=3"),
        BEFORE.replace("+ y", "- y"),
        BEFORE.replace("y=2", "y=2.0"),
        BEFORE.replace("sqrt", "exp"),
        BEFORE.replace('value = "text"', 'value = "test"'),
        BEFORE.replace("import math", "import math, os"),
        BEFORE.replace("return math.sqrt(x) + y", "return None"),
        BEFORE.replace("return math.sqrt(x) + y", "return"),
    ],
)
def test_names_numbers_and_statements_count(after):
    assert digest(after) != digest(BEFORE)


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary()),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary()),
)
def test_different_constants_differ(a, b):
    same = repr(a) == repr(b)
    assert (digest(f"x = {a!r}") == digest(f"x = {b!r}")) == same


def test_every_import_form_is_followed():
    found = fingerprint._imports(
        ast.parse(
            "import tesserae.nn.rope as r\nfrom tesserae.data import cache\nfrom . import b\nfrom ..x.y import z\n"
            "def f():\n    from tesserae.losses import perceptual"
        ),
        "tesserae.p.a",
        False,
    )
    assert {
        "tesserae",
        "tesserae.nn",
        "tesserae.nn.rope",
        "tesserae.data.cache",
        "tesserae.p.b",
        "tesserae.x.y",
        "tesserae.losses.perceptual",
    } <= found


def test_the_closure_of_a_stage_holds_what_a_recipe_names():
    spec = {"model": {"deep": ["tesserae.generators.sit"]}}
    modules = fingerprint.own(["tesserae.stages.generator"], spec, {}, ROOT).modules
    assert {
        "tesserae",
        "tesserae.stages.generator",
        "tesserae.generators.sit",
        "tesserae.nn.attention",
        "tesserae.training.loop",
    } <= set(modules)
    assert "tesserae.generators.mar" not in modules
    assert not any(name.startswith("tesserae.workflow") for name in modules)


def test_a_forecast_covers_what_counts_networks():
    """It is loaded late, and counts are kept: a first forecast loads modules that a later one does not."""
    modules = fingerprint.own(["tesserae.stages.forecast"], {}, {}, ROOT).modules
    assert set(fingerprint.closure(("tesserae.costs.networks",))) <= set(modules)


def test_a_sampler_is_no_part_of_training():
    modules = fingerprint.own(["tesserae.stages.generator"], {"module": "tesserae.generators.mar"}, {}, ROOT).modules
    assert "tesserae.generators.mar_sampler" not in modules and "tesserae.diffusion.ddpm" not in modules


def test_key_order_does_not_count_and_producers_do():
    a = fingerprint.own(["tesserae.stages.table"], {"x": 1, "y": 2}, {}, ROOT).digest
    assert a == fingerprint.own(["tesserae.stages.table"], {"y": 2, "x": 1}, {}, ROOT).digest
    assert a != fingerprint.own(["tesserae.stages.table"], {"x": 2, "y": 1}, {}, ROOT).digest
    assert fingerprint.chain(a, ["p-1", "q-2"]) == fingerprint.chain(a, ["q-2", "p-1"]) != fingerprint.chain(a, ["p-1"])
    assert fingerprint.chain(a, []).split("-")[0] == a
