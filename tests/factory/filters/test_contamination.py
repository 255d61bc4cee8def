"""Prompts that overlap with evaluation prompts: exactly, by their words, and by runs of words."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from factory.filters import Contaminated, objections_of
from factory.filters.text import normalised, similarity, text_hash, word_grams
from factory.media.clips import describe
from factory.media.pictures import encode_png, hash_distance
from schemas.recipe import Objections
from schemas.rows import Part, Prompt
from tests.factory.some_pairs import GOOD

HELD_OUT = "a small red circle to the left of a large blue square on a grey background"
SETS = {"heldout.txt": [Prompt.of(HELD_OUT), Prompt.of("?!")]}
OBJECTION = Contaminated.of(SETS, 5, 0.5)


def about(text):
    return replace(GOOD, prompt=Prompt.of(text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (HELD_OUT, "contamination: the prompt is in heldout.txt"),
        (
            "A small RED circle, to the left of a large blue square on a grey background.",
            "contamination: the prompt has the same words as one in heldout.txt",
        ),
        (
            "a small red circle to the left of a large blue square on a white background",
            "contamination: 83% of the prompt's runs of 5 words are in evaluation prompts",
        ),
        # Half of the runs are shared, and no more: the nearest miss.
        ("a small red circle to the left of many green crosses here", None),
        ("a small red circle", None),  # too short for runs, and no prompt by itself
        ("a yellow cross above a cyan triangle on a black background", None),
        ("...", None),  # no words: like no other
    ],
)
def test_overlap(text, wanted):
    assert OBJECTION(about(text)) == wanted


def test_a_hash_has_the_bits_that_most_runs_have():
    abc, bcd, cde = (text_hash(run) for run in ("abc", "bcd", "cde"))
    assert text_hash("abcde") == abc & bcd | abc & cde | bcd & cde
    assert text_hash("abcd") == abc & bcd  # of two runs both: half is no majority
    assert text_hash("Abc, de!") == text_hash("abc de")
    assert text_hash("ab") != text_hash("a")


def test_a_question_is_compared_whole():
    asked = Prompt.of("what colour is the cat?", "image_understanding")
    objection = Contaminated.of({"vqa.jsonl": [asked]}, 2, 0.1)
    assert objection(replace(GOOD, prompt=asked)) == "contamination: the prompt is in vqa.jsonl"
    like = Prompt.of("What colour is the cat", "image_understanding")
    assert objection(replace(GOOD, prompt=like)) is None


def test_an_edit_is_compared_whole():
    def edit(grey):
        source = Part("source", media=describe(encode_png(np.full((8, 8, 3), grey, np.uint8))))
        return Prompt.of_parts([source, Part("user", "make it red")])

    objection = Contaminated.of({"edits.jsonl": [edit(10)]}, 2, 0.1)
    assert objection(replace(GOOD, prompt=edit(10))) == (
        "contamination: the prompt is in edits.jsonl"
    )
    assert objection(replace(GOOD, prompt=edit(20))) is None


def test_one_allows_every_overlap_but_not_the_prompt_itself():
    lenient = Contaminated.of(SETS, 5, 1.0)
    assert lenient.grams == frozenset()
    assert lenient(about(HELD_OUT.replace("grey", "white"))) is None
    assert lenient(about(HELD_OUT)) is not None


def test_it_travels_and_comes_from_the_recipe():
    found = objections_of(Objections(evaluation_gram=5, max_evaluation_overlap=0.5), SETS)
    assert found[-1] == OBJECTION
    assert pickle.loads(pickle.dumps(OBJECTION)) == OBJECTION


# --------------------------------------------------------------------------------------- texts


def test_normal_form_leaves_words():
    assert normalised("  Ａ “Red” circle—on WHITE, naïve ") == "a red circle on white naïve"
    assert normalised("?!") == ""


def test_runs_of_words():
    assert len(word_grams("one two three four", 3)) == 2
    assert word_grams("one two", 3) == []
    assert word_grams("One, two three!", 3) == word_grams("one two three", 3)


def test_similarity_is_jaccards():
    # abcd has abc, bcd; abce has abc, bce: one of three.
    assert similarity("abcd", "abce") == pytest.approx(1 / 3)
    assert similarity("abcd", "ABCD!") == 1.0
    assert similarity("", "") == 1.0
    assert similarity("?", "!") == 0.0


def test_like_texts_have_like_hashes():
    one = "the picture shows two cats on a red sofa, one of them asleep, by a lamp"
    near = one.replace("by a lamp", "by the lamp")
    far = "a plate of noodles beside a glass of water stands on a wooden table outdoors"
    assert hash_distance(text_hash(one), text_hash(one.upper())) == 0
    assert hash_distance(text_hash(one), text_hash(near)) < 16
    assert 16 < hash_distance(text_hash(one), text_hash(far)) < 48
