"""Classes and arguments that a config names, checked without importing them."""

from __future__ import annotations

import sys

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.cli.signatures import Missing, Signature, inspect
from igpo_lightning.config import find_conf

PIECES = """
import argparse
import datetime
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Literal, Protocol

from pieces_of_a_test import parts

raise RuntimeError("this module is only read")

Kind = Literal["sum", "mean"]


class Base:
    def __init__(self, weight: float, kind: Kind = "sum"):
        pass


class Inner(Base):
    def __init__(self, *, name: str, levels: list[int], note: str | None = None, **common):
        super().__init__(**common)


class Same(Base):
    pass


class Anything:
    def __init__(self, **options):
        pass


@dataclass
class Record:
    name: str
    size: int = 3
    made: list = field(init=False)


@dataclass
class Longer(Record):
    _: KW_ONLY
    pages: int
    kept: ClassVar[int] = 0


class Whole(Protocol[T]):
    pass


class Bare(Whole):
    def __call__(self): ...


@dataclass
class Anew(parts.Anew):
    more: int = 1


class Assigned:
    __init__ = elsewhere.init


class Taking(argparse.ArgumentParser):
    def __init__(self, **options):
        self.kind = options.pop("kind", 1)
        super().__init__(**options)


@elsewhere.register
class Registered:
    pass


class Clock(datetime.timezone):
    def __init__(self, name="here", **options):
        super().__init__(**options)


class Drawer(argparse.ArgumentParser):
    def __init__(self, name: str, **options):
        super().__init__(**options)
"""


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A package to be found on ``sys.path``: in one place, since what has been found is remembered."""
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "pieces_of_a_test").mkdir()
    (folder / "pieces_of_a_test" / "__init__.py").write_text("from .parts import Inner, Record as Row\n")
    (folder / "pieces_of_a_test" / "parts.py").write_text(PIECES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    assert "pieces_of_a_test" not in sys.modules


EXPERIMENTS = {
    "typo": b"algo: {num_genrations: 4}",
    "habit": b"algo: {num_return_sequences: 4}",
    "hollow": b"piece: {weight: null}",
    "own": b"seeds: 4\nalgo:\n  num_generations: ${seeds}",
    "unread": b"data: {unread: 4}",
    "cut": b"algo:\n  num_generations: [4\n",
    "latin": b"name: gr\xf6\xdfer",
}


@pytest.fixture
def pieces_tree(conf_tree, pieces):
    with (conf_tree / "train.yaml").open("a") as file:
        file.write("piece:\n  _target_: pieces_of_a_test.Inner\n  name: ${name}\n  weight: 1.0\n")
        file.write("  levels: ${data.levels}\n")
    for name, text in EXPERIMENTS.items():
        (conf_tree / "experiment" / f"{name}.yaml").write_bytes(b"# @package _global_\n" + text + b"\n")
    return conf_tree


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("piece._target_=pieces_of_a_test.Iner", "has no Iner; did you mean pieces_of_a_test.Inner?"),
        ("piece._target_=pieces_of_a_test.part.Same", "did you mean pieces_of_a_test.parts.Same?"),
        ("piece._target_=no_such_pieces.Same", "there is no module 'no_such_pieces'"),
        ("piece._target_=Inner", "expected a dotted name, package.module.Inner"),
        ("piece._target_=null", "expected a class or function"),
        ("+piece.wieght=2", "Inner takes no such argument; did you mean piece.weight?"),
        ("+piece.xyz=2", "Inner takes: weight, kind, name, levels, note"),
        ("piece._target_=pieces_of_a_test.parts.Same", "piece.name: Same takes no such argument"),
        ("piece._target_=pieces_of_a_test.Row", "piece.weight: Row takes no such argument"),
        ("piece.weight=null", "piece.weight=null: expected a number"),
        ("name=null", "name=null: expected a word"),
        ("piece.name=null", "piece.name=null: expected a text"),
        ("data.levels=null", "data.levels=null: expected a value (list[int])"),
        ("+piece.kind=max", "piece.kind=max: expected one of sum, mean"),
        ("+book={_target_: pieces_of_a_test.parts.Longer, pages: 1, made: 2}",
         "Longer takes: name, size, pages"),
        ("+bare={_target_: pieces_of_a_test.parts.Bare, weight: 1}", "Bare takes: nothing"),
        ("+box={_target_: pieces_of_a_test.parts.Drawer, name: a, progg: b}", "did you mean box.prog?"),
        ("+piece.ppo_epochs=2", "piece.ppo_epochs: here it is algo.num_iterations=…"),
        ("experiment=typo", "experiment/typo.yaml: unknown key 'algo.num_genrations'; did you mean"),
        ("experiment=habit", "experiment/habit.yaml: unknown key 'algo.num_return_sequences'; here"),
        ("experiment=null", "experiment=null: leave it out"),
        ("experiment=hollow", "piece.weight=null: expected a number"),
        ("experiment=cut", "not YAML: expected ',' or ']'"),
        ("experiment=latin", "latin.yaml: not UTF-8"),
    ],
)  # fmt: skip
def test_a_wrong_class_or_argument_is_named(pieces_tree, override, message):
    with pytest.raises(ConfigError) as caught:
        check_command_line(pieces_tree, "train", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    ["+piece.note=null", "+piece.kind=mean", "piece.weight=3", "experiment=own",
     "piece._target_=pieces_of_a_test.parts.Anything", "+new={_target_: builtins.dict, any: 1}",
     "+book={_target_: pieces_of_a_test.parts.Longer, pages: 1, size: 2}",
     "+box={_target_: pieces_of_a_test.parts.Drawer, name: a, prog: b, description: 3}",
     "+zone={_target_: pieces_of_a_test.parts.Clock, any: 1}",
     "+other={_target_: pieces_of_a_test.parts.Registered, any: 1}",
     "+other={_target_: pieces_of_a_test.parts.Anew, more: 2}",
     "+other={_target_: pieces_of_a_test.parts.Assigned, any: 1}",
     "+other={_target_: pieces_of_a_test.parts.Taking, kind: 2}"],
)  # fmt: skip
def test_what_fits_passes(pieces_tree, override):
    check_command_line(pieces_tree, "train", [override])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["++n_samples=3"], "unknown key 'n_samples'; here it is algo.num_generations=…"),
        (["++trainer.mu=3"], "unknown key 'trainer.mu'; here it is algo.num_iterations=…"),
        (["++algo.levels=2"], "unknown key 'algo.levels'; "),
        (["+data.inner.deep=2"], "unknown key 'data.inner'; "),
        (["experiment=own", "+data.xyz=2"], "unknown key 'data.xyz'; data has: "),
        (["experiment=unread", "algo.num_generations=2"],
         "experiment/unread.yaml: unknown key 'data.unread'; data has: "),
    ],
)  # fmt: skip
def test_a_key_that_is_added_and_that_nothing_reads_is_named(pieces_tree, line, message):
    with pytest.raises(ConfigError) as caught:
        check_command_line(pieces_tree, "train", line)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "line",
    [
        ["+comment=first"],  # a note
        ["+comments.first=1"],
        ["+mine.size=3", "algo.num_generations=${mine.size}"],
        ["+algo.several=3", "algo.num_generations=${.several}"],
        ["+algo.mine={a: {b: 3}}", "algo.num_generations=${algo.mine.a.b}"],
        ["+algo.mine={a: 3}", "algo.num_generations=${.mine.a}"],
        ["+algo.mine=[3,4]", "algo.num_generations=${algo.mine[0]}"],
        ["+algo.mine=3", "algo.num_generations=${algo[mine]}"],
        ["+algo.several=3", "algo.num_generations=${oc.select:algo.several,2}"],
        ["+data.mine={_target_: pieces_of_a_test.parts.Anything}", "+data.mine.options={deep: 1}"],
    ],
)
def test_a_key_that_is_added_and_read_or_a_note_passes(pieces_tree, line):
    check_command_line(pieces_tree, "train", line)


def test_what_source_cannot_tell_is_left_to_the_run():
    assert inspect("builtins.dict") is None
    assert isinstance(inspect("pathlib.Path"), Signature | None)
    assert inspect("json.no_such_thing") == Missing("json", "no_such_thing", "", inspect("json.x").siblings)


def test_every_class_of_the_project_is_found_with_its_arguments():
    """A default value that is given again is compared with the signature of every class that is named."""

    for texts in (
        ["logger=all"],
        ["algo=sft", "model=llada", "hardware=zero3"],
        ["data=metamath", "algo=grpo"],
    ):
        check_command_line(find_conf(), "train", texts)


def test_a_key_that_another_class_left_is_not_its_own_advice():
    typed = "algo.optimizer={_target_: torch.optim.SGD, _partial_: true, lr: 1e-3}"
    with pytest.raises(
        ConfigError, match=r"^algo\.optimizer\.betas: SGD takes no such argument; SGD takes: "
    ):
        check_command_line(find_conf(), "train", [typed])
