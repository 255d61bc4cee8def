"""What pages show of a prompt of several parts: all of it, in its order."""

import re
from dataclasses import replace

from jobs.pages import audit_sample, collect
from jobs.pages.pictures import show_parts
from schemas.rows import Media, Part, Prompt
from tests.factory.some_pairs import GOOD, media, picture

DIALOGUE = Prompt.of_parts(
    [
        Part("question", media=media(picture(1))),
        Part("user", "what <b> ?"),
        Part("assistant", "a cube"),
        Part("question", media=Media(b"broken", 1, 1)),
        Part("user", "and this ?"),
    ],
    "image_understanding",
)


def test_a_plain_prompt_has_its_text_and_the_medium_that_it_is_about() -> None:
    assert show_parts(Prompt.of("a cross")) == ()
    (part,) = show_parts(Prompt.of("what ?", "image_understanding", media=media(picture(1))))
    assert (part.role, part.text, part.picture is None) == ("question", None, False)


def test_the_audit_page_shows_all_parts_in_order() -> None:
    pair = replace(GOOD, prompt=DIALOGUE)
    page = audit_sample.render([pair], [(pair.pair_id, True)], "pairs@1").decode()
    shown = page[page.index("<legend>") : page.index('<div class="sides">')]
    told = re.findall(r"<small>|<img|what &lt;b&gt; \?|a cube|cannot be shown|and this \?", shown)
    assert told[0] == "and this ?"  # what is answered
    assert [one for one in told[1:] if one != "<small>"] == [
        "<img",
        "what &lt;b&gt; ?",
        "a cube",
        "cannot be shown",
        "and this ?",
    ]


def test_the_example_of_a_report_has_all_parts_in_order() -> None:
    example = collect._example(replace(GOOD, prompt=DIALOGUE), None)
    assert example.prompt == "and this ?"
    assert [(one.role, one.text) for one in example.parts] == [
        ("question", None),
        ("user", "what <b> ?"),
        ("assistant", "a cube"),
        ("question", None),
        ("user", "and this ?"),
    ]
    assert [one.picture is None for one in example.parts] == [False, True, True, True, True]
