"""Code of somebody's own gets a prompt of several parts only where it says that it takes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from factory.guarded import GuardedGenerator, GuardedJudge
from factory.prompt_parts import PartsError
from factory.protocols import DrawsAhead
from schemas.rows import Candidate, Part, Prompt
from tests.stubs import StubGenerator, StubJudge

PLAIN = Prompt.of("x")
DIALOGUE = Prompt.of_parts([Part("user", "x"), Part("assistant", "y"), Part("user", "z")])


def test_who_says_nothing_gets_plain_prompts_alone() -> None:
    generator, judge = StubGenerator(), StubJudge()
    guarded = GuardedGenerator(generator, frozenset())
    assert guarded.name == generator.name
    assert guarded.generate(PLAIN, [1]) == generator.generate(PLAIN, [1])
    drawn = generator.generate(PLAIN, [1])
    scores = GuardedJudge(judge, frozenset()).sit(PLAIN, drawn).scores()
    assert scores == judge.sit(PLAIN, drawn).scores()
    for ask in (
        lambda: guarded.generate(DIALOGUE, [1]),
        lambda: guarded.draw_ahead(DIALOGUE, [1]),
        lambda: GuardedJudge(judge, frozenset()).sit(DIALOGUE, drawn),
    ):
        with pytest.raises(PartsError, match="does not take a dialogue of several turns"):
            ask()
    told = GuardedGenerator(generator, frozenset({"turns"}))
    assert told.generate(DIALOGUE, [1]) == generator.generate(DIALOGUE, [1])


@dataclass(frozen=True)
class Ahead(StubGenerator):
    """Says which way it was asked, by the name of what it draws."""

    def draw_ahead(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        return lambda: [Candidate("ahead", self.name, seed) for seed in seeds]


def test_a_generator_that_draws_ahead_goes_on_doing_so() -> None:
    (one,) = GuardedGenerator(Ahead(), frozenset()).draw_ahead(PLAIN, [1])()
    assert one.candidate_id == "ahead"
    plain = GuardedGenerator(StubGenerator(), frozenset())
    assert isinstance(plain, DrawsAhead)
    assert plain.draw_ahead(PLAIN, [1])() == StubGenerator().generate(PLAIN, [1])
