"""Pages in a real browser: what moves, what is filtered, what is read out; nothing fails or is loaded."""

import json
import shutil

import pytest
from browser import CHROMIUM, REASON, Browser

from igpo_lightning.completing import Asked
from igpo_lightning.pages import plotting_library
from igpo_lightning.reporting.page import write_report
from igpo_lightning.reporting.sweep import read_sweep
from igpo_lightning.reporting.sweep_write import write_sweep
from igpo_lightning.watching.filling import Filling, Pieces
from igpo_lightning.watching.page import write_page as write_sampled

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)
needs_bokeh = pytest.mark.skipif(plotting_library() is None, reason="Bokeh is not installed")
DEEP = """(function text(root) {
  return [...root.querySelectorAll("*")].filter((e) => e.shadowRoot).map((e) => text(e.shadowRoot)).join(" ")
    + [...root.children].map((e) => (e.tagName === "STYLE" ? "" : e.innerText)).join(" ");
})(document)"""  # with what is in shadow trees, as a library's tooltips are


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def tab(browser):
    browser.errors.clear()
    browser.asked.clear()
    yield browser
    assert browser.errors == []
    assert [url for url in browser.asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def page(run_folder):
    """The page of a run with three samples: early and hinted, late and right, late and wrong."""
    path = run_folder / "samples.jsonl"
    first = json.loads(path.read_text())
    columns = {"step": [1, -1, -1, 4, 2], "hint": [0, 1, 1, 0, 0], "kept": [1, 1, 0, 1, 1]}
    columns |= {"probability": [0.5, 0.0, 0.0, 0.25, 1.0], "old_logp": [-0.5, -3.0, 0.0, -0.25, -1.0]}
    first |= {"tokens": ["so ", "<4>", " ", "#### ", "7"], "columns": columns}
    breakout = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    own = first | {
        "inpainted": False,
        "rollout": 9,
        "prompt": breakout,
        "tokens": [breakout],
        "trace": breakout,
    }
    own |= {"columns": {"step": [0], "hint": [0], "kept": [1]}, "pieces": [[breakout, False]]}
    rows = [first, own, own | {"correct": False, "prompt": "How many?"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_report(run_folder)
    return run_folder / "report.html"


def drawn(tab):
    tab.wait("'drawn' in document.documentElement.dataset")


def test_the_slider_moves_and_tokens_are_read_out(tab, page):
    tab.open(page)
    tab.js("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    place = "document.querySelector('[data-sample=\"1\"]')"  # kinds stand in turns, the wrong one first
    state = f"[{place}.querySelectorAll('.empty').length, {place}.querySelector('.bar output').textContent]"
    assert tab.js(state) == [0, "step 3 of 3"]
    tab.js(f"{place}.querySelector('input').focus()")
    tab.key("ArrowLeft", 37)
    assert tab.js(state) == [1, "step 2 of 3"]
    tab.key("Home", 36)
    assert tab.js(state) == [3, "step 0 of 3"]  # hints stand from the start
    classes = f"[...{place}.querySelectorAll('.t')].map((t) => t.className)"
    assert tab.js(classes) == ["t empty", "t hint", "t hint dropped", "t empty", "t empty"]
    said = f"{place}.querySelector('.said').textContent"
    tab.js(f"{place}.querySelector('.t').focus()")
    numbers = "probability when written 0.5, old log-prob -0.5"
    assert tab.js(said) == f"token 1 of 5: “so ”, written in step 1 of 3, {numbers}"
    tab.key("ArrowRight", 39)
    assert tab.js(said) == "token 2 of 5: “<4>”, hint that carries gradient, old log-prob -3"
    tab.key("ArrowRight", 39)
    assert tab.js(said) == "token 3 of 5: “ ”, hint without gradient"
    tab.js(f"{place}.querySelector('button').click()")
    tab.wait(f"{place}.querySelector('.bar output').textContent === 'step 3 of 3'")
    assert tab.js("window.broken ?? null") is None


def test_filters_filter(tab, page):
    tab.open(page)
    shown = "[...document.querySelectorAll('.sample')].filter((one) => one.checkVisibility()).length"
    count = "document.querySelector('.filters output').textContent"
    choose = (
        "((i, value) => {{ const one = document.querySelectorAll('.filters select')[i]; one.value = value; \
one.dispatchEvent(new Event('input', {{bubbles: true}})) }})({}, '{}')"
    )
    assert tab.js(shown) == 3
    for which, value, left in ((0, "right", 2), (1, "own", 1), (2, "early", 0), (2, "late", 1), (0, "", 2)):
        tab.js(choose.format(which, value))
        assert (tab.js(shown), tab.js(count)) == (left, f"{left} of 3 shown")
    tab.js("document.querySelector('.filters input').focus()")
    tab.call("Input.insertText", text="how many")
    assert tab.js(shown) == 1


def test_a_sampled_completion_has_the_same_viewer(tab, tmp_path):
    class Words:
        eos_token_id = 0

        def decode(self, ids):
            return "".join(("", " two", " <b>", " four")[i] for i in ids)

    filling = Filling(Asked("1 + 1?", " <b>"), [9, 2, 9, 9], mask_id=9)
    filling.tokens, filling.steps, filling.probabilities = [1, 2, 3, 0], [2, -1, 0, 5], [0.5, 1.0, 0.25, 1.0]
    write_sampled(tmp_path / "page.html", [filling], Pieces(Words()), stop_ids=[0])
    tab.open(tmp_path / "page.html", 360)
    assert tab.js("document.documentElement.scrollWidth <= innerWidth")
    assert tab.js("[...document.querySelectorAll('.canvas .t')].map((t) => t.textContent)") == [
        " two", " <b>", " four", "␃",
    ]  # fmt: skip
    tab.js("document.querySelector('.bar input').focus()")
    tab.key("Home", 36)
    tab.key("ArrowRight", 39)
    assert tab.js("[...document.querySelectorAll('.canvas .empty')].map((t) => t.textContent)") == [
        " two",
        "␃",
    ]
    tab.js("document.querySelector('.canvas .t').focus()")
    said = "token 1 of 4: “ two”, written in step 2 of 3, probability when written 0.5"
    assert tab.js("document.querySelector('.said').textContent") == said


@needs_bokeh
def test_pointing_at_a_curve_shows_its_values_and_so_do_keys(tab, page):
    tab.open(page)
    drawn(tab)
    plot = "document.querySelector('.plot')"
    tab.js(f"{plot}.scrollIntoView()")
    left, top, width = tab.js(f"(({{x, y, width}}) => [x, y, width])({plot}.getBoundingClientRect())")
    assert "0.25" not in tab.js(f"{plot}.parentElement.querySelector('.said').textContent")
    tab.point(left + width / 2, top + 100)
    tab.point(left + 0.2 * width, top + 101)
    tab.wait(f"/updates 2\\s+the model alone 0\\.25\\s+of the final groups 0\\.5/.test({DEEP})", 20)
    tab.js(f"{plot}.focus()")
    said = f"{plot}.parentElement.querySelector('.said').textContent"
    tab.key("ArrowRight", 39)
    assert tab.js(said) == "updates 2: the model alone 0.25, of the final groups 0.5"
    tab.key("End", 35)
    assert tab.js(said) == "updates 4: the model alone 0.5, of the final groups 0.75"


@needs_bokeh
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_charts_follow_what_is_chosen_at_any_width(tab, page, width, dark):
    tab.open(page, width, dark=dark)
    drawn(tab)
    assert tab.js("document.documentElement.scrollWidth <= innerWidth")
    charts = tab.js("document.querySelectorAll('.chart').length")
    assert charts == tab.js("document.querySelectorAll('.chart table').length") > 5
    for code in (
        "form.elements.x.value = 'rollout'",
        "form.elements.log.checked = true",
        "form.elements.smooth.value = 3",
    ):
        tab.js(f"(() => {{ const form = document.querySelector('.controls'); {code};"
               " form.dispatchEvent(new Event('input')) })()")  # fmt: skip
        tab.js("new Promise((next) => setTimeout(next, 300))")
    tab.js("document.querySelector('.plot').focus()")
    tab.key("ArrowRight", 39)
    said = "document.querySelector('.said').textContent"
    tab.wait(f"{said}.startsWith('rollouts 1: the model alone')")
    tab.js("document.querySelector('.legend button').click()")
    tab.js("new Promise((next) => setTimeout(next, 300))")
    tab.key("Home", 36)
    assert "the model alone" not in tab.js(said)


def test_tables_of_a_sweep_sort(tab, run_folder, tmp_path):
    for name, share in (("a", 0.5), ("b", 0.7), ("c", 0.1)):
        shutil.copytree(run_folder, folder := tmp_path / "sweep" / name)
        (folder / "config.yaml").write_text(f"seed: 7\nalgo: {{name: igpo, lr: {name}}}\n")
        summary = json.loads((folder / "summary.json").read_text())
        summary["stages"][1]["accuracy_after"]["value"] = share
        (folder / "summary.json").write_text(json.dumps(summary))
    write_sweep(read_sweep(tmp_path / "sweep"))
    tab.open(tmp_path / "sweep" / "sweep.html", 360)
    assert tab.js("document.documentElement.scrollWidth <= innerWidth")
    order = (
        "[...document.querySelector('table.sortable').tBodies[0].rows].map((row) => row.cells[0].textContent)"
    )
    for expected in (["c", "a", "b"], ["b", "a", "c"]):
        tab.js("document.querySelectorAll('table.sortable th button')[2].click()")
        assert tab.js(order) == expected
