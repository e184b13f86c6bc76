"""What is said of a training set, and written down."""

import json

from fakes import Memory, inpaint, rollout_fit, tiny_policy, trainer

from igpo_lightning.data.account import FILE, Account
from igpo_lightning.data.cache import Fate
from igpo_lightning.data.contamination import Decontaminated
from igpo_lightning.data.encoding import CUT, LONG_TRACE, NO_TRACE
from igpo_lightning.types import Problem


def account(fates, dropped=None, share=1.0):
    """One problem for each (subject, level, kept, note)."""
    rows = [
        Problem(f"p/{i}", "", "", "", {"subject": s, "level": level})
        for i, (s, level, *_) in enumerate(fates)
    ]
    return Account(dropped or {}, Decontaminated(rows), rows, [Fate(*rest) for _, _, *rest in fates], share)


ALGEBRA = [("algebra", "1", True)] * 90 + [("algebra", "5", False, LONG_TRACE)] * 10
GEOMETRY = [("geometry", "1", True, CUT)] * 20 + [("geometry", "5", False, LONG_TRACE)] * 30


def test_drops_are_told_by_subject_and_level():
    lines = account(ALGEBRA + GEOMETRY, {"no answer": 3}).describe(hints=True)
    assert lines == [
        "110 training problems (left out: 3 no answer, 40 trace too long)",
        "20 traces are longer than the canvas: hints are cut from their beginnings",
        "left out by subject: geometry 30 of 50 (60 %), algebra 10 of 100 (10 %)",
        "left out by level: 5 40 of 40 (100 %)",
    ]


def test_of_a_sample_the_whole_set_is_estimated():
    """150 rows of 600: what the source itself left out is known, and not scaled."""
    lines = account(ALGEBRA + GEOMETRY, {"no answer": 3}, share=0.25).describe(hints=True)
    assert lines[:2] == [
        "about 440 training problems (left out: 3 no answer, 160 trace too long): estimated from 150 of them",
        "80 traces are longer than the canvas: hints are cut from their beginnings",
    ]


def test_little_is_not_worth_a_line():
    few = [("algebra", "1", True)] * 500 + [("geometry", "2", True)] * 499 + [("geometry", "2", False, "x")]
    assert account(few).describe(True) == ["999 training problems (left out: 1 x)"]
    many = [(f"s{i}", f"{i}", i % 2 == 0, "x" if i % 2 else "") for i in range(60)]
    assert len(account(many).describe(True)) == 1, "sixty subjects are no summary"


def test_the_file_has_all_of_it(tmp_path):
    account(ALGEBRA + GEOMETRY, {"no answer": 3}).save(tmp_path)
    saved = json.loads((tmp_path / FILE).read_text())
    assert saved["trained_on"] == 110 and saved["kept_with"] == {CUT: 20}
    assert saved["left_out"] == {"no answer": 3, LONG_TRACE: 40}
    assert saved["by"]["subject"]["geometry"] == {"kept": 20, LONG_TRACE: 30}
    assert not list(tmp_path.glob("*.jsonl"))


def test_questions_and_answers_alone_are_trained_on(tmp_path):
    """IGPO on problems without traces: GRPO for these, said once."""
    rows = [Problem(f"p/{i}", f"Ann has {i} . total ?", "", f"{i}") for i in range(20)]
    module, data = rollout_fit(tiny_policy(), rollouts=1, inpaint=inpaint())
    data.source = Memory("bare", rows, val_size=4, test_size=4)
    fitted = trainer(tmp_path)
    fitted.fit(module, datamodule=data)
    assert fitted.global_step == 2 and data.rollout.metrics["triggered"] == 0
    assert data.describe() == (
        "12 training problems\nno problem has a trace: with nothing to inpaint, algo=igpo is algo=grpo here; "
        "algo=grpo_resample samples all-wrong groups again without hints"
    )
    assert json.loads((tmp_path / FILE).read_text())["kept_with"] == {NO_TRACE: 12}
