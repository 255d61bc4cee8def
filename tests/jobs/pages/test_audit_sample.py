"""The audit page in a real browser: what was answered stays, whatever becomes of the page."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from factory.human_audit.sheets import WORDS, Answer, read_sheet
from jobs.pages.audit_sample import render
from schemas.rows import Candidate, Pair, Prompt, content_id
from tests.browser import CHROMIUM, Browser, wait_until
from tests.factory.some_pairs import GOOD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine"),
]
NUM = 60
NUM_ANSWERED = "document.querySelectorAll('input:checked').length"
WORD_LIST = list(WORDS)


def pair(number: int) -> Pair:
    sides = [Candidate(f"{number}{side}", "generator@1", 0, answer=f"{side}'s") for side in "ab"]
    prompt = Prompt.of(f"prompt <b> {number}")
    pair_id = content_id("pair", number)
    return replace(GOOD, pair_id=pair_id, prompt=prompt, chosen=sides[0], rejected=sides[1])


PAIRS = [pair(number) for number in range(NUM)]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "review.html"
    sides = [(pair.pair_id, number % 3 == 0) for number, pair in enumerate(PAIRS)]
    path.write_bytes(render(PAIRS, sides, "pairs@1"))
    return path


@pytest.fixture
def start(tmp_path, page):
    """Starts the browser on the page; it is gone at the end. Its profile outlives it."""
    started = []

    def one() -> Browser:
        for old in started:
            old.kill()
        started[:] = [Browser(tmp_path / "profile", tmp_path)]
        started[0].open(page.as_uri())
        started[0].wait("document.querySelectorAll('fieldset').length > 0")
        return started[0]

    yield one
    for last in started:
        last.kill()


def give_name(browser: Browser, name: str) -> None:
    browser.ask("document.forms[0].annotator.select()")
    browser.type(f"{name}\n")


def answer(browser: Browser, numbers: range) -> None:
    for number in numbers:
        box = f"querySelectorAll('fieldset')[{number}].querySelectorAll('input')[{number % 4}]"
        browser.ask(f"document.{box}.click()")


def saved(browser: Browser, path: Path) -> list[Answer]:
    browser.ask("document.getElementById('save').click()")
    browser.wait(f"document.getElementById('note').textContent.includes('{path.name}')")
    # Its name is taken by an empty file, until the whole one takes that file's place.
    wait_until(lambda: path.is_file() and path.stat().st_size > 0, f"saved as {path}")
    return read_sheet(path, [one.pair_id for one in PAIRS])


def test_enter_reload_back_and_a_crash_take_no_answer_away(start, tmp_path):
    browser = start()
    give_name(browser, "ann")
    answer(browser, range(20))
    browser.type("\n")  # in the name field, where a form would be sent
    assert browser.ask(NUM_ANSWERED) == 20
    answer(browser, range(20, 40))
    browser.reload()
    browser.wait("performance.getEntriesByType('navigation')[0].type === 'reload'")
    browser.wait(f"{NUM_ANSWERED} === 40")
    browser.open("about:blank")
    browser.wait("!document.forms.length")
    browser.back()
    browser.wait(f"document.forms.length && {NUM_ANSWERED} === 40")
    answer(browser, range(40, NUM))
    browser.wait("localStorage.length === 0")  # the last one has reached the disk
    browser = start()  # after a kill
    browser.wait(f"{NUM_ANSWERED} === {NUM}")
    assert browser.ask("document.forms[0].annotator.value") == "ann"
    sheet = saved(browser, tmp_path / "answers-ann.csv")
    assert [one.word for one in sheet] == [WORD_LIST[n % 4] for n in range(NUM)]
    assert {one.annotator for one in sheet} == {"ann"}
    assert [one.pair_id for one in sheet] == [one.pair_id for one in PAIRS]


def test_answers_of_two_people_are_not_mixed(start, tmp_path):
    browser = start()
    answer(browser, range(5))  # before there is a name
    give_name(browser, "ann")
    browser.wait("document.getElementById('note').textContent.includes('are now those of ann')")
    answer(browser, range(5, 10))
    give_name(browser, 'ben "B" <i>')
    browser.wait(f"{NUM_ANSWERED} === 0")
    answer(browser, range(3))
    assert len(saved(browser, tmp_path / "answers-ben_B_i_.csv")) == 3
    browser.wait("localStorage.length === 0")
    browser = start()
    browser.wait(f"{NUM_ANSWERED} === 3")
    give_name(browser, "ann")
    browser.wait(f"{NUM_ANSWERED} === 10")
    sheet = saved(browser, tmp_path / "answers-ann.csv")
    assert [one.word for one in sheet] == [WORD_LIST[n % 4] for n in range(10)]
    # A name that was mistyped takes its answers along, if its owner says so.
    give_name(browser, "anna")
    browser.wait("!document.getElementById('move').hidden")
    assert browser.ask(NUM_ANSWERED) == 0
    browser.ask("document.getElementById('move').click()")
    browser.wait(f"{NUM_ANSWERED} === 10")
    assert {one.annotator for one in saved(browser, tmp_path / "answers-anna.csv")} == {"anna"}


def test_a_browser_that_keeps_nothing_says_so(start, page, tmp_path):
    browser = start()
    browser.ask("open().then(() => { window.isOpen = true; })")
    browser.wait("window.isOpen")
    assert browser.ask("document.getElementById('lossy').hidden")
    # An address of this kind has no store.
    text = base64.b64encode(page.read_bytes()).decode()
    browser.open(f"data:text/html;base64,{text}")
    browser.wait("document.forms.length && !document.getElementById('lossy').hidden")
    assert "save now" in browser.ask("document.getElementById('lossy').innerText")
    give_name(browser, "ann")
    answer(browser, range(3))
    browser.wait("unsaved.has('ann')")  # leaving the page would be warned of
    assert len(saved(browser, tmp_path / "answers-ann.csv")) == 3
    assert browser.ask("unsaved.size") == 0
