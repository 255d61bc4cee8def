"""The sandbox base vision-language model: a small LLaVA, pretrained from scratch on drawn scenes.

It learns what a verdict is made of, and nothing of it from a preference: to *see* the things in a
picture or a clip, to *describe* it, to *answer* a question about it, to *check* answers and
captions, and to *follow* what moves. Describing, answering and following know what was drawn;
seeing, and checking a caption element by element, go by what the oracle sees (`gallery`). Checking
is the dense task that makes a judge learnable at this size: after every word the model predicts
whether that word is true, after the caption how clean the picture is and a grade for how many words
were wrong, and after two sides which of them is closer, and why. The judge is fine-tuned from this
base (`jobs.train_judge`), as real judges are from real base models.

What the oracle finds half right is learned as that: a yes for its share and a no for the rest, or a
number between its two neighbours. A word for either side of a threshold would teach the model to be
sure where the oracle is not.

A clip is its frames in a row, each through the vision tower as a picture.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from factory.judging.specification import DEFAULT, JudgeSpecification, TaskSpecification
from factory.sandbox.clip_oracle import ClipMeasurement, compare_clip
from factory.sandbox.drawing import (
    CONTENT_DEFECTS,
    Pixels,
    draw_clip,
    paths,
    spoil_motion,
    spoil_scene,
)
from factory.sandbox.gallery import (
    CLIP_FRAMES,
    SHOWN_FRAMES,
    SIDE,
    ClipSeries,
    Series,
    plain,
    soiled,
)
from factory.sandbox.oracle import Measurement, compare
from factory.sandbox.questions import ask, check_answer, wrong_facts
from factory.sandbox.reasons import (
    reasons_between,
    reasons_from,
    reasons_of_one,
    reasons_of_two,
)
from factory.sandbox.sight import Blob
from factory.sandbox.tokenizer import EOS, IMAGE, build_tokenizer
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
from schemas.rows import Preference, Task, seed_of

PATCH = 8
TOKENS_PER_IMAGE = (SIDE // PATCH) ** 2
MAX_CONTEXT = 320
_WIDTH = 128
_IGNORED = -100
#: Share of the checked captions that had an element changed: a caption that no one meant to draw.
_RESTATED = 0.25
#: Two pictures whose numbers of wrong elements differ by less are equally close to the caption.
_CLOSE = 0.5
#: Share of the checking documents that show one side only, and say what is wrong with it.
_ALONE = 0.25
#: What stands before a justification.
REASON = "reason :"
#: The least probability of each of its tokens.
_SURE = 0.6

Log = Callable[[str], None]


#: Read-outs at which the model has learned to say where the moving thing is in each frame.
_FRAMES = " ".join(f"frame {number} :" for number in range(1, SHOWN_FRAMES + 1))


def _asked(task: Task, before: str, side: str) -> TaskSpecification:
    """A specification from what is said before the first side, and a side with # for its number."""
    one, two = (side.replace("#", number) for number in "12")
    return replace(
        DEFAULT.task(task),
        pointwise=f"{before}{one}",
        pairwise=f"{before}{one} {two} closer :",
        reason=REASON,
        reason_confidence=_SURE,
    )


#: How this base is asked to judge: in the words that it knows from checking, so that fine-tuning on
#: preferences has to change its taste and not its language. Saved beside the weights.
SPECIFICATION = JudgeSpecification(
    {
        "image_generation": _asked(
            "image_generation", "", "image # : {media} caption : {prompt} . clean : check :"
        ),
        "video_generation": _asked(
            "video_generation",
            "",
            "video # : {media} caption : {prompt} . "
            + _FRAMES
            + " direction : dynamic degree : clean : consistency : check :",
        ),
        "image_understanding": _asked(
            "image_understanding",
            "image : {media} question : {prompt} ",
            "answer # : {answer} . check :",
        ),
        "video_understanding": _asked(
            "video_understanding",
            "video : {media} " + _FRAMES + " moving : question : {prompt} ",
            "answer # : {answer} . check :",
        ),
    }
)


def build_processor() -> LlavaProcessor:
    """The stock LLaVA processor for 32-px pictures; runs without torchvision."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"height": SIDE, "width": SIDE},
            do_center_crop=False,
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        ),
        tokenizer=build_tokenizer(MAX_CONTEXT, closed=False),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """An untrained LLaVA of 2 million parameters: an 8-layer ViT and a 4-layer decoder."""
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(
                hidden_size=_WIDTH,
                intermediate_size=2 * _WIDTH,
                num_hidden_layers=8,
                num_attention_heads=4,
                image_size=SIDE,
                patch_size=PATCH,
                projection_dim=_WIDTH,
            ),
            text_config=LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=_WIDTH,
                intermediate_size=5 * _WIDTH // 2,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=4,
                max_position_embeddings=MAX_CONTEXT,
                # The usual 0.02 is meant for wide models; at this width it leaves attention so
                # flat that the model answers from the text alone for thousands of steps.
                initializer_range=0.06,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                tie_word_embeddings=True,
            ),
            image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
            tie_word_embeddings=True,
        )
    )


class Document:
    """One training text under construction: token ids, and what each position should predict.

    targets: the likelier of the two tokens to predict at each position, _IGNORED where nothing is.
    others: the other one; where the target is certain, the target again.
    shares: probability of the target, 0.5 to 1.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = [tokenizer.bos_token_id]
        self.targets: list[int] = [_IGNORED]
        self.others: list[int] = [_IGNORED]
        self.shares: list[float] = [1.0]
        self.pictures: list[Pixels] = []
        self._expected = tokenizer.eos_token_id

    def say(self, text: str) -> None:
        """Append text that is given, not predicted."""
        self._append(self._tokenizer(text, add_special_tokens=False).input_ids)

    def _append(self, ids: list[int]) -> None:
        self.ids += ids
        self.targets += [_IGNORED] * len(ids)
        self.others += [_IGNORED] * len(ids)
        self.shares += [1.0] * len(ids)

    def show(self, *pictures: Pixels) -> None:
        """Append a picture, or the frames of a clip."""
        self.say(IMAGE * TOKENS_PER_IMAGE * len(pictures))
        self.pictures += pictures

    def expect(self, word: str, share: float = 1.0, other: str | None = None) -> None:
        """The last position so far should predict `word`, whatever text follows it.

        Args:
            word: a single token.
            share: its probability.
            other: what has the rest of the probability.
        """
        likely, less = (word, other or word) if share >= 0.5 or other is None else (other, word)
        first, second = self._tokenizer.convert_tokens_to_ids([likely, less])
        self._expect(first, second, max(share, 1.0 - share))

    def _expect(self, likely: int, less: int, share: float) -> None:
        self._expected = likely
        self.targets[-1], self.others[-1], self.shares[-1] = likely, less, share

    def expect_right(self, share: float) -> None:
        """The last position should predict a yes with this probability, and else a no."""
        self.expect("yes", share, "no")

    def expect_number(self, value: float) -> None:
        """The last position should predict the two whole numbers around `value`, 0 to 9, the nearer
        one with the higher probability, so that their mean is `value`.
        """
        low = min(8, int(value))
        self.expect(str(low), 1.0 - (value - low), str(low + 1))

    def answer(self, text: str) -> None:
        """Append text that is predicted token by token."""
        for token in self._tokenizer(text, add_special_tokens=False).input_ids:
            self.targets[-1], self.others[-1], self.shares[-1] = token, token, 1.0
            self._append([token])

    def answer_number(self, value: float) -> None:
        """Append the whole number next to `value`, 0 to 9, predicted as by `expect_number`."""
        self.expect_number(value)
        self.take()

    def take(self) -> None:
        """Append what was expected last, the likelier of two."""
        self._append([self._expected])


class BlindDocument(Document):
    """A text whose pictures are not shown: nothing is expected of it but what is told."""

    def show(self, *pictures: Pixels) -> None:
        """Leave the pictures out."""

    def _expect(self, likely: int, less: int, share: float) -> None:
        self._expected = likely


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
        mover = found.mover
        if mover is None:
            _follow(document, None)
        else:
            (x, y), (dx, dy) = (mover.blob.x, mover.blob.y), mover.way
            shares = [(number + 0.5) / SHOWN_FRAMES - 0.5 for number in range(SHOWN_FRAMES)]
            _follow(document, [(x + share * dx, y + share * dy) for share in shares])
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
    for number in range(SHOWN_FRAMES):
        for text, axis in ((f"frame {number + 1}", 0), (":", 1)):
            document.say(text)
            if way is None:
                document.expect("none")
            else:
                document.expect_number(_tenths(way[number][axis]))


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
        document.answer(max(blob.fits, key=lambda shape: blob.fits[shape]))
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


def collate(documents: list[Document], pad: int) -> dict[str, Tensor]:
    """Pad documents on the right: ids, mask, targets, others and shares [B, T]; pictures
    [P, 3, H, W].
    """
    length = max(len(document.ids) for document in documents)
    shape = (len(documents), length)
    ids = torch.full(shape, pad)
    targets = torch.full(shape, _IGNORED)
    others = torch.full(shape, _IGNORED)
    shares = torch.ones(shape)
    mask = torch.zeros(shape, dtype=torch.long)
    for row, document in enumerate(documents):
        size = len(document.ids)
        ids[row, :size] = torch.tensor(document.ids)
        targets[row, :size] = torch.tensor(document.targets)
        others[row, :size] = torch.tensor(document.others)
        shares[row, :size] = torch.tensor(document.shares)
        mask[row, :size] = 1
    pictures = [picture for document in documents for picture in document.pictures]
    pixels = torch.zeros(0, 3, SIDE, SIDE)
    if pictures:
        pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "targets": targets,
        "others": others,
        "shares": shares,
        "pixel_values": pixels,
    }


def answer_loss(
    model: LlavaForConditionalGeneration, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Cross-entropy at the positions that have a target, and the share of those that are predicted
    right, the likelier of two being right.
    """
    hidden = model.model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        pixel_values=batch["pixel_values"] if len(batch["pixel_values"]) else None,
        use_cache=False,
    ).last_hidden_state
    asked = batch["targets"] != _IGNORED
    logits = model.lm_head(hidden[asked])
    targets = batch["targets"][asked]
    right = (logits.argmax(-1) == targets).float().mean()
    shares = batch["shares"][asked]
    losses = shares * F.cross_entropy(logits, targets, reduction="none")
    losses += (1.0 - shares) * F.cross_entropy(logits, batch["others"][asked], reduction="none")
    return losses.mean(), right


#: Documents of each kind in a step, for a batch size of 24.
_MIX = {
    "images": 13,
    "clips": 13,
    "motions": 4,
    "answers": 5,
    "tellings": 1,
    "sights": 12,
    "tracks": 6,
    "recitals": 8,
    "blind": 8,
}


def pretrain_base(
    images: Sequence[Series],
    clips: Sequence[ClipSeries],
    num_steps: int,
    batch_size: int,
    seed: int,
    log: Log = print,
    save: Callable[[LlavaForConditionalGeneration, LlavaProcessor], None] | None = None,
    save_every: int = 500,
    start_from: str | None = None,
    learning_rate: float = 1e-3,
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Pretrain the base; in several processes of a torch.distributed group, with the mean of their
    gradients.

    Args:
        images: pictures to check captions against.
        clips: clips to check captions against.
        num_steps: optimiser steps.
        batch_size: scales the number of documents of each kind in a step (`_MIX`).
        seed: of weights and documents.
        log: gets a line every 50 steps: loss, and share of predicted tokens that are right.
        save: called every `save_every` steps, so that a run that is stopped leaves a model.
        save_every: steps.
        start_from: directory of an earlier base, to go on from; from scratch where not given. What
            layers it has fewer of are added, and change nothing at first.
        learning_rate: at its peak.
    """
    torch.manual_seed(seed)  # the same weights in each process, and documents of its own
    rng = random.Random(seed_of("documents", seed, rank()))
    processor = build_processor()
    tokenizer = processor.tokenizer
    model = build_model(tokenizer)
    if start_from is not None:
        _go_on_from(model, start_from)
    makers: dict[str, Callable[[], Document]] = {
        "images": lambda: checking_document(tokenizer, images, rng),
        "clips": lambda: checking_document(tokenizer, clips, rng),
        "motions": lambda: motion_document(tokenizer, rng),
        "answers": lambda: answering_document(tokenizer, rng),
        "tellings": lambda: telling_document(tokenizer, rng),
        "sights": lambda: seeing_document(tokenizer, images, rng),
        "tracks": lambda: seeing_document(tokenizer, clips, rng),
        "recitals": lambda: reciting_document(tokenizer, rng),
        "blind": lambda: checking_document(
            tokenizer, rng.choice((images, clips)), rng, BlindDocument
        ),
    }
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=num_steps, pct_start=0.04
    )
    sums: dict[str, list[float]] = {kind: [0.0, 0.0] for kind in makers}
    for step in range(num_steps):
        optimizer.zero_grad()
        for kind, make in makers.items():
            documents = [make() for _ in range(max(1, _MIX[kind] * batch_size // 24))]
            batch = collate(documents, tokenizer.pad_token_id)
            loss, right = answer_loss(model, batch)
            loss.backward()
            sums[kind] = [sums[kind][0] + loss.item(), sums[kind][1] + right.item()]
        _average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            log(
                f"base step {step + 1} "
                + " ".join(
                    f"{kind} {loss / 50:.3f} ({right / 50:.1%})"
                    for kind, (loss, right) in sums.items()
                )
            )
            sums = {kind: [0.0, 0.0] for kind in makers}
        if save is not None and (step + 1) % save_every == 0:
            save(model, processor)
    return model.eval(), processor


def rank() -> int:
    """The number of this process in its torch.distributed group; 0 where there is none."""
    return dist.get_rank() if dist.is_initialized() else 0


def _average_gradients(model: LlavaForConditionalGeneration) -> None:
    if not dist.is_initialized():
        return
    for parameter in model.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def _go_on_from(model: LlavaForConditionalGeneration, directory: str) -> None:
    """Take over an earlier base's weights. A vision layer that it has not is made to add nothing to
    its input, so that the model is the earlier one until it is trained.
    """
    earlier = LlavaForConditionalGeneration.from_pretrained(
        directory, dtype=torch.float32, use_safetensors=True
    )
    missing, unknown = model.load_state_dict(earlier.state_dict(), strict=False)
    layers = model.model.vision_tower.encoder.layers
    num_known = len(earlier.model.vision_tower.encoder.layers)
    added = {f"{name}." for name, one in model.named_modules() if one in list(layers[num_known:])}
    if unknown or any(not name.startswith(tuple(added)) for name in missing):
        raise ValueError(f"{directory}: not an earlier base; other weights: {missing + unknown}")
    for layer in layers[num_known:]:
        for last in (layer.self_attn.out_proj, layer.mlp.fc2):
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.zeros_(last.bias)
