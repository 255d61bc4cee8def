"""Simulated annotators: the oracle's truth seen through noise, mistakes and planted biases.

They stand where people's labels would come from, so that everything downstream can be checked
against a truth that real labels never offer: how noisy the labels are and which biases they carry
is known, because it was planted. Their labels are simulated and say so by the annotator's full
name. What they say depends on the annotator, what is judged and the key alone: not on the order of
calls, and shown the other way round a pair gets the mirrored verdict. Pictures and clips are judged
against a caption, answers against the scene that was asked about.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean

from factory.media.clips import decode_clip
from factory.media.pictures import ATTRIBUTES, attributes, decode
from factory.sandbox.clip_oracle import measure_clip
from factory.sandbox.oracle import ORACLE_TIE, measure
from factory.sandbox.questions import check_answer, correctness, wrong_facts
from factory.sandbox.reasons import reasons_of_one, reasons_of_two
from factory.sandbox.world import Scene, parse
from schemas.rows import SIMULATED, Preference, seed_of

#: Mean and standard deviation of each attribute over drawn pictures of 32 px, half of them spoiled.
USUAL: dict[str, tuple[float, float]] = {
    "brightness": (0.52, 0.32),
    "saturation": (0.28, 0.20),
    "contrast": (0.12, 0.07),
    "sharpness": (0.05, 0.045),
}
#: Perceived quality from which a picture gets 2, 3, 4 and 5 points.
POINT_CUTS = (0.60, 0.72, 0.83, 0.93)
#: The same of an answer, by the share of right facts: none, a third, half, two thirds, all.
ANSWER_CUTS = (0.2, 0.42, 0.58, 0.85)


@dataclass(frozen=True)
class Annotator:
    """A simulated annotator.

    noise: standard deviation of what each look adds to a picture's quality.
    error_rate: share of labels that are answered at random.
    tie_width: perceived qualities that differ by less are called a tie.
    biases: attribute -> what one standard deviation of it adds to the perceived quality.
    seed: two annotators of the same seed make the same mistakes.
    """

    name: str
    noise: float = 0.04
    error_rate: float = 0.03
    tie_width: float = ORACLE_TIE
    biases: Mapping[str, float] = field(default_factory=dict, hash=False)
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = set(self.biases) - set(ATTRIBUTES)
        if unknown:
            raise ValueError(f"no such attributes: {sorted(unknown)}; known: {list(ATTRIBUTES)}")

    @property
    def full_name(self) -> str:
        """What its labels are signed with: "simulated:NAME"."""
        return SIMULATED + self.name

    def perceived_quality(self, png: bytes, caption: str, key: str) -> float:
        """The oracle's quality with this annotator's biases and the noise of this one look."""
        return self._perceived(see_picture(png, caption), key)

    def label_pair(
        self, first_png: bytes, second_png: bytes, caption: str, key: str
    ) -> tuple[Preference, str]:
        """A simulated preference and its justification; `key` names the occasion.

        Raises:
            MediaError: a picture is broken.
            CaptionError: the caption is outside the sandbox's grammar.
        """
        return self.prefer(see_picture(first_png, caption), see_picture(second_png, caption), key)

    def label_point(self, png: bytes, caption: str, key: str) -> tuple[int, str]:
        """Simulated points, 1 to 5, and their justification; raises as `label_pair`."""
        return self.rate(see_picture(png, caption), key)

    def prefer(self, first: Seen, second: Seen, key: str) -> tuple[Preference, str]:
        """A simulated preference between any two sides of a prompt, and its justification."""
        difference = self._perceived(first, key) - self._perceived(second, key)
        digests = sorted((first.digest, second.digest))
        dice = self._dice("pair", key, *digests)
        if dice.random() < self.error_rate:
            # By the pictures and not by their order, so that the mirrored pair is answered alike.
            preferred = dice.choice((*digests, None))
            is_first = preferred == first.digest
            is_tie = preferred is None
        else:
            is_first = difference > 0
            is_tie = abs(difference) < self.tie_width
        preference: Preference = "tie" if is_tie else "first" if is_first else "second"
        return preference, reasons_of_two(preference, first, second, first.noun)

    def rate(self, seen: Seen, key: str) -> tuple[int, str]:
        """Simulated points for one side, 1 to 5, and their justification."""
        dice = self._dice("point", key, seen.digest)
        if dice.random() < self.error_rate:
            points = dice.randint(1, 5)
        else:
            points = 1 + bisect_right(seen.cuts, self._perceived(seen, key))
        return points, reasons_of_one(seen)

    def _perceived(self, seen: Seen, key: str) -> float:
        liking = 0.0
        for name, weight in self.biases.items():
            usual, deviation = USUAL[name]
            liking += weight * (seen.attributes.get(name, usual) - usual) / deviation
        return seen.quality + liking + self.noise * self._dice("look", key, seen.digest).gauss()

    def _dice(self, *occasion: str) -> random.Random:
        return random.Random(seed_of("annotator", self.seed, *occasion))


@dataclass(frozen=True)
class Seen:
    """One side of a prompt as the oracle sees it: what an annotator's answer is made of.

    digest: of the side's content.
    noun: "image", "video" or "answer".
    quality: by the oracle, 0 to 1.
    faults: what is wrong, as short sentences.
    clean: cleanliness, 0 to 1.
    cuts: quality from which it gets 2, 3, 4 and 5 points.
    attributes: that an annotator may be biased by; of an answer none.
    """

    digest: str
    noun: str
    quality: float
    faults: tuple[str, ...]
    clean: float = 1.0
    cuts: tuple[float, ...] = POINT_CUTS
    attributes: Mapping[str, float] = field(default_factory=dict, hash=False)

    def wrong(self) -> list[str]:
        return list(self.faults)


@lru_cache(maxsize=4096)  # several annotators look at the same pictures
def see_picture(png: bytes, caption: str) -> Seen:
    """A picture made for a caption.

    Raises:
        MediaError: the picture is broken.
        CaptionError: the caption is outside the sandbox's grammar.
    """
    pixels = decode(png)
    found = measure(pixels, caption)
    return Seen(
        _digest(png),
        "image",
        found.quality,
        tuple(found.wrong()),
        found.clean,
        attributes={name: float(value) for name, value in attributes(pixels).items()},
    )


@lru_cache(maxsize=512)
def see_clip(mp4: bytes, num_frames: int, caption: str) -> Seen:
    """A clip made for a caption, of which the annotator sees `num_frames`; raises as the above."""
    frames = decode_clip(mp4, num_frames)
    found = measure_clip(frames, parse(caption))
    return Seen(
        _digest(mp4),
        "video",
        found.quality,
        tuple(found.wrong()),
        found.clean,
        attributes={name: fmean(values) for name, values in attributes(frames).items()},
    )


def see_answer(scene: Scene, question: str, answer: str) -> Seen:
    """An answer to a question about a scene.

    Raises:
        QuestionError: no question of the sandbox, or not one about this scene.
    """
    share = correctness(check_answer(scene, question, answer))
    faults = tuple(wrong_facts(scene, question, answer))
    return Seen(_digest(answer.encode()), "answer", share, faults, cuts=ANSWER_CUTS)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
