import json
import os
import struct
import warnings
import zipfile
from types import SimpleNamespace

import pytest
import torch
from fakes import LORA, rollout_fit, tiny_policy, trainer

from igpo_lightning.checks import ConfigError
from igpo_lightning.training import checkpoints
from igpo_lightning.training.checkpoint_files import checked, damage, newest, numbered, set_aside
from igpo_lightning.training.checkpoints import Checkpoints, DirectIO, check_strategy


def fit(folder, policy=None, rollouts=3, ckpt_path=None, **options):
    """A run of two updates a rollout, with a checkpoint after each."""
    module, data = rollout_fit(policy or tiny_policy(), rollouts=rollouts)
    keep = Checkpoints(folder / "checkpoints", **{"every": 1, "keep": 3, **options})
    run = trainer(folder, callbacks=[keep], enable_checkpointing=True)
    run.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return module, run


@pytest.fixture
def saved(tmp_path):
    fit(tmp_path)
    return tmp_path / "checkpoints"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_are_kept(tmp_path):
    fit(tmp_path, keep=2, every=2, rollouts=4)  # 8 updates: saved after 2, 4, 6 and 8
    assert names(tmp_path / "checkpoints") == ["update-00000006.ckpt", "update-00000008.ckpt"]
    content = torch.load(newest(tmp_path / "checkpoints"), weights_only=True)
    assert content["global_step"] == 8


def test_the_best_is_kept(tmp_path, monkeypatch):
    values = iter([0.1, 0.5, 0.3])

    def validated(self, trainer, module):  # what the validation of each window says
        original(self, SimpleNamespace(callback_metrics={"val/accuracy": torch.tensor(next(values))}), module)

    original = Checkpoints.on_validation_end
    monkeypatch.setattr(Checkpoints, "on_validation_end", validated)
    fit(tmp_path, best="val/accuracy", every=100)
    assert names(tmp_path / "checkpoints") == ["best.ckpt", "update-00000006.ckpt"]  # and the end
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 4
    (tmp_path / "checkpoints" / "update-00000006.ckpt").unlink()
    assert newest(tmp_path / "checkpoints") is None  # a best one is not what a run goes on from


def test_those_of_a_way_that_was_given_up_are_set_aside(tmp_path, capsys):
    """Else the new ones are deleted as the older, and resume=auto goes on with what was given up."""
    fit(tmp_path, keep=9, rollouts=4)
    folder, old = tmp_path / "checkpoints", checkpoints_of(8)
    assert names(folder) == old
    before = (folder / old[6]).read_bytes()
    (folder / old[7]).write_bytes(b"torn")
    fit(tmp_path, keep=2, every=3, rollouts=2, ckpt_path=str(folder / old[2]))  # on from 3 to 4
    assert names(folder) == ["abandoned", old[2], old[3]]
    assert names(folder / "abandoned") == old[3:] and (folder / "abandoned" / old[6]).read_bytes() == before
    assert newest(folder) == folder / old[3]
    assert f"going on after update 3: {', '.join(old[:2:-1])} went to" in capsys.readouterr().out
    fit(tmp_path, keep=2, rollouts=3, ckpt_path=str(folder / old[2]))  # and once more
    assert names(folder) == ["abandoned", old[4], old[5]]
    assert newest(folder) == folder / old[5]


def test_the_best_one_of_a_way_that_was_given_up_is_no_longer_the_best(tmp_path):
    keep = {"best": "val/accuracy", "keep": 9}
    fit(tmp_path, **keep)
    folder = tmp_path / "checkpoints"
    best = torch.load(folder / "best.ckpt", weights_only=True)["global_step"]
    for start, again in ((best, True), (best - 1, False)):
        fit(tmp_path, **keep, ckpt_path=str(sorted(folder.rglob(f"update-{start:08d}.ckpt"))[0]))
        assert (folder / "abandoned" / "best.ckpt").is_file() != again
        assert (folder / "best.ckpt").is_file()
    assert torch.load(folder / "best.ckpt", weights_only=True)["global_step"] >= best


def checkpoints_of(updates):
    return [f"update-{update:08d}.ckpt" for update in range(1, updates + 1)]


def test_a_damaged_one_is_passed_over(saved):
    last, before, first = numbered(saved)
    os.truncate(last, last.stat().st_size - 100)
    with zipfile.ZipFile(before) as parts:
        largest = max(parts.infolist(), key=lambda part: part.file_size)
    with open(before, "r+b") as file:  # one byte of a tensor, not of what aligns them
        file.seek(largest.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(largest.header_offset + 30 + name + extra + largest.file_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert "truncated" in damage(last) and "damaged" in damage(before) and damage(first) is None
    with pytest.warns(UserWarning, match="going on from the one before") as said:
        assert newest(saved) == first
    assert len(said) == 2


def test_a_named_one_must_be_good(saved, tmp_path):
    good = numbered(saved)[0]
    assert checked(good) == good
    os.truncate(good, 1000)
    with pytest.raises(ConfigError, match=r"update-00000006.ckpt: truncated .*resume=auto takes the newest"):
        checked(good)
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match="not a checkpoint of a training run"):
        checked(tmp_path / "other.ckpt")
    torch.save(os.getcwd, tmp_path / "code.ckpt")  # a pickle that names a function
    with pytest.raises(ConfigError, match="not a checkpoint of this program"):
        checked(tmp_path / "code.ckpt")
    with pytest.raises(ConfigError, match="no such file"):
        checked(tmp_path / "absent.ckpt")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write failed")])
def test_a_full_disk_leaves_the_former_one(tmp_path, monkeypatch, error):
    write = DirectIO.save_checkpoint

    def full(self, checkpoint, path, storage_options=None):
        if checkpoint["global_step"] == 3:
            path.write_bytes(b"the beginning")
            raise error
        write(self, checkpoint, path, storage_options)

    monkeypatch.setattr(DirectIO, "save_checkpoint", full)
    with pytest.raises(
        ConfigError, match=r"could not be written: .*; update-00000002.ckpt is intact: make room"
    ):
        fit(tmp_path)
    assert names(tmp_path / "checkpoints") == ["update-00000001.ckpt", "update-00000002.ckpt"]
    assert all(damage(path) is None for path in numbered(tmp_path / "checkpoints"))


def test_what_is_half_written_is_nobodys_checkpoint(saved):
    (saved / "update-00000009.ckpt.partial").write_bytes(b"the beginning")
    assert newest(saved).name == "update-00000006.ckpt"


def test_adapters_only(tmp_path):
    _module, _ = fit(tmp_path / "a", tiny_policy(lora=LORA))
    state = torch.load(newest(tmp_path / "a" / "checkpoints"), weights_only=True)["state_dict"]
    assert state and all("lora_" in name for name in state)
    other = tiny_policy(seed=1, lora=LORA)
    with pytest.raises(ConfigError, match="its adapters belong to another base model"):
        fit(tmp_path / "b", other, ckpt_path=str(newest(tmp_path / "a" / "checkpoints")))
    with pytest.raises(ConfigError, match="a checkpoint of another model"):
        fit(tmp_path / "c", tiny_policy(), ckpt_path=str(newest(tmp_path / "a" / "checkpoints")))


def folder_checkpoint(path, processes=2, **files):
    partial = path.with_name(path.name + checkpoints.PARTIAL)
    partial.mkdir(parents=True)
    for name, content in files.items():
        (partial / name).write_bytes(content)
    checkpoints._finish(partial, path, {"processes": processes, "update": 2})
    return path


def test_a_sharded_one_is_a_folder_whose_files_are_all_there(tmp_path):
    path = folder_checkpoint(tmp_path / "update-00000001.ckpt", a=b"12", b=b"345")
    assert damage(path) is None and newest(tmp_path) == path
    manifest = json.loads((path / "complete.json").read_text())
    assert manifest == {"processes": 2, "update": 2, "files": {"a": 2, "b": 3}}
    (path / "b").write_bytes(b"34")
    assert damage(path) == "damaged (b is missing or not of 3 bytes)"
    (path / "complete.json").unlink()
    assert "not a complete checkpoint" in damage(path)


def test_sharded_ones_are_set_aside_whole(tmp_path):
    """The best one says in its list which update it is of: 2."""
    later = folder_checkpoint(tmp_path / "update-00000004.ckpt", a=b"12")
    best = folder_checkpoint(tmp_path / "best.ckpt", a=b"345")
    assert set_aside(tmp_path, 4) == []
    assert set_aside(tmp_path, 2) == [later]
    assert set_aside(tmp_path, 1) == [best]
    folder_checkpoint(tmp_path / "best.ckpt", a=b"6")
    assert set_aside(tmp_path, 0) == [best]  # in the place of the one there
    assert damage(tmp_path / "abandoned" / "best.ckpt") is None and names(tmp_path) == ["abandoned"]
    assert (tmp_path / "abandoned" / "best.ckpt" / "a").read_bytes() == b"6"


def test_each_strategy_reads_its_own(tmp_path, saved):
    class Strategy:
        world_size = 4

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_strategy(numbered(saved)[0], Strategy())
    path = folder_checkpoint(tmp_path / "x" / "update-00000001.ckpt", a=b"12")
    with pytest.raises(ConfigError, match=r"can be read by DeepSpeed\. .*igpo_lightning.export"):
        check_strategy(path, Strategy())


def test_as_many_processes_for_deepspeed(tmp_path, monkeypatch):
    class Strategy:
        world_size = 4

    monkeypatch.setattr(checkpoints, "_kind", lambda strategy: "deepspeed")
    path = folder_checkpoint(tmp_path / "update-00000001.ckpt", processes=2, a=b"12")
    with pytest.raises(
        ConfigError, match="written by 2 processes, and DeepSpeed reads it with as many, not 4"
    ):
        check_strategy(path, Strategy())
    Strategy.world_size = 2
    check_strategy(path, Strategy())
