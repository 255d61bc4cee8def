"""Simulated annotators: the oracle's truth seen through noise, mistakes and planted biases.

They stand where people's labels would come from, so that everything downstream can be checked
against a truth that real labels never offer: how noisy the labels are and which biases they carry
is known, because it was planted. Their labels are simulated and say so by the annotator's full
name. An answer depends on the annotator, the pictures, the caption and the key alone: not on the
order of calls, and shown the other way round a pair gets the mirrored answer.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from factory.media import ATTRIBUTES, attributes, decode
from factory.sandbox.oracle import ORACLE_TIE, Measurement, measure
from schemas.rows import Preference, seed_of

PREFIX = "simulated:"
#: Mean and standard deviation of each attribute over drawn pictures of 32 px, half of them spoiled.
USUAL: dict[str, tuple[float, float]] = {
    "brightness": (0.52, 0.32),
    "saturation": (0.28, 0.20),
    "contrast": (0.12, 0.07),
    "sharpness": (0.05, 0.045),
}
#: Perceived quality from which a picture gets 2, 3, 4 and 5 points.
POINT_CUTS = (0.60, 0.72, 0.83, 0.93)
#: Cleanliness that a picture must have more than the other to be preferred for it in words.
_CLEANER = 0.1
_MAX_REASONS = 3


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
        return PREFIX + self.name

    def perceived_quality(self, png: bytes, caption: str, key: str) -> float:
        """The oracle's quality with this annotator's biases and the noise of this one look."""
        seen = _see(png, caption)
        liking = 0.0
        for name, weight in self.biases.items():
            usual, deviation = USUAL[name]
            liking += weight * (seen.attributes[name] - usual) / deviation
        noise = self.noise * self._dice("look", key, _digest(png)).gauss()
        return seen.measurement.quality + liking + noise

    def label_pair(
        self, first_png: bytes, second_png: bytes, caption: str, key: str
    ) -> tuple[Preference, str]:
        """A simulated preference and its justification; `key` names the occasion.

        Raises:
            MediaError: a picture is broken.
            CaptionError: the caption is outside the sandbox's grammar.
        """
        difference = self.perceived_quality(first_png, caption, key) - self.perceived_quality(
            second_png, caption, key
        )
        digests = sorted((_digest(first_png), _digest(second_png)))
        dice = self._dice("pair", key, *digests)
        if dice.random() < self.error_rate:
            # By the pictures and not by their order, so that the mirrored pair is answered alike.
            preferred = dice.choice((*digests, None))
            is_first = preferred == _digest(first_png)
            is_tie = preferred is None
        else:
            is_first = difference > 0
            is_tie = abs(difference) < self.tie_width
        preference: Preference = "tie" if is_tie else "first" if is_first else "second"
        first, second = _see(first_png, caption), _see(second_png, caption)
        return preference, _reasons(preference, first.measurement, second.measurement)

    def label_point(self, png: bytes, caption: str, key: str) -> tuple[int, str]:
        """Simulated points, 1 to 5, and their justification; raises as `label_pair`."""
        dice = self._dice("point", key, _digest(png))
        if dice.random() < self.error_rate:
            points = dice.randint(1, 5)
        else:
            points = 1 + bisect_right(POINT_CUTS, self.perceived_quality(png, caption, key))
        wrong = _see(png, caption).measurement.wrong()
        return points, _listed(wrong) + " ." if wrong else "each element fits the caption ."

    def _dice(self, *occasion: str) -> random.Random:
        return random.Random(seed_of("annotator", self.seed, *occasion))


@dataclass(frozen=True)
class _Seen:
    measurement: Measurement
    attributes: dict[str, float]


@lru_cache(maxsize=4096)  # several annotators look at the same pictures
def _see(png: bytes, caption: str) -> _Seen:
    pixels = decode(png)
    return _Seen(measure(pixels, caption), attributes(pixels))


def _digest(png: bytes) -> str:
    return hashlib.sha256(png).hexdigest()


def _reasons(preference: Preference, first: Measurement, second: Measurement) -> str:
    """Why one picture is preferred, in the sandbox's vocabulary.

    The reasons are true of the pictures even where the preference is a mistake; where nothing
    speaks for it, none are given.
    """
    if preference == "tie":
        return "both are equally good ."
    is_first = preference == "first"
    better, worse = (first, second) if is_first else (second, first)
    better_name, worse_name = ("image 1", "image 2") if is_first else ("image 2", "image 1")
    faults = [fault for fault in worse.wrong() if fault not in better.wrong()]
    if faults:
        return f"{better_name} is better because in {worse_name} {_listed(faults)} ."
    if better.clean > worse.clean + _CLEANER:
        return f"{better_name} is better because it is clean ."
    return f"{better_name} is better ."


def _listed(faults: list[str]) -> str:
    return " , ".join(faults[:_MAX_REASONS])
