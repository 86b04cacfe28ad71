"""Whatever a locale says, files are UTF-8, and output never breaks."""

import ast
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# ASCII for everything that does not say otherwise, and no UTF-8 mode that would hide it.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def unsaid(text: str) -> list[str]:
    """Calls that would read or write text as the locale says."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {word.arg for word in node.keywords}
        if called in ("read_text", "write_text"):
            found += [] if "encoding" in given else [ast.unparse(node)]
        elif called in ("open", "fdopen") and not {"encoding", "mode"} & given:
            modes = [word.value for word in node.args[:2] if isinstance(word, ast.Constant)]
            flags = any(isinstance(word, ast.Attribute | ast.BinOp) for word in node.args[1:])  # os.open
            binary = any(isinstance(mode, str) and "b" in mode for mode in modes)
            images = ast.unparse(node.func) in ("Image.open", "zipfile.ZipFile.open")
            found += [] if binary or flags or images or "'r+b'" in ast.unparse(node) else [ast.unparse(node)]
        elif {"text", "universal_newlines"} & given:
            found.append(ast.unparse(node))
    return found


# JSON of ASCII: a cache that its module writes itself, and the settings beside published weights.
ASCII_ALONE = {"src/tesserae/costs/counts.py", "src/tesserae/tokenizers/comit_weights.py"}


def test_every_file_is_opened_as_utf_8():
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), *(ROOT / "data").rglob("*.py")]
    texts = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}
    some = re.compile(r"open\((?!.*[\"']\w*b)|_text\((?!.*encoding=)|text=")  # the rest need not be parsed
    wrong = {name: calls for name, text in texts.items() if some.search(text) and (calls := unsaid(text))}
    assert set(wrong) <= ASCII_ALONE, wrong


def test_what_would_be_seen():
    wrong = ["p.read_text()", "open(p)", "open(p, 'w')", "p.open()", "run([], text=True)", "os.fdopen(3)"]
    fine = ["p.read_text(encoding='utf-8')", "open(p, 'rb')", "p.open('wb')", "os.open(p, os.O_RDONLY)", "run([])"]
    assert [bool(unsaid(text)) for text in (*wrong, *fine)] == [True] * len(wrong) + [False] * len(fine)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_output_never_breaks(encoding):
    said = "from tesserae.workflow import streams; streams.adapt(); print('é → \\udcff')"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, env={"PYTHONIOENCODING": encoding})
    first = "é" if encoding == "latin-1" else "\\xe9"
    assert done.stdout == f"{first} \\u2192 \\udcff\n".encode(encoding), done.stderr


def test_paths_are_utf_8_in_an_ascii_locale(tmp_path):
    said = (
        "import sys; from tesserae.workflow import home; home.speak_utf8(); "
        "print(sys.flags.utf8_mode, sys.stdout.encoding, sys.argv[1], '\\u2192')"
    )
    done = subprocess.run(
        [sys.executable, "-c", said, "é"], capture_output=True, env={"PATH": os.environ["PATH"], **ASCII}
    )
    assert done.stdout == b"1 ascii \\xe9 \\u2192\n", done


def test_a_job_runs_in_an_ascii_locale(toys):
    toys.insert("dataset", "print('→')")
    done = toys.make("dataset/emoji_few-32", **ASCII)
    assert done.returncode == 0 and "\\u2192" in done.stdout, done.stdout + done.stderr
