"""What of a section is identity, and what becomes of it as knobs come, change and go."""

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field, ValidationError

from schemas.identity import (
    PLACE,
    RESOURCE,
    FirstDefault,
    identity,
    read_out,
    spelled_out,
)
from schemas.recipe import Align, Audit, Curate, Distil, EndpointSpec, Gates, Lora, TrainJudge
from schemas.section import Renamed, Section


class Adapter(Section):
    rank: int = 16
    alpha: float = 16.0


class Old(Section):
    """A section as it was, and below as it might become."""

    path: Annotated[str, PLACE]
    steps: int
    workers: Annotated[int, RESOURCE] = 1
    guidance: float = 5.0
    adapter: Adapter | None = Adapter()
    others: list[Adapter] = Field(default_factory=list)


GIVEN: dict[str, Any] = {"path": "here", "steps": 3}
#: What `Old` is given, one knob off its default after the other.
OLD: list[dict[str, Any]] = [
    {},
    {"guidance": 4.0},
    {"adapter": None},
    {"adapter": {"rank": 8}},
    {"others": [{"alpha": 1.0}, {}]},
]


def test_what_has_no_default_and_what_differs_from_it_is_identity() -> None:
    assert identity(Old(**GIVEN)) == {"steps": 3}
    assert identity(Old(**GIVEN, guidance=5, adapter={"rank": 16})) == {"steps": 3}
    assert identity(Old(**GIVEN, adapter={"rank": 8})) == {"steps": 3, "adapter": {"rank": 8}}
    assert identity(Old(**GIVEN, adapter=None)) == {"steps": 3, "adapter": None}
    assert identity(Old(**GIVEN, others=[{}])) == {"steps": 3, "others": [{}]}


def test_places_and_resources_are_not() -> None:
    assert identity(Old(path="there", steps=3, workers=8)) == identity(Old(**GIVEN))
    assert spelled_out(Old(**GIVEN, workers=8)) == {
        "steps": 3,
        "guidance": 5.0,
        "adapter": {"rank": 16, "alpha": 16.0},
        "others": [],
    }


@pytest.mark.parametrize("more", OLD)
def test_a_new_knob_at_its_default_changes_nothing(more: dict[str, Any]) -> None:
    class NewAdapter(Adapter):
        dropout: float = 0.0

    class New(Old):
        adapter: NewAdapter | None = NewAdapter()
        others: list[NewAdapter] = Field(default_factory=list)
        noise: float = 0.5
        place: Annotated[str, PLACE] = "anywhere"

    old, new = Old(**GIVEN, **more), New(**GIVEN, **more)
    assert identity(new) == identity(old)
    written = old.model_dump(mode="json")  # by code that spelled everything out
    assert read_out(New, written) == read_out(New, spelled_out(old)) == spelled_out(new)
    assert read_out(New, written) != spelled_out(New(**GIVEN, **more, noise=0.25))
    assert identity(New(**GIVEN, noise=0.25)) == {"steps": 3, "noise": 0.25}


def test_a_changed_default_is_other_work_unless_the_first_is_given() -> None:
    class NewAdapter(Adapter):
        rank: Annotated[int, FirstDefault(16)] = 32

    class New(Old):
        guidance: Annotated[float, FirstDefault(5.0)] = 7.5
        adapter: NewAdapter | None = NewAdapter()

    old, silent = Old(**GIVEN), New(**GIVEN)
    assert identity(silent) == {"steps": 3, "guidance": 7.5, "adapter": {"rank": 32}}
    as_before = New(**GIVEN, guidance=5.0, adapter={"rank": 16})
    assert identity(as_before) == identity(old)
    # What a manifest does not say has the first default: it is of before there was the knob.
    for written in ({"steps": 3}, spelled_out(old)):
        assert read_out(New, written) == spelled_out(as_before) != spelled_out(silent)


class Renames(Old):
    former_names: ClassVar[dict[str, Renamed]] = {
        "scale": Renamed("guidance"),
        "epochs": Renamed("steps", lambda epochs: 100 * epochs),
        "threads": Renamed("workers", None, "a worker has four of them"),
        "root": Renamed("storage.root", advice="give it there"),
    }


class RenamesMore(Renames):
    former_names: ClassVar[dict[str, Renamed]] = {"lora": Renamed("adapter")}


def test_a_renamed_knob_is_known_by_its_former_name_in_recipes_and_manifests() -> None:
    former = {"path": "here", "epochs": 2, "scale": 4.0, "lora": {"rank": 8}}
    today = RenamesMore(path="here", steps=200, guidance=4.0, adapter={"rank": 8})
    assert RenamesMore(**former) == today
    assert read_out(RenamesMore, former) == spelled_out(today)


@pytest.mark.parametrize(
    ("former", "message"),
    [
        ({"scale": 4.0, "guidance": 4.0}, "scale: is called guidance now; give only that"),
        ({"threads": 4}, "threads: workers has taken its place; a worker has four of them"),
        ({"root": "/data"}, r"root: storage\.root has taken its place; give it there"),
    ],
)
def test_what_cannot_be_translated_names_its_successor(
    former: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Renames(**GIVEN, **former)


def test_a_knob_that_is_no_more_is_a_difference() -> None:
    assert read_out(Old, {"steps": 3, "gone": 1}) == {**spelled_out(Old(**GIVEN)), "gone": 1}


def test_of_two_sections_what_one_needs_tells_which_it_is() -> None:
    class Either(Section):
        judge: EndpointSpec | Adapter | None = None

    endpoint = EndpointSpec(url="http://a/v1", model="m", specification="s", timeout_s=5)
    asked = {"url": "http://a/v1", "model": "m", "specification": "s"}
    assert identity(Either(judge=endpoint)) == {"judge": asked}
    assert identity(Either(judge=Adapter(rank=8))) == {"judge": {"rank": 8}}
    assert read_out(Either, {"judge": asked}) == spelled_out(Either(judge=endpoint))


def test_what_changes_numbers_beyond_rounding_is_identity_and_what_does_not_is_not() -> None:
    needed = {"num_steps": 9, "batch_size": 8, "learning_rate": 0.1}
    plain = identity(Align(**needed))
    assert plain == needed
    layout = {"cpus_per_worker": 4, "log_every": 1, "cache_gb": 0, "gradient_checkpointing": True}
    looks = {"sample_every": 2, "num_samples": 1}
    assert identity(Align(**needed, **layout, **looks)) == plain
    # Rows are dealt by worker, and noise is drawn by worker, by micro-batch and by device; an
    # unfinished training goes on only from checkpoints of the same ZeRO stage.
    for key, value in {
        "num_workers": 2,
        "accumulation_steps": 2,
        "use_gpu": True,
        "zero_stage": 1,
        "precision": "bf16",
        "lora": Lora(),
    }.items():
        assert key in identity(Align(**needed, **{key: value}))
    assert identity(TrainJudge(**needed)) == identity(Distil(**needed)) == needed
    # Recipes had constants in points here, and a judge's noise is fitted now; see `Rank`.
    fitted = {"score_sd", "duel_sd", "logits_per_point", "p_tie", "fusion"}
    # And margins in points are shares of the scale.
    thin = {"min_margin": None}
    assert identity(Curate()) == {"rank": dict.fromkeys(fitted), "objections": thin}
    # Where both defaults are the same on most scales, nothing that was made is refused.
    assert identity(Gates()) == identity(Gates(max_twin_gap=0.3)) == identity(Audit()) == {}
    assert identity(Gates(max_twin_gap=0.4)) == {"max_twin_gap": 0.4}
    former = {"rank": {"score_sd": 0.5}, "objections": {"min_margin": 0.3}}
    assert identity(Curate(**former)) == {}
