"""What is said of pictures whose faults are given, and whether what is said is true of them."""

from dataclasses import dataclass

import pytest

from factory.sandbox.reasons import (
    CLEAN,
    CLEANER,
    MAX_REASONS,
    NO_FAULT,
    check_claims,
    reasons_of_one,
    reasons_of_two,
)

FAULT, OTHER = "the circle should be red", "the cross is missing"


@dataclass(frozen=True)
class Seen:
    """What an oracle might find."""

    faults: tuple[str, ...] = ()
    clean: float = 1.0

    def wrong(self) -> list[str]:
        return list(self.faults)


def test_one_side_is_told_its_first_faults():
    assert reasons_of_one(Seen()) == NO_FAULT
    assert reasons_of_one(Seen((FAULT, OTHER))) == f"{FAULT} , {OTHER} ."
    many = tuple(f"fault {number}" for number in range(MAX_REASONS + 1))
    assert reasons_of_one(Seen(many)) == f"{' , '.join(many[:MAX_REASONS])} ."


@pytest.mark.parametrize(
    ("preference", "first", "second", "text"),
    [
        ("tie", Seen(), Seen((FAULT,)), "both are equally good ."),
        ("first", Seen(), Seen((FAULT,)), f"image 1 is better because in image 2 {FAULT} ."),
        ("second", Seen((FAULT,)), Seen(), f"image 2 is better because in image 1 {FAULT} ."),
        ("second", Seen((FAULT,)), Seen((FAULT,)), "image 2 is better ."),
        ("first", Seen(), Seen((), 0.5), f"image 1 is better because {CLEAN} ."),
        ("second", Seen((), 0.5), Seen(), f"image 2 is better because {CLEAN} ."),
        # Cleaner by exactly what is not enough; and a fault goes before cleanliness.
        ("first", Seen((), CLEANER), Seen((), 0.0), "image 1 is better ."),
        (
            "first",
            Seen(),
            Seen((FAULT,), 0.5),
            f"image 1 is better because in image 2 {FAULT} .",
        ),
        # Faults that both have do not stand in the way.
        ("first", Seen((FAULT,)), Seen((FAULT,), 0.5), f"image 1 is better because {CLEAN} ."),
    ],
)
def test_two_sides_are_told_apart_by_what_is_true(preference, first, second, text):
    assert reasons_of_two(preference, first, second, "image") == text
    assert all(check_claims(text, [first, second]))


@pytest.mark.parametrize(
    ("text", "sides", "claims"),
    [
        (NO_FAULT, [Seen()], [True]),
        (NO_FAULT, [Seen((FAULT,))], [False]),
        (f"{FAULT} , {OTHER}.", [Seen((FAULT,))], [True, False]),
        (FAULT, [Seen((FAULT,))], [False]),  # no sentence
        ("both are equally good .", [Seen(), Seen()], []),
        (f"image 2 is better because in image 1 {FAULT} .", [Seen((FAULT,)), Seen()], [True]),
        (f"image 1 is better because in image 2 {FAULT} .", [Seen((FAULT,)), Seen()], [False]),
        (f"image 1 is better because in image 1 {FAULT} .", [Seen((FAULT,)), Seen()], [False]),
        (f"image 2 is better because {CLEAN} .", [Seen((), 0.5), Seen()], [True]),
        (f"image 1 is better because {CLEAN} .", [Seen((), 0.5), Seen()], [False]),
        (f"image 1 is better because {CLEAN} .", [Seen(), Seen()], [False]),
        ("nice", [Seen(), Seen()], [False]),
    ],
)
def test_claims_are_held_against_what_is_seen(text, sides, claims):
    assert check_claims(text, sides) == claims
