"""A write is noticed even if it was put back; a link or a change of rights is no write."""

import os
import shutil
import time

import pytest

from tesserae.lineage import hashes
from tesserae.workflow.untouched import Files


def overwrite_and_put_back(file):
    status, content = file.stat(), file.read_bytes()
    file.write_bytes(bytes(len(content)))
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def move_away_and_back(file):
    file.rename(file.with_name("aside"))
    file.write_bytes(b"other")
    file.with_name("aside").rename(file)


def write_other_bytes_and_link(file):
    status = file.stat()
    file.write_bytes(bytes(status.st_size))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.link(file, file.with_name("linked"))


@pytest.mark.parametrize(
    ("action", "written"),
    [
        (overwrite_and_put_back, True),
        (move_away_and_back, True),
        (write_other_bytes_and_link, True),
        (lambda file: file.unlink(), True),
        (lambda file: file.touch(), True),
        (lambda file: os.link(file, file.with_name("linked")), False),
        (lambda file: file.chmod(0o444), False),
        (lambda file: file.read_bytes(), False),
    ],
)
def test_what_counts_as_written(tmp_path, action, written):
    file, absent = tmp_path / "file", tmp_path / "absent"
    file.write_bytes(b"content")
    time.sleep(0.02)  # a tick of the file system's clock
    files = Files([file, absent])
    files.know({file: hashes.sha256(file)})
    action(file)
    assert files.written() == ({file} if written else set())
    absent.touch()
    assert absent in files.written()


def test_the_memory_of_hashes_sees_a_copy_that_keeps_size_and_times(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))
    known = hashes.Hashes(tmp_path)
    monkeypatch.setattr(hashes, "SETTLED_NS", -1)
    first = known.of("a")
    with monkeypatch.context() as patch:
        patch.setattr(hashes, "sha256", lambda path: pytest.fail("read again"))
        assert known.of("a") == first
    time.sleep(0.02)
    shutil.copy2(tmp_path / "b", tmp_path / "a")
    assert known.of("a") == hashes.sha256(tmp_path / "b") != first


def test_what_was_just_written_is_not_remembered(tmp_path):
    (tmp_path / "file").write_text("1")
    known = hashes.Hashes(tmp_path)
    known.of("file")
    known.save()
    assert not (tmp_path / hashes.FILE).exists()
