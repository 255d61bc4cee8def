"""Objection to unsafe content, by a classifier of the user's own.

The factory brings none: what is unsafe depends on who publishes and where. A recipe names a
function that makes one, `package.module:function`, and it is loaded on the worker that uses it. A
candidate that could not be classified is not safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from factory.plugins import make
from schemas.rows import Candidate, Pair, Prompt


class SafetyClassifier(Protocol):
    """How probable it is that a candidate must not be shown."""

    def __call__(self, prompt: Prompt, candidate: Candidate) -> float:
        """Probability that it is unsafe, 0 to 1.

        Raises:
            ValueError, RuntimeError: it cannot be classified.
        """


@dataclass(frozen=True)
class Unsafe:
    """A side that the classifier calls unsafe, or cannot classify.

    classifier: `package.module:function`; the function takes nothing and returns a
        `SafetyClassifier`.
    max_p_unsafe: greatest probability that is let through.
    """

    classifier: str
    max_p_unsafe: float

    needs_media = True

    def __call__(self, pair: Pair) -> str | None:
        classify = load_classifier(self.classifier)
        for side, candidate in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            try:
                p_unsafe = classify(pair.prompt, candidate)
            except (ValueError, RuntimeError) as error:
                return f"unsafe: {side}: could not be classified: {error}"
            if not p_unsafe <= self.max_p_unsafe:  # NaN is not safe
                return f"unsafe: {side}: probability {p_unsafe:.2f}, {self.max_p_unsafe:g} allowed"
        return None


@lru_cache(maxsize=4)
def load_classifier(name: str) -> SafetyClassifier:
    """The classifier that `package.module:function` makes, once in a process.

    Raises:
        PluginError: there is no such module or function, or it makes something else.
    """
    classifier: SafetyClassifier = make(
        name, "curate.objections.safety_classifier", SafetyClassifier
    )
    return classifier
