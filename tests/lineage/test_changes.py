"""Changes in words: down to the function, the setting with its origin, the line of a source."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.lineage import changes, code, fingerprint
from tesserae.lineage.hashes import Hashes

MODULE = "tesserae.losses.adversarial"
OLD = '''
"""A module."""
import math
RATE = 0.5
def loss(x):
    """Doc."""
    return x + 1
class Net:
    size = 3
    def forward(self, x):
        return x
    def other(self):
        return 1
'''


def differing(new: str) -> set[str]:
    before, now = fingerprint.definitions(OLD.encode()), fingerprint.definitions(new.encode())
    return {words for words in before.keys() | now.keys() if before.get(words) != now.get(words)}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return x + 1", "return x + 2", {"function `loss`"}),
        ("        return x\n", "        return -x\n", {"method `Net.forward`"}),
        ("size = 3", "size = 4", {"class `Net`"}),
        ("RATE = 0.5", "RATE = 0.25", {"constant `RATE`"}),
        ("import math", "import math, os", {"imports"}),
        ("RATE = 0.5", "RATE = 0.5\nprint(RATE)", {"statements of the module"}),
        ("def loss(x)", "def cost(x)", {"function `loss`", "function `cost`"}),
        ("Doc.", "Other words.", set()),
        ("RATE = 0.5", "RATE = 0.5  # half", set()),
        ("    def other(self):\n        return 1\n", "", {"method `Net.other`"}),
    ],
)
def test_what_changed_is_named(old, new, words):
    assert old in OLD and differing(OLD.replace(old, new)) == words


def test_equal_meaning_has_equal_definitions_and_digest():
    other = ast.unparse(ast.parse(OLD))
    assert differing(other) == set()
    assert fingerprint.meaning("m", OLD.encode()) == fingerprint.meaning("m", other.encode())


def record(own: fingerprint.Own, spec: dict, **more) -> dict:
    sources = [{"path": path, "sha256": found} for path, found in own.sources.items()]
    return {
        "modules": own.modules,
        "equivalents": {},
        "spec": spec,
        "origins": {},
        "sources": sources,
        "inputs": {},
    } | more


@pytest.fixture
def own(tmp_path):
    (tmp_path / "numbers.csv").write_text("a,1\nb,2\nc,3\n")
    return fingerprint.own([MODULE], {"gamma": 3.0}, {"published": "numbers.csv"}, tmp_path)


def test_code_with_and_without_a_copy_of_what_it_said(own, tmp_path):
    made = record(own, {})
    assert changes.modules(made, own, tmp_path) == []
    old = dict(own.modules) | {MODULE: "0" * 16}
    assert changes.modules(made | {"modules": old}, own, tmp_path) == [
        "losses/adversarial.py: changed (the code store has no copy of what it said)"
    ]
    text = fingerprint.module_file(MODULE).read_text()
    kept = code.module_file(tmp_path, MODULE, "0" * 16)
    kept.parent.mkdir(parents=True)
    kept.write_text(text.replace("return ", "return 0 + ", 1))
    (line,) = changes.modules(made | {"modules": old}, own, tmp_path)
    assert line.startswith("losses/adversarial.py: ") and line.endswith(" changed")
    assert changes.modules(made | {"modules": {}}, own, tmp_path)[-1].endswith("newly used")
    gone = made | {"modules": own.modules | {"tesserae.gone": "1"}}
    assert changes.modules(gone, own, tmp_path) == ["gone.py: no longer used"]


def test_the_code_store_keeps_what_was_fingerprinted(own, tmp_path):
    code.keep(tmp_path / "top", own.modules, own.sources, tmp_path)
    for name, digest in own.modules.items():
        kept = code.module_file(tmp_path / "top", name, digest)
        assert fingerprint.meaning(name, kept.read_bytes()).digest == digest
    assert code.source_file(tmp_path / "top", own.sources["numbers.csv"], ".csv").read_text().startswith("a,1")
    with pytest.raises(code.Changed, match=MODULE):
        code.keep(tmp_path / "other", own.modules | {MODULE: "0" * 16}, {}, tmp_path)
    with pytest.raises(code.Changed, match=r"numbers\.csv"):
        code.keep(tmp_path / "other", {}, {"numbers.csv": "0" * 64}, tmp_path)


def test_settings_with_their_origins(own):
    made = record(own, {"model": {"gamma": 3.0, "old": 1}, "taus": [0.1, 0.2]})
    lines = changes.spec(made, {"model": {"gamma": 2.0, "new": "x"}, "taus": [0.1]}, {"model": "paper.yaml: all"})
    assert lines == [
        "model.gamma 3.0 → 2.0 (paper.yaml: all)",
        "model.new is new: x (paper.yaml: all)",
        "model.old was 1, is gone (paper.yaml: all)",
        "taus [0.1, 0.2] → [0.1]",
    ]


def test_lines_of_a_source(own, tmp_path):
    code.keep(tmp_path / "top", {}, own.sources, tmp_path)
    (tmp_path / "numbers.csv").write_text("a,1\nb,5\nc,3\n")
    fingerprint.forget()
    now = fingerprint.own([MODULE], {}, {"published": "numbers.csv"}, tmp_path)
    assert changes.sources(record(own, {}), now, tmp_path / "top", tmp_path) == [
        "numbers.csv changed: line 2: b,2 → b,5"
    ]


def test_inputs_that_came_and_went(own):
    made = record(own, {}, inputs={"dataset/a": {}, "dataset/b": {}})
    assert changes.inputs(made, ["dataset/b", "dataset/c"]) == ["reads dataset/c now", "no longer reads dataset/a"]


@given(
    st.lists(st.sampled_from(["write", "same size", "same stamp", "touch", "replace", "save"]), max_size=8),
    st.integers(0, 99),
)
def test_remembered_hashes_are_those_of_the_files(tmp_path_factory, actions, seed):
    import hashlib
    import os

    root = tmp_path_factory.mktemp("hashes")
    file, count = root / "file", seed
    file.write_text("0000")
    hashes = Hashes(root)
    for action in actions:
        count += 1
        if action == "write":
            file.write_text("x" * count)
        elif action == "same size":
            file.write_text(f"{count % 10000:04d}")
            os.utime(file, ns=(count, count))
        elif action == "touch":
            os.utime(file)
        elif action == "same stamp":  # as `cp -p` does
            times = file.stat()
            file.write_bytes(bytes(times.st_size))
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        elif action == "replace":
            (root / "new").write_text(f"{count % 10000:04d}")
            os.replace(root / "new", file)
        else:
            hashes.save()
            hashes = Hashes(root)
        assert hashes.of("file") == hashlib.sha256(file.read_bytes()).hexdigest()
    assert hashes.of("nothing") is None
