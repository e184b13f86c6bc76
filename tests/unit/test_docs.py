"""The documents name files, keys and code that there are."""

import re
from pathlib import Path

import pytest
import torch
from fakes import FixedPolicy, loss_inputs

from igpo_lightning.sampling import BlockwiseSampler, Quota
from igpo_lightning.types import Problem

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "experiments").glob("*/README.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        place, _, anchor = link.partition("#")
        if place.startswith("http"):
            continue
        target = page.parent / place if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_site_has_every_file_that_its_pages_link_to(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    import pages

    monkeypatch.setattr(pages, "PAGES", tmp_path / "site-pages")
    pages.main()
    copied = {page: tmp_path / "site-pages" / page.relative_to(ROOT) for page in PAGES}
    targets = {
        target.parent / place: link
        for page, target in copied.items()
        for link in LINK.findall(prose(page))
        if (place := link.partition("#")[0]) and not place.startswith("http")
    }
    assert {".py", ".md", ".png"} <= {target.suffix for target in targets}
    assert [link for target, link in targets.items() if not target.exists()] == []
    assert "experiments/README.md" in (tmp_path / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_walk_names_files_that_there_are():
    found = re.findall(r"`([\w/]+\.py|[\w/]+/)`", prose(ROOT / "docs" / "architecture.md"))
    assert len(found) > 20
    places = (ROOT, ROOT / "igpo_lightning")
    assert [name for name in found if not any((place / name).exists() for place in places)] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def parts(page):
    """Names that the page's first Python block defines."""
    code = next(
        code for language, code in FENCE.findall(page.read_text(encoding="utf-8")) if language == "python"
    )
    names = {"__name__": "my_parts"}
    exec(compile(code, str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", ["README.md", "docs/extending.md"])
def test_a_reward_of_ones_own(page):
    reward = parts(ROOT / page)["Short"]()
    problems = [Problem(f"t/{i}", "", "", "1") for i in range(3)]
    assert reward(problems, ["", "x" * 10, "x" * 80]).tolist() == [1.0, 0.75, 0.0]
    assert reward.weight == 0.1


def test_a_loss_of_ones_own():
    loss = parts(ROOT / "docs/extending.md")["WeightedLikelihood"]()
    logps = torch.tensor([[[-1.0, -3.0], [-2.0, -9.0]]])
    mask = torch.tensor([[[True, True], [True, False]]])
    advantages = torch.tensor([[0.0, 0.0]])
    value, metrics = loss(loss_inputs(logps, logps, None, advantages, mask))
    assert value.item() == pytest.approx(2.0)  # the mean of 2 and 2
    assert metrics["weight_max"].item() == 1


@pytest.mark.parametrize("least, calls", [(0.1, 2), (0.99, 8)])
def test_an_acceptance_of_ones_own(least, calls):
    """Tokens have p = 0.96 and a little more from column to column: a block of 4 takes one step, or four."""
    mask, vocabulary = 1, 8
    table = torch.eye(vocabulary)[(torch.arange(9) % 5) + 2] * (5 + torch.arange(9) / 100)[:, None]
    policy = FixedPolicy(lambda tokens: table.expand(len(tokens), 9, vocabulary), mask_id=mask)
    accepts = parts(ROOT / "docs/extending.md")["Threshold"](least)
    sampler = BlockwiseSampler(8, 4, 8, acceptance=accepts)
    canvas = torch.full((2, 9), mask)
    canvas[:, 0] = 5
    samples = sampler(policy, canvas, None, [1, 2])
    assert not (samples.tokens == mask).any() and samples.tokens[0].tolist() == samples.tokens[1].tolist()
    assert samples.forwards == calls
    assert isinstance(sampler.greedy().acceptance, Quota)  # what a model is judged by keeps the schedule
