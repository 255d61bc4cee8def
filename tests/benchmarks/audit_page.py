"""How many answers of the audit page are lost by Enter, reload, Back and a crash of the browser?

    python -m tests.benchmarks.audit_page [--pairs 300]

A page with so many pairs is answered in a headless Chromium, which is killed outright a tenth of a
second after the last answer and started again. The same is then done to a page of nothing but the
two stores that a browser offers, with an entry in both twice a second.

lost_by_*: answers that are no longer there after it.
kept_by_indexeddb, kept_by_localstorage: entries there after the crash, of `entries`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from jobs.pages.audit_sample import render
from schemas.rows import Candidate, Prompt, content_id
from tests.browser import CHROMIUM, Browser
from tests.factory.some_pairs import GOOD

_NUM_ANSWERED = "document.querySelectorAll('input:checked').length"
_IS_READY = "document.readyState === 'complete' && document.forms.length"
_PAUSE_S = 0.1  # between the last answer and the crash
_ENTRIES = 80
_STORES = """<script>
const opened = new Promise(done => {
  const request = indexedDB.open("entries", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("entries");
  request.onsuccess = () => done(request.result);
});
let kept = null;
opened.then(store => {
  const request = store.transaction("entries").objectStore("entries").count();
  request.onsuccess = () => { kept = request.result; };
});
function keep(number) {
  localStorage.setItem(number, number);
  opened.then(store =>
    store.transaction("entries", "readwrite").objectStore("entries").put(number, number));
}
</script>"""


def page_of(num_pairs: int) -> str:
    """A page whose pairs are answers in words."""
    pairs = []
    for number in range(num_pairs):
        sides = [Candidate(f"{number}{one}", "generator@1", 0, answer=one) for one in "ab"]
        pair_id = content_id("pair", number)
        pair = replace(GOOD, pair_id=pair_id, prompt=Prompt.of(f"prompt {number}"))
        pairs.append(replace(pair, chosen=sides[0], rejected=sides[1]))
    sides_of = [(pair.pair_id, number % 2 == 0) for number, pair in enumerate(pairs)]
    return render(pairs, sides_of, "pairs@1").decode()


def answer(browser: Browser, numbers: range) -> None:
    """Give an answer to some pairs, one after the other."""
    for number in numbers:
        box = f"querySelectorAll('fieldset')[{number}].querySelectorAll('input')[{number % 4}]"
        browser.ask(f"document.{box}.click()")


def press_enter(browser: Browser) -> None:
    """Give the name, or give it once more."""
    browser.ask("document.forms[0].annotator.select()")
    browser.type("ann\n")


def settled(browser: Browser) -> int:
    """Answers on the page, once it has had the time to bring them back."""
    browser.wait(_IS_READY)
    time.sleep(2)
    return int(browser.ask(_NUM_ANSWERED))


def losses(page: Path, profile: Path, num_pairs: int) -> dict[str, int]:
    """Answers lost by each of four things that happen to a page."""
    half = num_pairs // 2
    browser = Browser(profile, page.parent)
    browser.open(page.as_uri())
    settled(browser)
    press_enter(browser)
    settled(browser)
    answer(browser, range(half))
    press_enter(browser)
    lost = {"lost_by_enter": half - settled(browser)}
    browser.reload()
    lost["lost_by_reload"] = half - settled(browser)
    browser.open("about:blank")
    browser.wait("!document.forms.length")
    browser.back()
    lost["lost_by_back"] = half - settled(browser)
    answer(browser, range(half, num_pairs))
    time.sleep(_PAUSE_S)
    browser.kill()
    browser = Browser(profile, page.parent)
    browser.open(page.as_uri())
    lost["lost_by_crash"] = num_pairs - settled(browser)
    browser.kill()
    return lost


def stores(page: Path, profile: Path) -> dict[str, int]:
    """Entries that each store holds after a crash."""
    page.write_text(_STORES)
    browser = Browser(profile, page.parent)
    browser.open(page.as_uri())
    browser.wait("kept === 0")
    for number in range(_ENTRIES):
        browser.ask(f"keep({number})")
        time.sleep(0.5)
    browser.kill()
    browser = Browser(profile, page.parent)
    browser.open(page.as_uri())
    browser.wait("kept !== null")
    kept = {
        "kept_by_indexeddb": int(browser.ask("kept")),
        "kept_by_localstorage": int(browser.ask("localStorage.length")),
    }
    browser.kill()
    return kept


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="answers that the audit page loses")
    parser.add_argument("--pairs", type=int, default=300)
    given = parser.parse_args()
    if not CHROMIUM:
        print("there is no Chromium on this machine; nothing was measured")
        return
    with tempfile.TemporaryDirectory() as directory:
        page = Path(directory) / "page.html"
        page.write_text(page_of(given.pairs), encoding="utf-8")
        figures = losses(page, Path(directory) / "profile", given.pairs)
        kept = stores(page, Path(directory) / "another")
    print(json.dumps({"pairs": given.pairs, **figures, "entries": _ENTRIES, **kept}))


if __name__ == "__main__":
    main()
