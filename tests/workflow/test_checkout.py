"""A checkout has the bytes that were committed, whatever other people's git is set to."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

# What git leaves alone and what it would convert: text as we keep it, and results with the ends of lines that CSV has.
FILES = {
    "config/published/paper.csv": b"row,value\na,1\n",
    "config/papers/paper.yaml": b"a: 1\n",
    "src/module.py": b"A = 1\n",
    "notebooks/paper.ipynb": b'{\n "cells": []\n}\n',
    "Makefile": b"all:\n\ttrue\n",
    ".ci/run": b"#!/bin/sh\ntrue\n",
    "data/corpus/SHA256SUMS": b"0  corpus.npz\n",
    "data/corpus/corpus.npz": b"PK\x03\x04 text\r\n and\n more\r\n",
    "results/smoke/table/t/table.csv": b"row,value\r\na,1\r\n",
    "lineage/smoke.json": b'{\r\n"a": 1}\n',
}


@pytest.mark.parametrize("autocrlf", ["true", "input", "false"])
def test_a_checkout_has_the_bytes_that_were_committed(tmp_path, autocrlf):
    environment = {
        **os.environ,
        **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_COUNT": "2"},
        **{"GIT_CONFIG_KEY_0": "core.autocrlf", "GIT_CONFIG_VALUE_0": autocrlf},
        **{"GIT_CONFIG_KEY_1": "core.eol", "GIT_CONFIG_VALUE_1": "crlf"},
    }

    def git(*arguments: str) -> None:
        person = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *person, *arguments], cwd=tmp_path, env=environment, check=True, capture_output=True)

    git("init", "-q")
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    git("add", "--force", ".")
    git("commit", "-q", "-m", "a")
    for name in FILES:
        (tmp_path / name).unlink()
    git("checkout", "-q", "--", ".")
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES


def test_what_is_tracked_has_lf():
    """So that nothing is converted when it is committed, either."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--eol"], capture_output=True, text=True, check=True)
    kept = [line for line in listed.stdout.splitlines() if line.split()[0] in ("i/crlf", "i/mixed")]
    assert [line for line in kept if "attr/-text" not in line] == []
