"""A row in the table of kinds is all that the rounds, the report and the registry need of it."""

import pytest

from jobs.pages.collect import collect, write_report
from jobs.rounds import lineage
from jobs.rounds.history import as_text, summarise
from jobs.rounds.limits import spent_in
from jobs.rounds.promotion import publish
from jobs.rounds.workspace import InputError, Round
from schemas import artifacts, manifest, results
from schemas.artifacts import ArtifactKind
from schemas.manifest import Manifest
from schemas.places import MODELS
from schemas.results import Decision

CAPTIONS = ArtifactKind("captions", "caption", "texts")
STYLE = ArtifactKind("style_judge", "restyle", MODELS, is_in_loop=False)
OPTIMISER = ArtifactKind("optimiser", "optimise", MODELS, alias="challenger")


@pytest.fixture(autouse=True)
def new_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "KINDS", (*artifacts.KINDS, CAPTIONS, STYLE))


def make(at: Round, kind: str, *parents: str) -> Manifest:
    directory = at.directory(kind)
    directory.mkdir(parents=True)
    made = Manifest(
        *(at.address(kind), kind, "fingerprint", f"digest of {kind}"),
        parents=tuple(at.parent(one) for one in parents),
        settings={},
        counts={"captions": 12},
        figures={"seconds": 3600.0},
    )
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
    return made


def test_what_a_round_lacks_is_named_by_its_job(finished: Round) -> None:
    assert summarise(finished).missing == ("caption",)
    assert "Not complete: caption." in collect(finished).notes
    assert finished.directory("captions") == finished.root / "texts" / "captions@1"
    with pytest.raises(InputError, match=r"captions@1 is not complete; run `python -m jobs\.cap"):
        finished.need("captions")


def test_what_was_made_is_counted_shown_and_traced(finished: Round) -> None:
    hours = spent_in(finished).hours
    make(finished, "captions", "groups")
    assert summarise(finished).missing == ()
    assert spent_in(finished).hours == pytest.approx(hours + 1)
    assert "not complete" not in as_text(finished.recipe)
    (row,) = [row for row in collect(finished).stages if row.stage == "caption"]
    assert (row.address, row.counts) == ("captions@1", (("captions", 12),))
    assert "captions@1" in write_report(finished).read_text()
    node = lineage.trace(finished.root, "captions@1")
    assert [parent.state for parent in node.parents] == ["made"]
    assert "groups@1" in lineage.as_text(node)


def test_nothing_waits_for_what_is_beside_the_loop(finished: Round) -> None:
    make(finished, "captions", "groups")
    before = summarise(finished)
    make(finished, "style_judge", "judge")
    assert summarise(finished) == before
    assert lineage.directory_of(finished.root, "style_judge@1") == (
        finished.root / "models" / "style_judge@1"
    )


class Registry:
    """Takes note of what is registered, and stands in for the tracker and the run as well."""

    def __init__(self) -> None:
        self.models: list[tuple[str, str, str | None]] = []
        self.tags: dict[str, str] = {}

    @classmethod
    def of(cls, tracker: "Registry") -> "Registry":
        return tracker

    def register_model(self, made, directory, *, run, alias, line=None):  # type: ignore[no-untyped-def]
        self.models.append((made.address, alias, line))

    def set_tags(self, tags: dict[str, str]) -> None:
        self.tags |= tags


def test_a_new_model_is_registered_as_its_row_or_its_decision_says(
    finished: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "KINDS", (*artifacts.KINDS, OPTIMISER))
    monkeypatch.setattr("jobs.rounds.promotion.Registry", Registry)
    registry = Registry()
    for kind in ("captions", "optimiser", "style_judge"):
        made = make(finished, kind)
        decision = Decision("keep", "style_judge@1", "judge@1", ())
        results.write(finished.directory(kind) / results.FINDINGS, decision)
        publish(made, finished, registry, registry)  # type: ignore[arg-type]
    assert registry.models == [
        ("optimiser@1", "challenger", None),
        ("style_judge@1", "challenger", "style_judge"),
    ]
    assert registry.tags == {"factory.decision": "keep style_judge@1"}
