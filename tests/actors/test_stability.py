"""A judge asked in several ways: each change is found, and each way that cannot be run is named."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from actors.stability import stability
from factory.evaluation.stability import as_text, compare, sample
from schemas.results import Variant
from schemas.rows import Candidate, Duel, Label, Media, Opinion, Prompt, Score

ALONE, COMPANY = "one at a time", "in company, with sides of other labels"
PLAIN = "on the plain path"


@dataclass(frozen=True)
class ShakyRef:
    """A fake judge: what it says moves by the numbers given, where it is asked so.

    in_batches, in_company, in_bf16: what is added to p(first) and to scores.
    """

    in_batches: float = 0.0
    in_company: float = 0.0
    in_bf16: float = 0.0
    precision: str = "fp32"
    max_batch: int = 64
    address: str = "shaky@3"
    name: str = "shaky"

    def load(self) -> "Shaky":
        return Shaky(self)


@dataclass(frozen=True)
class Shaky:
    ref: ShakyRef
    name: str = "shaky@3"

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> "Sitting":
        moved = self.ref.in_batches if self.ref.max_batch > 1 else 0.0
        moved += self.ref.in_company if len(candidates) > 2 else 0.0
        moved += self.ref.in_bf16 if self.ref.precision == "bf16" else 0.0
        return Sitting(tuple(one.candidate_id for one in candidates), moved, "torn" in prompt.text)


@dataclass(frozen=True)
class Sitting:
    ids: tuple[str, ...]
    moved: float
    is_torn: bool

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        p, error = 0.55 + self.moved, "torn" if self.is_torn else None
        return [Duel(self.ids[a], self.ids[b], "shaky@3", p, 1 - p, 0.0, error) for a, b in matches]

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.ids)) if indices is None else indices
        return [Score(self.ids[at], "shaky@3", 3 + 10 * self.moved, 0.1) for at in wanted]

    def about(self, prompt: Prompt) -> "Sitting":
        return self


def labels(num: int = 4) -> list[Label]:
    sides = [Media(bytes([n]), 4, 4) for n in range(2)]
    return [
        Label(f"l{n}", Prompt.of(f"caption {n}"), "me", sides[0], sides[1], "first")
        for n in range(num)
    ]


def variants(ref: ShakyRef, **others: ShakyRef | str) -> dict[str, Variant]:
    found = stability(ref, labels(), others)
    assert (found.judge, found.num_labels) == ("shaky@3", 4)
    return {one.name: one for one in found.variants}


def test_a_steady_judge_says_the_same_in_every_way() -> None:
    found = variants(ShakyRef(), same=ShakyRef())
    assert set(found) == {ALONE, COMPANY, "in bf16", PLAIN, "same"}
    assert found.pop(PLAIN).why_not == "this judge has one path"
    for one in found.values():
        assert (one.num_duels, one.num_scores, one.num_changed, one.num_flips) == (8, 8, 0, 0)
        assert (one.largest_p, one.largest_score, one.num_one_way) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("ref", "way", "p", "flips"),
    [
        (ShakyRef(in_batches=0.01), ALONE, 0.01, 0),
        (ShakyRef(in_company=-0.1), COMPANY, 0.1, 8),
        (ShakyRef(in_bf16=0.02), "in bf16", 0.02, 0),
        (ShakyRef(in_bf16=-0.06, precision="bf16"), "in fp32", 0.06, 8),
    ],
)
def test_what_a_way_changes_is_told_and_the_others_are_still(
    ref: ShakyRef, way: str, p: float, flips: int
) -> None:
    found = variants(ref)
    one = found.pop(way)
    assert one.largest_p == pytest.approx(p)
    assert one.largest_score == pytest.approx(10 * p)
    assert (one.num_flips, one.num_changed) == (flips, 16)
    assert {other.num_changed for other in found.values()} == {0}


def test_ways_that_cannot_be_run_are_named() -> None:
    @dataclass(frozen=True)
    class Absent(ShakyRef):
        def load(self) -> Shaky:
            raise RuntimeError("no such operation in int8")

    found = stability(ShakyRef(), labels(), {"by ONNX": "has no file", "by int8": Absent()})
    told = {one.name: one.why_not for one in found.variants}
    assert told["by ONNX"] == "has no file"
    assert "no such operation in int8" in told["by int8"]
    text = as_text(found)
    assert "not run: has no file" in text
    assert "0 of 8 verdicts flip, p(first) changes by up to 0" in text

    @dataclass(frozen=True)
    class Plain:  # as a judge behind an address or of somebody's own code
        name: str = "shaky"

        def load(self) -> Shaky:
            return Shaky(ShakyRef())

    found = stability(Plain(), labels())
    unrun = [ALONE, "in another precision", PLAIN]
    assert [one.name for one in found.variants if one.why_not] == unrun
    assert found.baseline == "asked with both sides of a label in one batch"


@dataclass(frozen=True)
class PanelLike:
    """As a panel travels: its members say how each is run. It judges by the first alone."""

    members: tuple[ShakyRef, ...]
    name: str = "panel"
    address: str = "panel@0"

    def load(self) -> Shaky:
        return self.members[0].load()


def test_a_panel_is_asked_otherwise_through_its_members() -> None:
    found = stability(PanelLike((ShakyRef(in_bf16=0.02), ShakyRef())), labels())
    told = {one.name: one for one in found.variants}
    assert told["in another precision"].largest_p == pytest.approx(0.02)
    assert (told[ALONE].num_duels, told[ALONE].num_changed) == (8, 0)


def test_what_can_be_read_in_one_way_alone_is_counted() -> None:
    def opinion(error: str | None) -> Opinion:
        duels = (Duel("0", "1", "j@1", 0.6, 0.4, 0.0), Duel("1", "0", "j@1", 0.6, 0.4, 0.0, error))
        scores = (Score("0", "j@1", 2.0, 0.1, error),)
        return Opinion(*("l", "p", "image_generation", {}, "j@1", "first", None), scores, duels)

    one = compare("x", [opinion(None)], [opinion("cut")])
    assert (one.num_duels, one.num_scores, one.num_one_way) == (1, 0, 2)
    assert one.largest_score is None
    with pytest.raises(ValueError, match="about other labels"):
        compare("x", [opinion(None)], [])


def test_the_sample_is_of_pairs_first_and_knows_no_order() -> None:
    told = [(f"l{n}", n % 3 > 0) for n in range(30)]
    chosen = sample(told, 10)
    assert chosen == sample(told[::-1], 10)
    assert len(chosen) == 10
    assert all(is_pair for name, is_pair in told if name in chosen)
    assert len(sample(told, 25)) == 25
