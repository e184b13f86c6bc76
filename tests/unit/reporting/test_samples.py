from igpo_lightning.reporting import samples
from igpo_lightning.sample_record import SampleRecord

PIECES = (("a <b>", False), ("c & d", True), ("\x1b[2J", False))


def record(rollout=3, text="x"):
    return SampleRecord(rollout, "Q?", "7", [(text, False), ("hint", True)], 1.1, True, False)


def test_hints_are_marked_and_text_cannot_break_out():
    assert samples.marked(PIECES) == "a <b>[[c & d]]\ufffd[2J"
    assert samples.marked(PIECES, "ansi") == "a <b>\x1b[30;43mc & d\x1b[0m\ufffd[2J"


def test_records_come_back_from_the_file(tmp_path):
    path = tmp_path / "deep" / "samples.jsonl"
    samples.append(path, [record()])
    samples.append(path, [record(rollout=4, text="ü\n\u2028\ud800")])
    first, second = samples.read(path)
    assert first == SampleRecord(3, "Q?", "7", (("x", False), ("hint", True)), 1.1, True, False)
    assert second.rollout == 4 and second.pieces[0][0].startswith("ü\n\u2028")
    assert samples.read(tmp_path / "none.jsonl") == ()


def test_a_mix_has_as_many_kinds_as_there_are():
    def kind(correct, inpainted):
        return SampleRecord(0, "Q?", "7", [("x", False)], 1.0, correct, inpainted)

    right, hinted, failed = kind(True, False), kind(True, True), kind(False, True)
    given = [right, right, hinted, hinted, failed]
    assert samples.mixed(given, 3) == [hinted, right, failed]
    assert samples.mixed(given, 9) == [hinted, right, failed, hinted, right]
    assert list(samples.by_kind([])) == list(samples.KINDS.values())


def test_console_lines():
    assert samples.describe(record()) == "[rollout 4] right, reward 1.10, gold 7\n  Q: Q?\n  A: x[[hint]]"
    traced = SampleRecord(3, "Q?", "7", [("x", False)], 1.1, True, False, "3 + 4\x1b = 7")
    assert samples.describe(traced).splitlines()[-1] == "  gold: 3 + 4\ufffd = 7"
