"""``igpo-sample``: prompts in, completions out, into files, onto a page and before one's eyes."""

import base64
import io
import json
import os
import re
import zlib
from html.parser import HTMLParser

import pytest
import torch
from fakes import BLOCK, WIDTH, FixedPolicy, source, tiny_policy
from omegaconf import OmegaConf

import igpo_lightning as il
from igpo_lightning import sample as script
from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.completing import Asked
from igpo_lightning.config import composed, find_conf, quoted
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.watching.asked import questions, read_prompts
from igpo_lightning.watching.filling import Filling, Pieces, take
from igpo_lightning.watching.finding import newest_toy, run_of, take_from_run, with_run
from igpo_lightning.watching.program import sample
from igpo_lightning.watching.terminal import Glyph, Terminal, wrapped

QUESTIONS = [problem.prompt for problem in source().train[:3]]
CANVAS = [f"sampler.length={WIDTH}", f"sampler.block_length={BLOCK}", f"sampler.steps={WIDTH}"]
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


@pytest.fixture(scope="module")
def model(policy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "model"
    policy.save(folder)
    return folder


def run(model, *overrides, stream=None):
    texts = [f"model.path={quoted(str(model))}", *CANVAS, *overrides]
    return sample(composed(texts, "sample"), texts, stream or io.StringIO())


class Screen(io.StringIO):
    """A terminal of which nothing is known but that it is one."""

    def isatty(self):
        return True


def test_a_prompt_is_completed_as_from_python(policy, model):
    out = io.StringIO()
    (done,) = run(model, f"question={quoted(QUESTIONS[0])}", stream=out)
    assert [done.text] == il.generate(policy, QUESTIONS[:1], length=WIDTH, block_length=BLOCK)
    assert out.getvalue() == done.text + "\n"


@pytest.mark.parametrize("watch", ["false", "true"])
def test_prompts_of_a_file(policy, model, tmp_path, watch):
    """Whether they are watched, and how many run together, changes no completion."""
    path = tmp_path / "prompts.txt"
    path.write_text("\n\n".join(QUESTIONS) + "\n")
    done = run(
        model, f"prompts={path}", f"watch={watch}", "batch_size=2", "sampler.temperature=1.0", "seed=3"
    )
    expected = il.generate(
        policy, QUESTIONS, length=WIDTH, block_length=BLOCK, temperature=1.0, seed=3, steps=WIDTH
    )
    assert [one.text for one in done] == expected
    assert [one.asked.prompt for one in done] == QUESTIONS


def test_what_is_written_to_a_file(policy, model, tmp_path):
    words = policy.tokenizer.convert_ids_to_tokens(range(10, 14))
    hint = f"{words[0]} {words[1]} ___ {words[2]}"
    run(model, f"question={quoted(QUESTIONS[0])}", f"hint={quoted(hint)}", f"out={tmp_path / 'out.jsonl'}")
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["prompt"], row["hint"]) == (QUESTIONS[0], hint)
    tokens, given, steps = row["tokens"], row["hint_mask"], row["step_map"]
    assert policy.tokenizer.decode(tokens, skip_special_tokens=True) == row["completion"]
    assert len(tokens) == len(given) == len(steps) == len(row["probabilities"]) <= WIDTH
    places = [i for i, is_given in enumerate(given) if is_given]
    assert places == [0, 1, 5][: len(places)] and [tokens[i] for i in places] == [10, 11, 12][: len(places)]
    assert [step < 0 for step in steps] == given  # every other token has been written by a step
    assert all(0 < p <= 1 for p in row["probabilities"]) and row["forwards"] <= WIDTH - 3
    if policy.eos_id not in tokens:  # one token a step: five in the first block, eight in the second
        assert row["forwards"] == WIDTH - 3


def test_jsonl_prompts_have_their_own_hints(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a", "hint": "x ___"}\n\n{"prompt": "b", "answer": 3}\n')
    assert read_prompts(path, "y") == [Asked("a", "x ___"), Asked("b", "y", "3")]
    path.write_text('{"prompt": "a"}\n{"question": "b"}\n')
    with pytest.raises(ConfigError, match=r"line 2: expected a JSON object"):
        read_prompts(path)
    path.write_text("\n")
    with pytest.raises(ConfigError, match="there is nothing in it"):
        read_prompts(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_mark_of_byte_order_and_separators_within_texts_are_no_lines(tmp_path, end):
    rows = ['{"prompt": "a\u2028b"}', '{"prompt": "c\x85d"}']
    (tmp_path / "p.jsonl").write_bytes(("\ufeff" + end.join(rows) + end).encode())
    assert [one.prompt for one in read_prompts(tmp_path / "p.jsonl")] == ["a\u2028b", "c\x85d"]
    (tmp_path / "p.txt").write_bytes(("\ufeffa\u2028b" + end + "c" + end).encode())
    assert [one.prompt for one in read_prompts(tmp_path / "p.txt")] == ["a\u2028b", "c"]


class Page(HTMLParser):
    """What is open at the end, what the page would load, and its text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.loads += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_every_token_and_loads_nothing(policy, model, tmp_path):
    word = policy.tokenizer.convert_ids_to_tokens([10])[0]
    path = tmp_path / "page.html"
    (done,) = run(model, f"question={quoted('<script> & ' + QUESTIONS[0])}", f"hint={word}", f"html={path}")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.loads == []
    (data,) = re.findall(r'id="data">([^<]+)<', text)
    (sample,) = json.loads(zlib.decompress(base64.b64decode(data)))["samples"]
    tokens = done.tokens[: done.cut(policy.stop_ids)]
    pieces = Pieces(policy.tokenizer)
    assert sample["tokens"] == [pieces.of(token) for token in tokens]
    assert sample["columns"]["hint"] == [1] + [0] * (len(tokens) - 1)
    assert len(set(sample["columns"]["step"])) == len(tokens)  # one token a step, and -1 for the hint
    assert sample["columns"]["probability"] == [round(p, 3) for p in done.probabilities[: len(tokens)]]
    assert "".join(sample["tokens"]) in page.text and "<script> & " + QUESTIONS[0] in page.text
    assert "<script> &" not in text


def test_a_terminal_is_redrawn_in_place(policy, model, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "40")
    word = policy.tokenizer.convert_ids_to_tokens([10])[0]
    screen = Screen()
    (done,) = run(model, f"question={quoted(QUESTIONS[0])}", f"hint={word}", "watch=true", stream=screen)
    text = screen.getvalue()
    frames = text.split("\x1b[1A\r")
    assert len(frames) == done.forwards + 1  # as given, then once a step
    plain = [ANSI.sub("", frame) for frame in frames]
    assert f"\x1b[7m {word}\x1b[0m" in frames[1] and plain[0].count("·") > plain[1].count("·") > 0
    assert "step 1 | 1 of 15 tokens" in plain[1] and "mean probability" in plain[1]
    assert "\x1b[38;5;27m" in frames[1] and plain[-1].endswith(f"\n{done.text}\n")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    run(model, f"question={quoted(QUESTIONS[0])}", f"hint={word}", "watch=true", stream=screen)
    assert "38;5" not in screen.getvalue() and f"\x1b[7m {word}" in screen.getvalue()


def test_elsewhere_a_block_is_a_line(policy, capsys):
    word = policy.tokenizer.convert_ids_to_tokens([10])[0]
    texts = il.generate(
        policy, QUESTIONS[:2], [f"{word} ___ {word}", None], length=WIDTH, block_length=BLOCK, watch=True
    )
    assert texts == il.generate(
        policy, QUESTIONS[:2], [f"{word} ___ {word}", None], length=WIDTH, block_length=BLOCK
    )
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and shown.count("> ") == 2
    lines = [line for line in shown.splitlines() if line.startswith("block 1 ")]
    assert len(lines) == 2 and f"[[ {word}]]" in lines[0] and "6 of 14 tokens" in lines[0]
    assert "8 of 16 tokens" in lines[1] and "[[" not in lines[1]


def test_steps_are_told_with_rows_columns_and_probabilities():
    """Logits of two tokens, ln 3 apart: the likelier has probability 3/4. Prompts of different lengths."""

    def logits(tokens):
        table = torch.full((*tokens.shape, 6), -torch.inf)
        table[..., 4], table[..., 5] = 0.0, torch.tensor(3.0).log()
        return table

    policy, told = FixedPolicy(logits), []
    canvas = torch.tensor([[7, 1, 1, 4, 1], [8, 1, 1, 1, 1]])
    sampler = BlockwiseSampler(4, 2, 2)  # a step fills a block
    samples = sampler(policy, canvas, None, [0, 1], on_step=told.append)
    assert [(step.index, step.columns) for step in told] == [(0, slice(1, 3)), (1, slice(3, 5))]
    assert told[1].written.tolist() == [[False, True], [True, True]]
    assert told[1].probability.tolist() == [[0.0, pytest.approx(0.75)], [pytest.approx(0.75)] * 2]
    moved = told[1].within(torch.tensor([9, 3]), 1)
    assert moved.rows.tolist() == [9, 3] and moved.columns == slice(2, 4)
    filling = Filling(Asked("?"), [1, 1, 4, 1], mask_id=1)
    other = Filling(Asked("?"), [1, 1, 1, 1], mask_id=1)
    for step in told:
        take([filling, other], step.within(torch.tensor([0, 1]), 1))
    assert filling.tokens == samples.tokens[0, 1:].tolist() == [5, 5, 4, 5]
    assert filling.steps == samples.step_map[0, 1:].tolist() == [0, 0, -1, 1]
    assert (filling.filled, filling.forwards, filling.sureness) == (3, 2, pytest.approx(0.75))
    noted = [0.0, 0.75, 0.75, 0.0, 0.75, 0.0, 0.75, 0.75, 0.75, 0.75]  # prompts and a hint were not drawn
    assert samples.probability.flatten().tolist() == pytest.approx(noted)
    assert samples.probability.dtype == torch.float32 and samples.entropy is None


def test_lines_are_wrapped_by_cells():
    assert wrapped(iter([Glyph("ab", "<"), Glyph(" cd"), Glyph(" e\nf")]), 5) == ["<ab\x1b[0m cd", "e", "f"]
    assert wrapped(iter([Glyph("答案")]), 4) == ["答案"]
    assert wrapped(iter([Glyph("a"), Glyph("答案")]), 4) == ["a", "答案"]
    assert wrapped(iter([Glyph("abcdefg")]), 3) == ["", "abc", "def", "g"]


def test_output_cannot_steer_a_terminal():
    class Tokenizer:
        eos_token_id = 0

        def decode(self, ids):
            return "".join("<end>" if i == 0 else "\x1b[2J" for i in ids)

    screen = Screen()
    view = Terminal(Pieces(Tokenizer()), [0], screen)
    view.begin(Filling(Asked("q\x1b[2J"), [5, 1], mask_id=1), steps=2, block_length=2)
    assert "\x1b[2J" not in screen.getvalue() and "\ufffd[2J" in screen.getvalue()


@pytest.mark.parametrize("overrides, said", [
    (["question=a", "prompts=b"], "prompts: there is a prompt, too"),
    ([], 'prompt: there is none; give prompt="What is 3 + 4 ?"'),
    (["prompts=nowhere.txt"], "prompts=nowhere.txt: no such file"),
    (["question=a", "hint=" + "_" * 17], "hint: 17 tokens do not fit a completion of 16"),
    (["question=a", "out=nowhere/out.jsonl"], "out=nowhere/out.jsonl: there is no folder nowhere"),
    (["question=a", "svg=/proc/out.svg"], "svg=/proc/out.svg: "),
    (["question=a", "model.lora={rank: 2, alpha: 4, targets: [q_proj]}"], "model.lora: nothing is trained"),
    (["question=a", "html=/"], "html=/: is a folder; give a file"),
    (["question=a", "html=one", "svg=./one"], "svg=./one: this is the file of html, too; name another one"),
    (["question=a", "device=tpu9"], "device=tpu9: expected auto, cpu, cuda"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(model, overrides, said, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(ConfigError, match=re.escape(said)):
        run(model, *overrides)


def test_the_file_of_the_prompts_is_not_written_over_under_any_name(model, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text(QUESTIONS[0])
    (tmp_path / "link").symlink_to(path)
    for key in ("out", "html"):
        with pytest.raises(ConfigError, match=rf"{key}=.*/link: this is the file of prompts, too"):
            run(model, f"prompts={path}", f"{key}={tmp_path / 'link'}")
    assert path.read_text() == QUESTIONS[0]


def test_without_a_prompt_a_person_is_asked(policy, model, monkeypatch):
    lines = iter([QUESTIONS[0], QUESTIONS[1], ""])
    monkeypatch.setattr("sys.stdin", Screen())
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    assert questions(None, None, None) is None
    assert [one.text for one in run(model)] == il.generate(
        policy, QUESTIONS[:2], length=WIDTH, block_length=BLOCK
    )


def saved_run(folder, policy, name="tiny"):
    """A run folder as training leaves it."""
    policy.save(folder / "model")
    cfg = composed(["output_dir=x", "prompt.user='Q: {question}'", "sampler.order._target_=mine"])
    cfg.model.name = name
    OmegaConf.save({key: cfg[key] for key in ("model", "sampler", "prompt")}, folder / "config.yaml")


def test_a_run_says_how_it_is_sampled_and_what_is_typed_stays(policy, tmp_path):
    folder = tmp_path / "one"
    saved_run(folder, policy)
    typed = ["sampler.steps=8", "sampler/acceptance=threshold", f"model.path={folder}"]
    texts = with_run(typed)
    assert texts[:3] == [f"model.path='{folder}/model'", "sampler.length=14", "sampler.block_length=7"]
    line = check_command_line(find_conf(), "sample", texts)
    take_from_run(line.cfg, texts)
    cfg = line.cfg
    assert (cfg.sampler.length, cfg.sampler.steps, cfg.sampler.temperature) == (14, 8, 0.0)
    assert cfg.sampler.acceptance._target_.endswith("Threshold") and cfg.sampler.order._target_ == "mine"
    assert (cfg.prompt.user, cfg.model.threads) == ("Q: {question}", 1)
    chosen = [f"model.path={folder}", "prompt=igpo", "sampler=paper"]
    cfg = check_command_line(find_conf(), "sample", with_run(chosen)).cfg
    take_from_run(cfg, chosen)
    assert (cfg.prompt.name, cfg.sampler.length) == ("igpo", 256)


def test_the_newest_toy_is_found(policy, tmp_path, monkeypatch):
    assert newest_toy(tmp_path / "runs") is None
    for age, (name, kind) in enumerate([("day/large", "llada"), ("day/new", "tiny"), ("old", "tiny")]):
        saved_run(tmp_path / "runs" / name, policy, kind)
        os.utime(tmp_path / "runs" / name / "model" / "config.json", (100 - age, 100 - age))
    assert newest_toy(tmp_path / "runs") == tmp_path / "runs" / "day" / "new"
    monkeypatch.chdir(tmp_path)
    assert with_run(["question=a"])[0] == "model.path='runs/day/new/model'"
    assert with_run(["model=llada"]) == ["model=llada"]


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"a: {b", b"\xff", b"5", b"a: ${"])
def test_a_config_that_is_none_costs_its_own_folder_only(policy, tmp_path, content):
    for age, name in enumerate(["damaged", "good"]):
        saved_run(tmp_path / name, policy)
        os.utime(tmp_path / name / "model" / "config.json", (100 - age, 100 - age))
    (tmp_path / "damaged" / "config.yaml").write_bytes(content)
    assert newest_toy(tmp_path) == tmp_path / "good"
    cfg = composed([f"model.path={tmp_path / 'damaged'}"], "sample")
    for use in (lambda: with_run([f"model.path={tmp_path / 'damaged'}"]), lambda: take_from_run(cfg, [])):
        with pytest.raises(ConfigError, match=r"damaged/config\.yaml: not (a|the) config [^\n]*$"):
            use()


def test_no_model_and_a_run_without_one_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = check_command_line(find_conf(), "sample", with_run(["question=a"])).cfg
    with pytest.raises(ConfigError, match=r"model\.path: give a model folder.* experiment=quickstart"):
        take_from_run(cfg, [])
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match="this run has left no model yet"):
        run_of(tmp_path)


@pytest.mark.parametrize("text", [
    "What is 3 + 4 ?", r"Put it in \boxed{3}, it's ${x}", "ends in \\", r"\' and \${y}", 'he said "x"',
    "'a' or 'b'", "größe #1, (x) = 3", "two\nlines",
])  # fmt: skip
def test_a_prompt_needs_no_quotes_of_hydras(text):
    for typed in ([f"prompt={text}"], [f"question={text}"]):
        line = check_command_line(find_conf(), "sample", script.as_overrides([*typed, f"hint={text}"]))
        assert (line.cfg.question, line.cfg.hint) == (text, text)


@pytest.mark.parametrize("words", [
    ["a b", "c d"], ["prompt=a b", "question=c"], ["question=a", "seed=1", "question=a"],
    ["x y", "prompt=u v"],
])  # fmt: skip
def test_of_several_prompts_none_is_dropped(words):
    with pytest.raises(ConfigError, match="prompt: there are several; give them as prompts=FILE"):
        script.one_prompt(script.as_overrides(words))
    one = script.as_overrides([words[0], "prompt=igpo", "hint=a b"])
    assert script.one_prompt(one) == one


def test_a_format_is_a_word_and_a_prompt_has_spaces():
    words = ["prompt=igpo", 'prompt="a b"', "a b", "a", "--config-dir", "c d", "hint=null", "seed=1", "~x y"]
    assert script.as_overrides(words) == [
        "prompt=igpo", "question='a b'", "question='a b'", "a", "--config-dir", "c d", "hint=null", "seed=1",
        "~x y",
    ]  # fmt: skip
