"""Turns, figures of a result, tables, and records, with contenders whose time is given."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from igpo_lightning.checks import ConfigError
from igpo_lightning.measuring import pictures, rounds
from igpo_lightning.measuring.contenders import Contender
from igpo_lightning.measuring.meter import Meter, Turn, resident_peak
from igpo_lightning.measuring.records import ratios_of, read_ratios, slower_than, write_ratios
from igpo_lightning.measuring.rounds import Result, measure
from igpo_lightning.measuring.tables import cases_table, exponent, growth, growth_table, notes, phases_table
from igpo_lightning.progress import work

CPU = torch.device("cpu")
GIB = 2**30


def scripted(what, name, seconds, log):
    """A contender that takes the given seconds, turn by turn; the first is that of the warm-up."""
    left = iter(seconds)

    def work(load, meter):
        log.append(name)
        seconds = next(left)
        meter.turn = Turn(seconds, cpu=seconds**2, tokens=100, row_forwards=25)

    return Contender(what, name, [], SimpleNamespace(device=CPU), work, own_network=True)


@pytest.fixture
def results(monkeypatch):
    rates, log = iter([1e9, 4e9, 2e9]), []
    monkeypatch.setattr(rounds, "rate_of", lambda contender: next(rates))
    found = measure(
        [
            scripted("sampling", "published", [99, 4, 6, 8], log),
            scripted("sampling", "exact", [99, 1, 2, 4], log),
            scripted("update", "alone", [99, 1, 1, 1], log),
        ],
        repeats=3,
    )
    return found, log


def test_contenders_take_turns_and_each_round_begins_with_another(results):
    _, log = results
    assert log[:3] == ["published", "exact", "alone"]  # warming up
    assert log[3:] == [
        *("published", "exact", "alone"), *("exact", "alone", "published"), *("alone", "published", "exact")
    ]  # fmt: skip


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds(results):
    published, exact, alone = results[0]
    assert exact.ratios == [4.0, 3.0, 2.0] and exact.ratio == 3.0
    assert (exact.seconds, exact.spread) == (2, 1.5)  # median of 1, 2, 4; (4 - 1) / 2
    assert (exact.tokens_per_second, exact.forwards_per_token) == (50.0, 0.25)
    assert published.ratio == 1.0 and alone.ratio is None
    assert exact.rate == 4e9  # the best of the run
    assert exact.cpu_ratio == 9.0  # processor time here is the square: 16, 9, 4
    theirs = replace(exact, name="LLaDA's own")
    assert ratios_of([*results[0], theirs]) == {"sampling/exact": 9.0}
    for result in (published, exact):
        for turn in result.turns:
            turn.cpu = 0.0
    assert ratios_of(results[0]) == {"sampling/exact": 3.0}


def test_the_share_of_the_rate():
    result = Result("sampling", "exact", [], [Turn(2.0, tokens=1)], operations=6 * 10**9, rate=1e10)
    assert result.share == pytest.approx(0.3)
    assert Result("sampling", "exact", [], [Turn(2.0, tokens=1)], rate=1e10).share is None


def test_memory_is_the_most_of_any_round():
    turns = [Turn(1, memory=5 * GIB, before=4 * GIB), Turn(1, memory=6 * GIB, before=3 * GIB)]
    result = Result("update", "exact", [], turns)
    assert (result.memory, result.memory_of_work) == (6 * GIB, 3 * GIB)
    assert Result("update", "exact", [], [Turn(1)]).memory is None


def test_the_tables_say_what_was_measured(results):
    lines = cases_table(results[0]).splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == 5
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == [
        *("sampling", "exact", "2", "150%", "3.00", "9.00", "50", "0.25", "", "", "")
    ]
    phased = Result("iteration", "exact", ["a=b"], [Turn(3, {"sample": 2.0, "update": 1.0}, tokens=1)])
    assert phases_table(results[0]) == ""
    assert "| iteration | exact | 2      | 1      |" in phases_table([*results[0], phased])
    assert notes([*results[0], phased]) == "iteration, exact: a=b"


def test_growth_is_a_power():
    """From 2 to 8 (four times) the time goes from 1 s to 16 s: the square."""
    points = [
        Result("sampling", "exact", [], [Turn(seconds)], point={"batch": value})
        for value, seconds in ((8, 16.0), (2, 1.0), (4, 4.0))
    ]
    ((key, line),) = growth(points).items()
    assert key == ("batch", "sampling", "exact") and [value for value, _ in line] == [2, 4, 8]
    assert exponent(line) == pytest.approx(2.0)
    assert "2: 1, 4: 4, 8: 16" in growth_table(points) and "batch^2.00" in growth_table(points)


def test_pictures_are_drawn(results, tmp_path):
    pictures.bars(results[0], tmp_path / "bars.png", "a machine")
    grown = [Result("sampling", "exact", [], [Turn(value * 1.0)], point={"batch": value}) for value in (1, 4)]
    pictures.curves(grown, tmp_path / "curves.png")
    for name in ("bars.png", "curves.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


RECORD = {
    "sizes": {"rows": 4, "vocabulary": 8192}, "machine": {"device": "here", "is_cpu": True},
    "provenance": {"started": "now", "git": None, "python": "3", "platform": "x", "packages": {"torch": "2"}},
}  # fmt: skip


def test_recorded_ratios_come_back(results, tmp_path):
    write_ratios(tmp_path / "new" / "cpu.json", RECORD, results[0])
    assert read_ratios(tmp_path / "new" / "cpu.json", RECORD["sizes"]) == ({"sampling/exact": 9.0}, 0.4)
    with pytest.raises(ConfigError, match=r"recorded with vocabulary 8192, this is 512"):
        read_ratios(tmp_path / "new" / "cpu.json", {"rows": 4, "vocabulary": 512})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ratios": 3}'])
def test_what_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "cpu.json").write_text(content)
    with pytest.raises(ConfigError, match="holds no recorded ratios"):
        read_ratios(tmp_path / "cpu.json", {})


def test_what_got_slower_is_named():
    recorded = {"sampling/exact": 10.0, "update/exact": 4.0, "iteration/exact": 5.0}
    now = {"sampling/exact": 5.9, "update/exact": 2.5, "sampling/other": 1.0}
    assert slower_than(recorded, 0.4, now) == [
        "sampling/exact: 5.90 times the published code, recorded with 10.00 (at least 6.00 is asked for)",
        "iteration/exact: recorded with 5.00 times the published code, not measured now",
    ]


def test_the_record_of_this_repository_can_be_read():
    from igpo_lightning.config import find_conf

    file = find_conf().parent / "benchmarks" / "cpu.json"
    ratios, tolerance = read_ratios(file, {})
    assert {name.partition("/")[0] for name in ratios} == {"sampling", "update", "iteration"}
    assert 0 < tolerance < 1 and all(ratio > 0 for ratio in ratios.values())
    assert json.loads(file.read_text())["sizes"]["vocabulary"] == 8192


def test_a_meter_cuts_time_into_phases(monkeypatch):
    """The clock ticks once a look: start 0, sample 1 to 2, stop 3."""
    ticks = iter(range(100))
    monkeypatch.setattr("igpo_lightning.measuring.meter.time.perf_counter", lambda: float(next(ticks)))
    meter = Meter(CPU)
    with meter.running(), meter.phase("sample"):
        pass
    assert (meter.turn.seconds, meter.turn.phases) == (3.0, {"sample": 1.0})


def test_a_meter_takes_phases_from_the_progress_of_work():
    from igpo_lightning import progress

    meter = Meter(CPU)
    with meter.running(), progress.observed(meter.observe):
        with work("sample", 4), work("inner", 2):  # what is within other work is a part of it
            progress.began(4)
        with work("score", 4):
            pass
    assert list(meter.turn.phases) == ["sample", "score"]


@pytest.mark.skipif(resident_peak() is None, reason="this system does not tell the resident set")
def test_memory_that_was_held_for_a_moment_is_seen_and_that_of_an_earlier_turn_is_not():
    meter = Meter(CPU)
    with meter.running():
        torch.ones(2**26, dtype=torch.float32)  # 256 MiB
    held = meter.turn
    with meter.running():
        pass
    if held.before is None:
        pytest.skip("the peak can't be reset here")
    assert held.memory - held.before >= 0.9 * 2**28
    assert meter.turn.memory - meter.turn.before < 2**26
