"""What candidates say of how they came about, and what is made of failures and flags."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput

from actors import generators
from actors.drawing import candidate_ids
from actors.generators import AnswerGenerator, DiffusersGenerator
from actors.recorded import RecordedGenerator
from actors.redraw import RedrawError, drawn_again, generator_of, is_the_same
from factory.keys import with_key
from factory.media.measures import measure, measure_all
from factory.media.pictures import encode_png
from factory.protocols import DrawsAhead
from schemas.arrow import groups_from_table, groups_to_table
from schemas.recipe import Answering, Encoding, GeneratorSpec
from schemas.rows import Candidate, Drawn, Group, Measures, Media, Part, Prompt
from tests.stubs import StubGenerator

PATH = "factory/sandbox/weights/generator"
PROMPT = Prompt.of("a large red cross in the center on a white background")
SPEC = GeneratorSpec(path=PATH, num_inference_steps=2, guidance_scale=3.0, width=32)
WEIGHTS = "0" * 32


@pytest.fixture(scope="module")
def generator() -> DiffusersGenerator:
    return DiffusersGenerator(PATH, "generator@0", SPEC, WEIGHTS)


def test_a_candidate_says_what_it_was_drawn_from(generator: DiffusersGenerator) -> None:
    """The key changes only together with the version of our drawing."""
    (one,) = generator.generate(PROMPT, [7])
    assert one.drawn is not None
    known = with_key(generator.drawing.from_what(PROMPT), PROMPT, 7)
    assert one.drawn == replace(known, num_together=1)
    assert one.drawn.key == "5cfef5d9f19d4c1def5cbb4ffb6e16c4"
    assert (one.drawn.prompt, one.drawn.weights) == (PROMPT.text, WEIGHTS)
    assert one.drawn.engine == "StableDiffusionPipeline, drawing 1"
    assert (one.drawn.precision, one.drawn.encoding, one.drawn.width) == ("fp32", "png", 32)
    asked = {"num_inference_steps": 2, "guidance_scale": 3.0}
    assert json.loads(one.drawn.arguments) == asked
    assert one.media is not None
    assert one.measures is not None
    assert one.measures == measure(one.media)
    assert one.measures.is_unsafe is None


@pytest.mark.parametrize(
    ("error", "is_attempt"),
    [(MemoryError("too small"), True), (ValueError("no such size"), False)],
    ids=["attempt", "outcome"],
)
def test_a_failure_has_the_key_of_the_success(
    generator: DiffusersGenerator,
    error: Exception,
    is_attempt: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = with_key(generator.drawing.from_what(PROMPT), PROMPT, 7)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(generator, "_draw", fail)
    (one,) = generator.generate(PROMPT, [7])
    assert (one.drawn, one.measures, one.is_attempt) == (known, None, is_attempt)
    assert one.error == f"{type(error).__name__}: {error}"


class Pipeline:
    """Stands where a pipeline does, and draws what it is told to."""

    def __init__(self, output: object) -> None:
        self.output = output

    def __call__(self, prompt: Sequence[str], **_: object) -> object:
        return self.output


def test_what_the_safety_checker_flags_is_an_error_and_no_black_picture(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((2, 8, 8, 3))
    pixels[1, 0] = 1.0
    output = StableDiffusionPipelineOutput(images=pixels, nsfw_content_detected=[True, False])
    monkeypatch.setattr(generator, "pipeline", Pipeline(output))
    flagged, fine = generator.generate(PROMPT, [1, 2])
    assert flagged.media is None
    assert flagged.error == "nsfw_content_detected: the pipeline's safety checker flagged it"
    assert not flagged.is_attempt
    assert flagged.measures is not None
    assert (flagged.measures.is_unsafe, flagged.measures.num_bytes) == (True, 0)
    assert fine.error is None
    assert fine.measures is not None
    assert fine.measures.is_unsafe is False
    assert flagged.drawn is not None
    assert flagged.drawn.key is not None


CALL = {"negative_prompt": "blurry", "guidance_rescale": 0.5, "clip_skip": None}


def test_a_recipes_arguments_of_the_call_are_said_and_given_to_each_candidate(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SPEC.model_copy(update={"call": CALL})
    called = replace(generator.drawing, spec=spec)
    drawn, before = called.from_what(PROMPT), generator.drawing.from_what(PROMPT)
    assert drawn.negative_prompt == "blurry"
    assert json.loads(drawn.arguments) == {
        **json.loads(before.arguments),
        "guidance_rescale": 0.5,
        "clip_skip": None,
    }
    assert with_key(drawn, PROMPT, 1).key != with_key(before, PROMPT, 1).key
    variant = replace(called, spec=SPEC.model_copy(update={"variant": "fp16"})).from_what(PROMPT)
    assert with_key(variant, PROMPT, 1).key != with_key(before, PROMPT, 1).key
    seen: list[dict[str, object]] = []
    ended = StableDiffusionPipelineOutput(np.zeros((2, 8, 8, 3)), None)

    class Noting(Pipeline):
        def __call__(self, prompt: Sequence[str], **given: object) -> object:
            seen.append({"prompt": prompt, **given})
            return self.output

    monkeypatch.setattr(generator, "drawing", called)
    monkeypatch.setattr(generator, "pipeline", Noting(ended))
    assert [one.error for one in generator.generate(PROMPT, [1, 2])] == [None, None]
    (given,) = seen
    assert given["prompt"] == [PROMPT.text] * 2
    assert given["negative_prompt"] == ["blurry"] * 2
    assert (given["guidance_rescale"], given["clip_skip"], given["width"]) == (0.5, None, 32)
    assert "height" not in given


def test_defaults_of_the_new_knobs_change_no_id(generator: DiffusersGenerator) -> None:
    ids = [candidate_ids("g@0", spec, PROMPT, [1]) for spec in (SPEC, GeneratorSpec(**said(SPEC)))]
    assert ids[0] == ids[1]
    changed = SPEC.model_copy(update={"call": CALL})
    assert candidate_ids("g@0", changed, PROMPT, [1]) != ids[0]


def said(spec: GeneratorSpec) -> dict[str, object]:
    """A section as a recipe from before these knobs had it."""
    return spec.model_dump(exclude={"call", "variant"})


def test_where_a_batch_fails_each_is_drawn_alone_and_one_fault_is_one_candidates(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = generator._draw

    def fail(drawn: Drawn, prompt: Prompt, seeds: Sequence[int]) -> list[generators.Raw]:
        if len(seeds) > 1 or seeds == [2]:
            raise ValueError("one at a time, and never 2")
        return draw(drawn, prompt, seeds)

    monkeypatch.setattr(generator, "_draw", fail)
    first, second, third = generator.generate(PROMPT, [1, 2, 3])
    assert [one.error is None for one in (first, second, third)] == [True, False, True]
    assert "never 2" in str(second.error)
    assert first.drawn is not None
    assert first.drawn.num_together == 1
    monkeypatch.undo()
    assert generator.generate(PROMPT, [1])[0].media == first.media


def test_pixels_are_encoded_after_they_are_drawn_and_a_fault_stays_with_its_candidate(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = generators.encode

    def encode_second(pixels: np.ndarray, fps: float, encoding: Encoding) -> Media:
        encoded.append(len(encoded))
        if len(encoded) == 1:
            raise OSError(28, "No space left on device")
        return encode(pixels, fps, encoding)

    monkeypatch.setattr(generators, "encode", encode_second)
    assert isinstance(generator, DrawsAhead)
    finish = generator.draw_ahead(PROMPT, [1, 2])
    assert encoded == []
    first, second = finish()
    assert (first.media, first.is_attempt, second.error) == (None, True, None)


def test_a_candidate_is_drawn_again_from_its_row_whatever_the_recipe_says_now(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Group(PROMPT, tuple(generator.generate(PROMPT, [1, 2, 3])))
    (row,) = groups_from_table(groups_to_table([made]))
    other = SPEC.model_copy(update={"num_inference_steps": 1, "guidance_scale": 1.0, "width": 64})
    monkeypatch.setattr(generator, "drawing", replace(generator.drawing, spec=other))
    pairs = list(drawn_again(generator, row, batch_size=2))
    assert [one for one, _ in pairs] == list(row.candidates)
    assert all(is_the_same(one, again) for one, again in pairs)
    changed = replace(generator.drawing, weights="1" * 32)
    monkeypatch.setattr(generator, "drawing", changed)
    assert not list(drawn_again(generator, row, batch_size=2))


def test_a_generator_that_the_row_does_not_name_is_refused(generator: DiffusersGenerator) -> None:
    with pytest.raises(RedrawError, match="and the candidate was drawn by 0000"):
        generator_of(PATH, generator.drawing.from_what(PROMPT))


def test_an_answer_says_how_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Answering(
        question="image : {media} question : {prompt} answer :",
        clip_question="frames : {media} question : {prompt} answer :",
        answer_end=".",
        max_new_tokens=6,
    )
    path = "factory/sandbox/weights/base4"
    spec = GeneratorSpec(path=path, answering=asking)
    generator = AnswerGenerator(path, "answerer@0", spec, WEIGHTS)
    picture = Media(encode_png(np.zeros((32, 32, 3), np.uint8)), 32, 32)
    prompt = Prompt.of("what is it ?", "image_understanding", media=picture)
    found = generator.generate(prompt, [1, 2])
    first = found[0].drawn
    assert first is not None
    known = with_key(generator.drawing.from_what(prompt), prompt, 1)
    assert first == replace(known, num_together=2)
    fixed = replace(prompt, media=Media(b"a picture", 32, 32))
    assert (
        with_key(generator.drawing.from_what(fixed), fixed, 1).key
        == "c63367a0e1e919062116d9c6b62b8ddc"
    )
    assert (first.engine, first.encoding) == ("LlavaForConditionalGeneration, drawing 1", "text")
    assert json.loads(first.arguments) == {
        "question": asking.question,
        "answer_end": ".",
        "temperature": 1.0,
        "top_p": 1.0,
        "max_new_tokens": 6,
    }
    clip = replace(prompt, media=replace(picture, num_frames=4))
    assert json.loads(generator.drawing.from_what(clip).arguments) == {
        **json.loads(first.arguments),
        "question": asking.clip_question,
        "num_frames": 8,
    }
    parts = [Part("user", "is"), Part("question", media=clip.media), Part("user", "it red ?")]
    between = Prompt.of_parts(parts, "video_understanding")
    assert json.loads(generator.drawing.from_what(between).arguments)["num_frames"] == 8
    for one in found:
        assert (one.measures is None) == (one.answer is None)
    monkeypatch.setattr(generator, "asking", Answering(question="{media} {prompt}"))
    (row,) = groups_from_table(groups_to_table([Group(prompt, tuple(found))]))
    pairs = list(drawn_again(generator, row, batch_size=1))
    assert len(pairs) == 2
    assert all(is_the_same(*pair) for pair in pairs)


# ------------------------------------------------------------------------- generators of one's own


OWN = GeneratorSpec(path="mine:Generator", name="mine", guidance_scale=2.0, width=8)


def recorded(generator: object, weights: str | None = "code:mine:Generator@1") -> RecordedGenerator:
    return RecordedGenerator(generator, "mine:Generator", OWN, weights)  # type: ignore[arg-type]


def test_what_ones_own_generator_draws_is_recorded_too() -> None:
    first, second = recorded(StubGenerator()).generate(PROMPT, [1, 2])
    assert first.drawn is not None
    assert second.drawn is not None
    assert None not in (first.drawn.key, second.drawn.key)
    assert first.drawn.key != second.drawn.key
    assert (first.drawn.engine, first.drawn.width) == ("mine:Generator", 8)
    assert json.loads(first.drawn.arguments) == {"guidance_scale": 2.0}
    assert first.media is not None
    assert first.measures is not None
    assert first.measures == measure(first.media)
    (unknown,) = recorded(StubGenerator(), None).generate(PROMPT, [1])
    assert unknown.drawn is not None
    assert unknown.drawn.key is None


def test_ones_own_generator_that_raises_leaves_candidates_with_their_keys() -> None:
    raising = replace(PROMPT, text="raise")
    (one,) = recorded(StubGenerator()).generate(raising, [1])
    known = with_key(recorded(StubGenerator()).from_what(raising), raising, 1)
    assert one.error is not None
    assert (one.drawn, one.is_attempt, one.generator) == (known, False, "stub@0")


class Rewriting:
    """Draws ahead, and says itself that it rewrote the prompt."""

    name = "mine@0"

    def draw_ahead(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        said = replace(recorded(self).from_what(prompt), prompt="more", rewritten_by="me@1")
        return lambda: [Candidate("c", self.name, one, answer="a", drawn=said) for one in seeds]

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        raise NotImplementedError


def test_what_ones_own_generator_says_itself_stands_under_the_key_known_before() -> None:
    own = recorded(Rewriting())
    (one,) = own.draw_ahead(PROMPT, [1])()
    assert one.drawn is not None
    assert (one.drawn.prompt, one.drawn.rewritten_by) == ("more", "me@1")
    assert one.drawn.key == with_key(own.from_what(PROMPT), PROMPT, 1).key
    assert one.measures is not None
    assert one.measures.num_words == 1


def test_a_picture_that_cannot_be_measured_is_no_other_pictures_fault(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = generator.generate(PROMPT, [7, 8])
    sick = plain[1].media

    def measured(media: Sequence[Media], *_: object) -> list[Measures]:
        if sick in media:
            raise ValueError("odd pixels")
        return measure_all(media)

    monkeypatch.setattr(generators, "measure_all", measured)
    monkeypatch.setattr(generators, "measure", lambda one: measured([one])[0])
    good, bad = generator.generate(PROMPT, [7, 8])
    assert good == plain[0]
    assert bad.error == "ValueError: odd pixels"
    assert bad.media is None


class Confused:
    """Gives what no row can hold, beside one good candidate."""

    name = "mine@0"

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        good, *others = StubGenerator().generate(prompt, seeds)
        pixels = Media(np.zeros((8, 8, 3)), 8, 8)  # type: ignore[arg-type]
        faulty = (
            {"answer": "and words"},
            {"media": None},
            {"media": pixels},
            {"media": Media(None, 8, 8, path="elsewhere.png")},
            {"media": None, "answer": ["words"]},
        )
        return [good, *(replace(one, **more) for one, more in zip(others, faulty, strict=True))]


def test_what_no_row_can_hold_is_an_error_of_that_candidate_alone() -> None:
    good, *others = recorded(Confused()).generate(PROMPT, range(6))
    assert good.error is None
    assert good.measures is not None
    assert [one.error for one in others] == [
        f"the generator gave {why}"
        for why in (
            "both a medium and an answer: a candidate is one of them",
            "neither a medium nor an answer, and no error",
            "a medium of ndarray, not of the bytes of a file",
            "a medium of NoneType, not of the bytes of a file",
            "an answer of list, not of str",
        )
    ]
    assert {(one.media, one.answer, one.measures) for one in others} == {(None, None, None)}
