"""Folders that are whole or absent, and errors of a disk that takes no more."""

import errno
import os

import pytest

from igpo_lightning.files import disk_trouble, whole_folder, write_atomic


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_folder_is_replaced_whole(tmp_path):
    for text in ("one", "two"):
        with whole_folder(tmp_path / "model") as partial:
            (partial / text).write_text(text)
            assert not (tmp_path / "model").exists() or content(tmp_path / "model") == {"one": "one"}
        assert content(tmp_path / "model") == {text: text}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("there", [True, False])
def test_a_failure_costs_nothing(tmp_path, there):
    if there:
        with whole_folder(tmp_path / "model") as partial:
            (partial / "a").write_text("old")
    with pytest.raises(OSError), whole_folder(tmp_path / "model") as partial:
        (partial / "a").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (content(tmp_path / "model") == {"a": "old"}) if there else list(tmp_path.iterdir()) == []


def test_what_a_killed_save_leaves_is_cleared(tmp_path):
    for name in ("model.partial", "model.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    with whole_folder(tmp_path / "model") as partial:
        assert content(partial) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def wrapped(cause):
    try:
        try:
            raise cause
        except Exception as error:
            raise RuntimeError("could not log") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("error, said", [
    (OSError(errno.ENOSPC, "No space left on device", "/a/b"), r"No space left on device (/a/b)"),
    (wrapped(OSError(errno.EDQUOT, "Disk quota exceeded")), "Disk quota exceeded"),
    (ValueError("I/O error: No space left on device (os error 28)"), "No space left on device"),
    (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
    (OSError(errno.ENOENT, "No such file or directory"), None),
    (RuntimeError("CUDA out of memory"), None),
    (None, None),
])  # fmt: skip
def test_the_disk_is_told_from_other_trouble(error, said):
    assert disk_trouble(error) == said


def test_a_link_stays_and_what_it_points_at_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    for text in ("one", "two"):  # the first time it points at nothing
        write_atomic(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and content(tmp_path / "elsewhere") == {"file": text}


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(pipe, ["a\n", "b\n"])
        assert os.read(reader, 99) == b"a\nb\n" and pipe.is_fifo()
    finally:
        os.close(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
