"""Keys: they hold what could change the outcome, and nothing else."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory import keys
from factory.media.pictures import encode_png
from schemas.rows import Candidate, Drawn, Measures, Media, Origin, Part, Prompt

PROMPT = Prompt.of("a red circle", tags={"style": "plain"})
DRAWN = Drawn(None, "a red circle", "weights", "StableDiffusionPipeline", "fp32", "png")
FIRST = Candidate("a", "sketch@0", 1, Media(b"one", 8, 8))
SECOND = Candidate("b", "sketch@0", 2, Media(b"two", 8, 8))
ASKING = keys.Asking("weights", "fp32", {"template": "{media} {prompt}"}, {"template": "both"})


def test_golden_keys_stay_what_they_are() -> None:
    """They change only together with the version of our drawing or asking."""
    assert (keys.DRAWING, keys.ASKING) == (1, 2)
    assert keys.with_key(DRAWN, PROMPT, 7).key == "e2b322ac6637ee03bd915fb7316d0b5f"
    assert keys.reply_key(ASKING, "score", PROMPT, [FIRST]) == "04ac7ec6df0f50111dff6cf54c3dde93"
    assert (
        keys.reply_key(ASKING, "duel", PROMPT, [FIRST, SECOND])
        == "3b98c8f36c887da1fea2a807eb83fec3"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a red circle, in oil"},
        {"rewritten_by": "rewriter@1"},
        {"negative_prompt": "blurry"},
        {"weights": "others"},
        {"engine": "FluxPipeline"},
        {"precision": "bf16"},
        {"encoding": "jpeg 90"},
        {"arguments": '{"guidance_scale":7.0}'},
        {"width": 512},
        {"height": 512},
        {"num_frames": 16},
        {"adapters": ("style",)},
    ],
)
def test_a_candidate_has_another_key_where_anything_that_it_is_drawn_from_differs(change) -> None:
    assert (
        keys.with_key(replace(DRAWN, **change), PROMPT, 7).key
        != keys.with_key(DRAWN, PROMPT, 7).key
    )


def test_a_candidate_has_another_key_for_another_prompt_or_seed() -> None:
    found = {
        keys.with_key(DRAWN, prompt, seed).key
        for prompt in (
            PROMPT,
            Prompt.of("a blue circle"),
            Prompt.of(PROMPT.text, "video_generation"),
        )
        for seed in (7, 8)
    }
    assert len(found) == 6


def test_how_many_were_computed_together_is_in_no_key() -> None:
    together = replace(DRAWN, num_together=4)
    assert keys.with_key(together, PROMPT, 7).key == keys.with_key(DRAWN, PROMPT, 7).key


def test_no_name_tag_or_licence_is_in_a_key() -> None:
    other = replace(PROMPT, prompt_id="f" * 16, tags={}, origin=Origin("a book"))
    renamed = replace(FIRST, candidate_id="z", generator="other@3", seed=99)
    assert keys.with_key(DRAWN, other, 7) == keys.with_key(DRAWN, PROMPT, 7)
    assert keys.reply_key(ASKING, "score", other, [renamed]) == keys.reply_key(
        ASKING, "score", PROMPT, [FIRST]
    )


def test_whose_weights_are_not_known_has_no_key() -> None:
    assert keys.with_key(replace(DRAWN, weights=None), PROMPT, 7).key is None
    nobody = replace(ASKING, weights=None)
    assert keys.reply_key(nobody, "score", PROMPT, [FIRST]) is None
    failed = Candidate("c", "sketch@0", 3, error="no")
    assert keys.reply_key(ASKING, "duel", PROMPT, [FIRST, failed]) is None


def test_a_reply_has_another_key_for_other_sides_their_order_kind_or_asking() -> None:
    found = [
        keys.reply_key(asking, kind, prompt, sides)
        for asking in (ASKING, replace(ASKING, precision="bf16"), replace(ASKING, weights="w"))
        for kind in ("score", "duel")
        for prompt in (PROMPT, replace(PROMPT, text="a red circle\nIs it sharp?"))
        for sides in ([FIRST], [SECOND], [FIRST, SECOND], [SECOND, FIRST])
    ]
    assert None not in found
    assert len(set(found)) == len(found)


def test_the_asking_of_the_other_kind_is_in_no_key() -> None:
    other = replace(ASKING, duel={"template": "one against the other"})
    assert keys.reply_key(other, "score", PROMPT, [FIRST]) == keys.reply_key(
        ASKING, "score", PROMPT, [FIRST]
    )


def test_an_output_is_known_by_its_bytes_whether_or_not_they_are_at_hand() -> None:
    answer = Candidate("a", "vlm@0", 1, answer="a circle")
    for candidate in (FIRST, answer):
        digest = keys.output_digest(candidate)
        assert digest is not None
        away = replace(candidate, media=None, answer=None, measures=Measures(digest, 3))
        assert keys.output_digest(away) == digest
    assert keys.output_digest(Candidate("c", "vlm@0", 1, error="no")) is None


def test_the_order_of_parts_is_in_the_digest_of_a_prompt() -> None:
    parts = (Part("question", media=Media(b"one", 8, 8)), Part("user", "what is it?"))
    one, other = (replace(PROMPT, parts=found) for found in (parts, parts[::-1]))
    assert len({keys.prompt_digest(found) for found in (PROMPT, one, other)}) == 3


def test_what_was_shown_otherwise_before_has_another_key() -> None:
    """A reply about a picture that lay on its side is not taken over; one about a plain one is."""
    pixels = np.full((8, 16, 3), 90, np.uint8)
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    for data, is_same in ((encode_png(pixels), True), (buffer.getvalue(), False), (b"x", True)):
        digest = hashlib.sha256(data).hexdigest()
        prompt = Prompt.of("?", "image_understanding", media=Media(data, 16, 8))
        as_before = keys.key_of("prompt", prompt.task, "?", digest, [])
        assert (keys.prompt_digest(prompt) == as_before) == is_same
