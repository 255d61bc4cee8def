"""What the sandbox base reads to learn: short documents about drawn scenes, of nine kinds.

To *see* the things in a picture or a clip, to *describe* it, to *answer* a question about it, to
*check* answers and captions, to *follow* what moves, and to *recite*. Describing, answering and
following know what was drawn; seeing, and checking a caption element by element, go by what the
oracle sees (`gallery`). Checking is the dense task that makes a judge learnable at this size: after
every word the model predicts whether that word is true, after the caption how clean the picture is
and a grade for how many words were wrong, and after two sides which of them is closer, and why.

What the oracle finds half right is learned as that: a yes for its share and a no for the rest, or a
number between its two neighbours. A word for either side of a threshold would teach the model to be
sure where the oracle is not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from transformers import PreTrainedTokenizerFast

from actors.sandbox.document import Document
from actors.sandbox.gallery import ClipSeries, Series
from actors.sandbox.tokenizer import EOS
from factory.sandbox.clip_oracle import ClipMeasurement, Track, compare_clip
from factory.sandbox.drawing import (
    CONTENT_DEFECTS,
    draw_clip,
    paths,
    spoil_motion,
    spoil_scene,
)
from factory.sandbox.imperfect import CLIP_FRAMES, SHOWN_FRAMES, SIDE, plain, soiled
from factory.sandbox.oracle import Measurement, compare
from factory.sandbox.questions import ask, check_answer, wrong_facts
from factory.sandbox.reasons import (
    reasons_between,
    reasons_from,
    reasons_of_one,
    reasons_of_two,
)
from factory.sandbox.sight import Blob
from factory.sandbox.world import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    SIZES,
    SPEEDS,
    Scene,
    caption,
    sample_scene,
)
from schemas.rows import Preference

#: Share of the checked captions that had an element changed: a caption that no one meant to draw.
_RESTATED = 0.25
#: Two pictures whose numbers of wrong elements differ by less are equally close to the caption.
_CLOSE = 0.5
#: Share of the checking documents that show one side only, and say what is wrong with it.
_ALONE = 0.25
#: What stands before a justification.
REASON = "reason :"
#: Read-outs at which the place of what moves is told for each frame that is shown.
FOLLOWING = tuple(f"frame {number} :" for number in range(1, SHOWN_FRAMES + 1))
#: Read-outs at which a checked clip's frames are told: place, colour and shape of what moves, then
#: of another thing.
WATCHING = tuple(f"{frame} colour shape thing colour shape" for frame in FOLLOWING)
#: After them, read-outs at which each of the two is said to be the same in each frame, or not, and
#: to go straight.
_SAME = "".join(f" {number}" for number in range(1, SHOWN_FRAMES + 1)) + " moving"
STEADY = f"same{_SAME} thing{_SAME}"


def _elements(document: Document, seen: Measurement, moved: ClipMeasurement | None) -> None:
    """Append the caption that was measured, expecting a yes or no after each of its elements."""
    stated = seen.stated

    def word(text: str, right: float) -> None:
        document.say(text)
        document.expect_right(right)

    for index, (thing, found) in enumerate(zip(stated.things, seen.things, strict=True)):
        if index > 0 and stated.relation is not None:
            word(stated.relation, found.place)
        elif index > 0:
            document.say("and")
        document.say("a")
        word(thing.size, found.size)
        word(thing.colour, found.colour)
        word(thing.shape, found.shape)
        if thing.place is not None:
            document.say("in the" if thing.place == "center" else "at the")
            word(thing.place, found.place)
    document.say("on a")
    word(stated.background, seen.background)
    document.say("background")
    if moved is not None and stated.motion is not None:
        document.say("moving")
        word(stated.motion.direction, moved.direction)
        word(stated.motion.speed, moved.speed)
    word(".", float(seen.num_extra == 0))


def _check(document: Document, found: Measurement | ClipMeasurement) -> None:
    """Append a caption with its checks, then what is asked of the picture or clip as a whole."""
    if isinstance(found, ClipMeasurement):
        _elements(document, found.still, found)
        _watch(document, found)
        _confirm(document, found.direction, found.speed)
        _rate(document, "clean :", found.clean)
        _rate(document, "consistency :", found.consistency)
    else:
        _elements(document, found, None)
        _rate(document, "clean :", found.clean)
    document.say("check :")
    document.expect_number(grade(found.num_wrong))


def _follow(document: Document, way: Sequence[tuple[float, float]] | None) -> None:
    """Append a read-out for each frame, at which the place of what moves is predicted: tenths of
    the side, across and down; "none" where nothing is followed.
    """
    for number, frame in enumerate(FOLLOWING):
        for text, axis in zip((frame[:-1], ":"), (0, 1), strict=True):
            document.say(text)
            if way is None:
                document.expect("none")
            else:
                document.expect_number(_tenths(way[number][axis]))


def _watch(document: Document, found: ClipMeasurement) -> None:
    """Append read-outs for each frame (`WATCHING`), at which what is seen in it is predicted: of
    what the caption moves place, colour and shape, and of the least steady other thing, or the
    largest where all are steady, its place across, colour and shape. Then read-outs (`STEADY`) at
    which these are compared.

    Whether a clip holds together is that comparison. Asked for alone it was learned by no base: it
    is one number, and nearly always the same one. From the frames alone it was three quarters
    right, hardly more than a guess.
    """
    other = min(found.others, key=lambda one: (one.steadiness, -one.blob.area), default=None)
    for number, frame in enumerate(FOLLOWING):
        moving = found.mover.seen[number] if found.mover else None
        document.say(frame[:-1])
        _expect_place(document, moving.x if moving else None)
        document.say(":")
        _expect_place(document, moving.y if moving else None)
        _expect_look(document, moving)
        beside = other.seen[number] if other else None
        document.say("thing")
        _expect_place(document, beside.x if beside else None)
        _expect_look(document, beside)
    for word, track in (("same", found.mover), ("thing", other)):
        document.say(word)
        _expect_steady(document, track)


def _expect_steady(document: Document, track: Track | None) -> None:
    """Append read-outs for whether a thing is the same in each frame, and goes straight."""
    *numbers, straight = _SAME.split()
    for at, number in enumerate(numbers):
        document.say(number)
        alike = track.alike[at] if track else False
        if alike is not None:
            document.expect_right(float(alike))
    document.say(straight)
    document.expect_right(track.straightness if track else 0.0)


def _expect_place(document: Document, share: float | None) -> None:
    """Expect a place along one side, or none."""
    if share is None:
        document.expect("none")
    else:
        document.expect_number(_tenths(share))


def _expect_look(document: Document, blob: Blob | None) -> None:
    """Append read-outs for the colour and the shape of a thing, or of none."""
    document.say("colour")
    document.expect(_nearest(blob.colour, COLOURS) if blob else "none")
    document.say("shape")
    document.expect(blob.shape if blob else "none")


def _tenths(share: float) -> float:
    """A place in tenths of the side, 0 to 9: whole in the middle of each tenth."""
    return min(9.0, max(0.0, 10 * share - 0.5))


def _confirm(document: Document, direction: float, speed: float) -> None:
    """Append whether direction and speed are as stated."""
    for text, right in (("direction :", direction), ("dynamic degree :", speed)):
        document.say(text)
        document.expect_right(right)


def _rate(document: Document, text: str, share: float) -> None:
    document.say(text)
    document.expect_number(1.0 + 4.0 * share)


def grade(num_wrong: float) -> float:
    """A grade of fit, 5 to 1, from the number of wrong elements."""
    return float(np.interp(num_wrong, (0.0, 1.0, 2.0, 3.5, 5.5), (5.0, 4.0, 3.0, 2.0, 1.0)))


def checking_document(
    tokenizer: PreTrainedTokenizerFast,
    gallery: Sequence[Series | ClipSeries],
    rng: random.Random,
    kind: type[Document] = Document,
) -> Document:
    """Two pictures or clips of one caption, each checked word by word, then which is closer to it
    and why; or only one of them, and what is wrong with it.

    Without the pictures (`BlindDocument`) only the verdict and its reasons are told. Which elements
    they are about cannot be known then, but their names can: they are in the caption.
    """
    series = rng.choice(gallery)
    if rng.random() < 0.5:
        series = series.mirror()
    stated = series.stated
    if rng.random() < _RESTATED:  # another caption for the same pictures
        stated = spoil_scene(stated, rng.choice(CONTENT_DEFECTS), rng)
        if stated.motion is not None and rng.random() < 0.5:
            stated = spoil_motion(stated, rng.choice(("direction", "speed")), rng)
    medium = "image" if isinstance(series, Series) else "video"
    document = kind(tokenizer)
    found: list[Measurement | ClipMeasurement] = []
    for number, at in enumerate(rng.sample(range(len(series.sights)), 2), start=1):
        document.say(f"{medium} {number} :")
        if isinstance(series, Series):
            document.show(series.pictures[at])
            found.append(compare(stated, series.sights[at]))
        else:
            document.show(*series.clips[at])
            found.append(compare_clip(stated, series.sights[at]))
        document.say("caption :")
        _check(document, found[-1])
        if number == 1 and rng.random() < _ALONE:
            _explain(document, reasons_of_one(found[0]))
            return document
    document.say("closer :")
    difference = found[1].num_wrong - found[0].num_wrong
    closer = _closer(difference, _CLOSE)
    _conclude(document, medium, closer, reasons_of_two(closer, found[0], found[1], medium))
    return document


def _explain(document: Document, why: str) -> None:
    """Append the grade, which is predicted already, and the reason for it: as a judge is read."""
    document.take()
    document.say(REASON)
    document.answer(f"{why} {EOS}")


def _closer(lead: float, limit: float) -> Preference:
    return "tie" if abs(lead) < limit else "first" if lead > 0 else "second"


def _conclude(document: Document, medium: str, closer: Preference, why: str) -> None:
    """Append which is better, of which the tokens that decide are predicted, and why."""
    if closer == "tie":
        document.answer("both")
        document.say(f"{medium}s are equally good . {REASON}")
    else:
        better, worse = (1, 2) if closer == "first" else (2, 1)
        document.answer(f"{medium} {better}")
        document.say(f"is better than {medium} {worse} . {REASON}")
    document.answer(f"{why} {EOS}")


#: Things that are told of one picture or clip: the largest ones.
_MAX_TOLD = 4
#: Way over a whole clip, in sides, from which a thing is said to move.
_MOVING = 0.07


def seeing_document(
    tokenizer: PreTrainedTokenizerFast, gallery: Sequence[Series | ClipSeries], rng: random.Random
) -> Document:
    """One picture or clip and each thing that the oracle sees in it, from left to right: place,
    size, colour and shape; in a clip also how far it moves, and where to.

    A checked caption asks a yes or no of each word, which says little of what is there instead.
    What a thing is seen as, whoever asks, is learned from this.
    """
    series = rng.choice(gallery)
    if rng.random() < 0.5:
        series = series.mirror()
    at = rng.randrange(len(series.sights))
    document = Document(tokenizer)
    things: list[tuple[Blob, tuple[float, float] | None]]
    if isinstance(series, Series):
        document.say("image :")
        document.show(series.pictures[at])
        things = [(blob, None) for blob in series.sights[at].blobs]
    else:
        document.say("video :")
        document.show(*series.clips[at])
        things = [(track.blob, track.way) for track in series.sights[at].tracks]
    document.say("things :")
    largest = sorted(things, key=lambda thing: -thing[0].area)[:_MAX_TOLD]
    for blob, way in sorted(largest, key=lambda thing: thing[0].x):
        document.answer_number(_tenths(blob.x))
        document.answer_number(_tenths(blob.y))
        document.answer(_nearest_ratio(blob.extent, SIZES))
        document.answer(_nearest(blob.colour, COLOURS))
        document.answer(blob.shape)
        if way is not None:
            _tell_way(document, way)
    document.answer("on")
    document.answer(_nearest(series.sights[at].background, BACKGROUNDS))
    _rate(document, "clean :", series.sights[at].clean)
    if not isinstance(series, Series):
        _rate(document, "consistency :", series.sights[at].consistency)
    return document


def _tell_way(document: Document, way: tuple[float, float]) -> None:
    for step in way:
        document.answer_number(min(9.0, max(0.0, 4.5 + 10 * step)))
    length = math.hypot(*way)
    if length < _MOVING:
        document.answer("none none")
        return
    along = {name: way[0] * x + way[1] * y for name, (x, y) in DIRECTIONS.items()}
    document.answer(max(along, key=lambda name: along[name]))
    document.answer(_nearest_ratio(length, SPEEDS))


def _nearest_ratio(value: float, options: Mapping[str, float]) -> str:
    return min(options, key=lambda name: abs(math.log(max(value, 1e-6) / options[name])))


def _nearest(
    colour: tuple[float, float, float], palette: Mapping[str, tuple[int, int, int]]
) -> str:
    return min(palette, key=lambda name: math.dist(colour, palette[name]))


def answering_document(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Document:
    """One drawn picture or clip and questions about it. Two answers to each are checked word by
    word and graded, then which is closer to the truth, and to the last question why.
    """
    document = Document(tokenizer)
    scene = _show_scene(document, rng)
    num_questions = rng.randint(1, 3)
    for number in range(num_questions):
        question = ask(scene, rng, num_answers=5)
        document.say(f"question : {question.text}")
        shares = []
        given = [rng.choice(question.answers) for _ in range(2)]
        for side, answer in enumerate(given, start=1):
            document.say(f"answer {side} :")
            right = check_answer(scene, question.text, answer.text)
            for word, is_right in zip(answer.text.split(), right, strict=True):
                document.say(word)
                document.expect("yes" if is_right else "no")
            document.say(".")
            _rate(document, "check :", answer.correctness)
            if side == 1 and number == num_questions - 1 and rng.random() < _ALONE:
                faults = wrong_facts(scene, question.text, answer.text)
                _explain(document, reasons_from(faults))
                return document
            shares.append(answer.correctness)
        document.say("closer :")
        closer = _closer(shares[0] - shares[1], 1e-6)
        of_each = [wrong_facts(scene, question.text, answer.text) for answer in given]
        if number < num_questions - 1:
            document.answer(
                "both" if closer == "tie" else f"answer {1 if closer == 'first' else 2}"
            )
            document.say(".")
        else:
            why = reasons_between(closer, of_each[0], of_each[1], "answer")
            _conclude(document, "answer", closer, why)
    return document


def telling_document(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Document:
    """One drawn picture or clip, a question with its right answer, then the description."""
    document = Document(tokenizer)
    scene = _show_scene(document, rng)
    question = ask(scene, rng)
    document.say(f"question : {question.text} answer :")
    document.answer(f"{question.answers[0].text} .")
    document.say("describe :")
    document.answer(caption(scene) + " " + EOS)
    return document


def reciting_document(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Document:
    """A caption and the same again.

    A reason names elements of the caption: it copies them. Reasons alone did not teach that in
    thousands of steps; they named a colour of one thing and the shape of another.
    """
    document = Document(tokenizer)
    text = caption(sample_scene(rng, moving=rng.random() < 0.5))
    document.say(f"caption : {text} . describe :")
    document.answer(f"{text} {EOS}")
    return document


def motion_document(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Document:
    """One drawn clip, where what moves is in every frame, and how it moves: told, or compared with
    a caption.

    Motion is two words of a checked caption, too few to be learned from those alone: they stayed at
    chance for as long as all else took. Following a thing can be learned, and motion read from it.
    """
    document = Document(tokenizer)
    scene = sample_scene(rng, moving=True)
    if len(scene.things) > 1 and rng.random() < 0.5:
        scene = sample_scene(rng, moving=True)
    if rng.random() < 0.5:
        _show_clip(document, rng, scene if rng.random() > 0.1 else replace(scene, motion=None))
        return document
    stated, shown = scene, scene
    right = [1.0, 1.0]
    if rng.random() < 0.6:
        defect = rng.choice(("direction", "speed", "still"))
        shown = spoil_motion(scene, defect, rng)
        right = {"direction": [0.0, 1.0], "speed": [1.0, 0.0], "still": [0.0, 0.0]}[defect]
    document.say("video 1 :")
    way = _draw_followed(document, rng, shown)
    document.say(f"caption : {caption(stated)} .")
    _follow(document, way)
    _confirm(document, *right)
    return document


def _draw_followed(
    document: Document, rng: random.Random, scene: Scene
) -> list[tuple[float, float]]:
    """Show a clip; where its first thing is in each frame that is shown."""
    seed = rng.getrandbits(32)
    frames = soiled(draw_clip(scene, random.Random(seed), SIDE, CLIP_FRAMES), rng)
    way = paths(scene, random.Random(seed), CLIP_FRAMES)[0]
    shown = range(rng.randrange(2), CLIP_FRAMES, CLIP_FRAMES // SHOWN_FRAMES)
    document.show(*frames[list(shown)])
    return [way[index] for index in shown]


def _show_clip(document: Document, rng: random.Random, scene: Scene) -> None:
    """Show a clip and tell what moves: where it is in each frame, its direction and its speed."""
    document.say("video :")
    way = _draw_followed(document, rng, scene)
    _follow(document, way if scene.motion is not None else None)
    document.say("moving")
    document.expect(scene.motion.direction if scene.motion else "none")
    document.say(":")
    document.expect(scene.motion.speed if scene.motion else "none")


def _show_scene(document: Document, rng: random.Random) -> Scene:
    """Show a random drawn scene, as a clip in half of all cases."""
    is_clip = rng.random() < 0.5
    scene = sample_scene(rng, moving=is_clip)
    if is_clip:
        _show_clip(document, rng, scene)
    else:
        document.say("image :")
        document.show(plain(scene, rng))
    return scene
