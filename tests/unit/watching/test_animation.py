"""Moving pictures of completions: what appears when, what stands from the start, and what can't break out."""

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from browser import CHROMIUM, REASON, Browser
from fakes import BLOCK, WIDTH, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.completing import Asked
from igpo_lightning.config import composed, quoted
from igpo_lightning.watching.animation import MARGIN, write_svg
from igpo_lightning.watching.animation import WIDTH as PIXELS
from igpo_lightning.watching.asked import questions, read_prompts
from igpo_lightning.watching.filling import Filling, Pieces
from igpo_lightning.watching.program import sample

MASK, END = 99, 0
README_PICTURE = Path(__file__).resolve().parents[3] / "docs" / "denoising.svg"
HOSTILE = "</text></svg><script>alert(1)</script>&amp;<![CDATA[ ]]> \x00\x1b[2J\x85\ufffe \"'"


class Words:
    """A tokenizer that knows these words and an end."""

    eos_token_id = END

    def __init__(self, *words):
        self.words = ("<end>", *words)

    def decode(self, ids):
        return "".join(self.words[i] for i in ids)


def filled(asked, tokens, steps, hint=(), probabilities=None):
    filling = Filling(asked, [token if i in hint else MASK for i, token in enumerate(tokens)], MASK)
    filling.tokens, filling.steps = list(tokens), list(steps)
    filling.probabilities = probabilities or [0.9] * len(tokens)
    return filling


def judged(filling, correct):
    filling.correct = correct
    return filling


def drawn(path, fillings, words):
    write_svg(path, fillings, Pieces(words), [END])
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def tag(element):
    return element.tag.rpartition("}")[2]


def is_token(element):
    return tag(element) == "text" and element.get("class") in (None, "end", "given", "given end")


def groups(svg, name):
    """The texts of tokens of each group of a class, in the order of the file."""
    return [
        [text.text for text in group.iter() if is_token(text)]
        for group in svg.iter()
        if tag(group) == "g" and name in group.get("class", "").split()
    ]


def outside(css, opening):
    """``css`` without the blocks that begin so, and how many there are."""
    kept, count = "", 0
    while (start := css.find(opening)) >= 0:
        end, depth = css.index("{", start) + 1, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(css[end], 0)
            end += 1
        kept, css, count = kept + css[:start], css[end:], count + 1
    return kept + css, count


@pytest.fixture
def hinted():
    """Steps 3, 7 and 12 write something; the second column is a hint, the last one is behind the end."""
    words = Words(" two", " <b>", " four", ".")
    tokens, steps = [1, 2, 3, 4, END, 3], [7, -1, 3, 7, 12, -1]
    filling = filled(
        Asked("1 + 1?", "x", "18"), tokens, steps, hint=[1], probabilities=[0.9, 1.0, 0.49, 0.5, 1.0, 0.1]
    )
    return filling, words


def test_tokens_appear_in_the_order_of_the_step_map(hinted, tmp_path):
    filling, words = hinted
    svg = drawn(tmp_path / "a.svg", [judged(filling, False)], words)
    assert [groups(svg, f"s{step}") for step in range(1, 5)] == [[["four"]], [["two", "."]], [["end"]], [[]]]
    assert groups(svg, "hint")[0] == ["<b>"]
    counts = [text.text for text in svg.iter() if "count" in text.get("class", "").split()]
    assert counts == [
        "step 0 of 3", "step 1 of 3", "step 2 of 3", "step 3 of 3", "3 steps: wrong, the answer is 18",
    ]  # fmt: skip


def test_each_step_has_its_time_in_the_loop(hinted, tmp_path):
    """A second of the given canvas, 0.6 s for each of three steps and a verdict, four of the end: 7.4 s."""
    filling, words = hinted
    text = drawn(tmp_path / "a.svg", [judged(filling, True)], words).findtext("{*}style")
    assert ".at { animation: 7.4s linear infinite }" in text
    times = re.findall(r"@keyframes (s\d) \{0%,([\d.]+)%\{opacity:0\}([\d.]+)%,100%\{opacity:1\}\}", text)
    expected = [("s1", 1.0, 1.2), ("s2", 1.6, 1.8), ("s3", 2.2, 2.4), ("s4", 2.8, 3.0)]
    assert [(name, float(unseen), float(seen)) for name, unseen, seen in times] == [
        (name, pytest.approx(unseen / 0.074, abs=0.01), pytest.approx(seen / 0.074, abs=0.01))
        for name, unseen, seen in expected
    ]


def test_a_hint_stands_from_the_start_and_is_told_apart(hinted, tmp_path):
    filling, words = hinted
    own = filled(Asked("1 + 1?"), [1, END], [0, 1])
    svg = drawn(tmp_path / "a.svg", [own, filling], words)
    assert groups(svg, "hint") == [[], ["<b>"], []]  # of each completion, and of the legend
    texts = [text.text for text in svg.iter() if tag(text) == "text"]
    assert texts.count("1 + 1?") == 1  # the same prompt is not said again
    assert [text for text in texts if text in ("without a hint", "with a hint")] == [
        "without a hint", "with a hint",
    ]  # fmt: skip
    assert "hint" in texts and "less likely than 50 %" in texts
    assert sum(path.get("class") == "unsure" for path in svg.iter()) == 2  # 0.49, and in the legend
    alone = drawn(tmp_path / "a.svg", [own], words)
    texts = {text.text for text in alone.iter() if tag(text) == "text"}
    assert not texts & {"hint", "without a hint", "less likely than 50 %"} and "written first" in texts


def test_it_is_read_out(hinted, tmp_path):
    filling, words = hinted
    svg = drawn(tmp_path / "a.svg", [judged(filling, True)], words)
    named = {element.get("id"): "".join(element.itertext()).strip() for element in svg if element.get("id")}
    assert svg.get("role") == "img" and svg.get("aria-labelledby").split() == list(named) == ["title", "desc"]
    assert named["desc"] == "1 + 1? two <b> four . (with a hint; 3 steps: right)."


def test_without_motion_the_end_is_shown(hinted, tmp_path):
    filling, words = hinted
    css = drawn(tmp_path / "a.svg", [judged(filling, True)], words).findtext("{*}style")
    still, moving = outside(css, "@media (prefers-reduced-motion: no-preference)")
    still, frames = outside(still, "@keyframes")
    assert (moving, frames) == (1, 4) and "animation" in css
    assert "animation" not in still and "opacity" not in still and "display" not in still
    assert "@media (prefers-color-scheme: dark)" in still


@pytest.mark.parametrize("correct", [None, False])
def test_no_text_breaks_out(tmp_path, correct):
    filling = filled(Asked(HOSTILE, HOSTILE, HOSTILE), [1, 2, 1], [0, -1, 1], hint=[1])
    svg = drawn(tmp_path / "a.svg", [judged(filling, correct)], Words(HOSTILE, " " + HOSTILE))
    assert {tag(element) for element in svg.iter()} == {
        "svg", "title", "desc", "style", "rect", "path", "text", "g",
    }  # fmt: skip
    names = {name for element in svg.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or "href" in name]
    assert "url(" not in svg.findtext("{*}style") and "@import" not in svg.findtext("{*}style")
    assert svg.findtext("{*}desc").count("<script>alert(1)</script>") == 1  # as text


def test_the_same_completions_make_the_same_file(hinted, tmp_path):
    filling, words = hinted
    for name in ("a.svg", "b.svg"):
        drawn(tmp_path / name, [judged(filling, True)], words)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def boxes(svg):
    """[x, y, width] of each token's box, in the order of the steps."""
    paths = [path.get("d") for path in svg.iter() if tag(path) == "path" and path.get("class") is None]
    return [[int(n) for n in re.match(r"M(\d+) (\d+)h(\d+)", path).groups()] for path in paths]


def test_rows_end_at_the_margin_and_long_texts_are_cut(tmp_path):
    words = Words(" word", " " + "x" * 300, "\n", " 答案")
    tokens = [1, 3, *[1] * 20, 2, 4]
    svg = drawn(tmp_path / "a.svg", [filled(Asked("why " * 200), tokens, range(24))], words)
    assert [text for step in range(1, 25) for text in groups(svg, f"s{step}")[0]] == [
        "word", "⏎", *["word"] * 20, "xxxxxxxxx…", "答案",
    ]  # fmt: skip
    placed = boxes(svg)
    assert all(x >= MARGIN and x + width <= PIXELS - MARGIN for x, _, width in placed)
    assert [width for _, _, width in (placed[0], placed[1], placed[-1])] == [52, 22, 52]  # by cells
    rows = [y for _, y, _ in placed]
    assert rows[0] == rows[1] < rows[2] and rows == sorted(rows) and len(set(rows)) == 4
    assert int(svg.get("height")) > rows[-1] + 28
    prompt = [text.text for text in svg.iter() if text.get("class") == "prompt"]
    assert len(prompt) == 4 and prompt[-1] == "…" and all(len(line) <= 60 for line in prompt)


def test_a_canvas_of_256_tokens_is_still_a_small_file(tmp_path):
    shown = [judged(filled(Asked("?"), [1] * 256, [i // 2 for i in range(256)]), True)]
    svg = drawn(tmp_path / "a.svg", shown * 6, Words(" token"))
    assert len(groups(svg, "s128")) == 4  # of the first four completions
    assert float(re.search(r"animation: ([\d.]+)s", svg.findtext("{*}style"))[1]) < 16
    drawn(tmp_path / "b.svg", shown, Words(" token"))
    assert (tmp_path / "b.svg").stat().st_size < 60_000


def test_the_picture_of_the_readme():
    text = README_PICTURE.read_text(encoding="utf-8")
    svg = ElementTree.fromstring(text)
    assert len(text.encode()) < 60_000 and "script" not in {tag(element) for element in svg.iter()}
    assert groups(svg, "hint") == [[], [";", "5", "*", "####"], []]
    verdicts = [text.text for text in svg.iter() if text.get("class") in ("count right", "count wrong")]
    assert verdicts == ["14 steps: wrong, the answer is 15", "10 steps: right"]


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_a_browser_shows_one_step_after_the_other(hinted, tmp_path):
    filling, words = hinted
    drawn(tmp_path / "a.svg", [judged(filling, True)], words)
    seen = """[...document.querySelectorAll('.at')].map((group) => Number(getComputedStyle(group).opacity))"""
    tab = Browser(tmp_path / "chromium")
    try:
        for motion, moments in (
            ("no-preference", {0: [0, 0, 0, 0], 1.5: [1, 0, 0, 0], 2.5: [1, 1, 1, 0], 7: [1, 1, 1, 1]}),
            ("reduce", {0: [1, 1, 1, 1]}),
        ):
            features = [{"name": "prefers-reduced-motion", "value": motion}]
            tab.call("Emulation.setEmulatedMedia", features=features)
            tab.call("Page.navigate", url=(tmp_path / "a.svg").as_uri())
            tab.wait("document.readyState === 'complete' && document.querySelector('.at')")
            for seconds, expected in moments.items():
                at = f"(one) => {{ one.pause(); one.currentTime = {1000 * seconds} }}"
                tab.js(f"document.getAnimations().forEach({at})")
                assert tab.js(seen) == expected
        assert tab.errors == []
    finally:
        tab.close()


def run(policy, folder, *overrides):
    policy.save(folder / "model")
    canvas = [f"sampler.length={WIDTH}", f"sampler.block_length={BLOCK}", f"sampler.steps={WIDTH}"]
    texts = [f"model.path={quoted(str(folder / 'model'))}", *canvas, *overrides]
    return sample(composed(texts, "sample"), texts, io.StringIO())


def test_the_program_writes_it_and_says_who_is_right(tmp_path):
    """The hint fills the canvas and states the answer, so that an untrained model has nothing to write."""
    policy, path, out = tiny_policy(), tmp_path / "a.svg", tmp_path / "out.jsonl"
    path.write_text("what stood there before")
    prompts = tmp_path / "p.jsonl"
    hint = ["2"] * (WIDTH - 2) + ["####", "5"]
    rows = [{"prompt": "2 + 3 ?", "hint": " ".join(hint), "answer": answer} for answer in (5, "4")]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "2 + 3 ?"}]))
    done = run(policy, tmp_path, f"prompts={prompts}", f"svg={path}", f"out={out}")
    assert [one.correct for one in done] == [True, False, None]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["answer"], line["correct"]) for line in lines] == [("5", True), ("4", False), (None, None)]
    svg = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    assert groups(svg, "hint") == [hint, hint, [], []]
    said = [text.text for text in svg.iter() if text.get("class") in ("count right", "count wrong")]
    assert said == ["0 steps: right", "0 steps: wrong, the answer is 4"]


@pytest.mark.parametrize("value, said", [
    ("nowhere/a.svg", "svg=nowhere/a.svg: there is no folder nowhere"),
    (".", "svg=.: is a folder; give a file"),
])  # fmt: skip
def test_a_file_that_cannot_be_is_refused_as_a_pages_is(tmp_path, value, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        run(tiny_policy(), tmp_path, "question=a", f"svg={value}")
    with pytest.raises(ConfigError, match=re.escape(said.replace("svg=", "html="))):
        run(tiny_policy(), tmp_path, "question=a", f"html={value}")


def test_answers_belong_to_a_prompt(tmp_path):
    assert questions("a", None, None, "3") == [Asked("a", None, "3")]
    with pytest.raises(ConfigError, match="answer=3: to which prompt"):
        questions(None, str(tmp_path), None, "3")
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a", "answer": 0.5}\n{"prompt": "b", "answer": ["x"]}\n')
    assert read_prompts(path, "y") == [Asked("a", "y", "0.5"), Asked("b", "y")]
