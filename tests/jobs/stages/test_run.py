"""The loop with stages that make nothing but their artifacts: order, restarts, limits, rollback.

Artifacts are real. Ray is not started, since no stage here needs it, and the books are kept in a
dictionary but for one test: MLflow takes a second for each stage.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import pytest

from jobs.rounds.history import as_text, kept_in_a_row, rounds_so_far, write_summary
from jobs.rounds.workspace import InputError, Round, champion
from jobs.stages.base import Outcome, Plan
from jobs.stages.run import STAGES, run_loop, run_stages
from jobs.tools.rollback import roll_back
from schemas import manifest, results
from schemas.artifacts import loop_kinds
from schemas.recipe import Recipe
from schemas.results import Decision, Estimate, Evaluation, Finding
from schemas.section import Section

MAKERS = {kind.name: kind.job for kind in loop_kinds()}


class Interrupt(BaseException):
    """As ctrl-C would be, or the end of the process."""


@dataclass
class World:
    """What the stages do: decisions by round, seconds by kind, and when to interrupt."""

    decisions: dict[int, str] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    gpus: float = 0.0
    interrupts: set[tuple[str, int]] = field(default_factory=set)
    calls: list[tuple[str, int]] = field(default_factory=list)
    champions: dict[int, str] = field(default_factory=dict)
    seeds: dict[int, int] = field(default_factory=dict)


class Settings(Section):
    seed: int


@dataclass(frozen=True)
class Fake:
    kind: str
    world: World

    resumes = True

    def needs(self, recipe):
        return ()

    def plan(self, at):
        return Plan("rows", "no actors", 0.0, self.world.gpus)

    def settings(self, at):
        return Settings(seed=at.recipe.seed)

    def parents(self, at):
        kinds = list(MAKERS)
        before = kinds[kinds.index(self.kind) - 1] if self.kind != "labels" else None
        found = [at.parent(before)] if before else []
        return [*found, champion(at).parent("champion")]

    def make(self, at, directory, run):
        self.world.calls.append((self.kind, at.number))
        self.world.champions[at.number] = champion(at).address
        if (self.kind, at.number) in self.world.interrupts:
            self.world.interrupts.remove((self.kind, at.number))
            (directory / "half.bin").write_bytes(b"half")
            raise Interrupt
        (directory / "half.bin").unlink(missing_ok=True)
        (directory / "made.txt").write_text(f"{self.kind} {at.number} of {champion(at).address}")
        if self.kind == "evaluation":
            self._evaluate(at, directory)
        counts = (
            {"labels": 5} if self.kind == "labels" else {"kept": 7} if self.kind == "pairs" else {}
        )
        return Outcome(counts, {"accuracy_without_ties": 0.8} if self.kind == "judge" else {})

    def _evaluate(self, at, directory):
        decision = self.world.decisions.get(at.number, "promote")
        won = 0.6 if decision == "promote" else 0.5
        names = (champion(at).address, at.address("generator"))
        gains = tuple(
            Estimate("win rate", value, value - 0.05, value + 0.05, 0.5, "share", 80, by=by)
            for by, value in (("judge@1", 0.7), ("oracle@0", won))
        )
        scores = tuple(
            Estimate(f"score of {name}", 3.0 + value, 2.9, 3.4, None, "points", 80, by="oracle@0")
            for name, value in zip(names, (0.0, won - 0.5), strict=True)
        )
        evaluation = Evaluation(names[1], names[0], gains, scores=scores)
        results.write(directory / results.EVALUATION, evaluation)
        is_passed = decision == "promote"
        finding = Finding("min_win_rate", names[1], is_passed, 0.5, won, message="is what it is")
        results.write(
            directory / results.FINDINGS,
            Decision(decision, names[1], names[0], (finding,)),  # type: ignore[arg-type]
        )


class Run:
    """Takes note of tags alone."""

    run_id = "run"

    def __init__(self):
        self.tags = {}

    def set_tags(self, tags):
        self.tags |= tags

    def __getattr__(self, name):
        if not name.startswith("log_"):
            raise AttributeError(name)
        return lambda *given, **more: None


class Books:
    """Stands in for the tracker: runs by round, and aliases by name."""

    kept: ClassVar[dict[str, "Books"]] = {}

    def __init__(self):
        self.runs, self.aliases = {}, {}

    @classmethod
    def of(cls, recipe):
        return cls.kept.setdefault(recipe.name, cls())

    @contextmanager
    def round(self, number):
        yield self.runs.setdefault(number, Run())

    @contextmanager
    def stage(self, number, name, fingerprint=""):
        yield Run()

    def model_name(self, kind):
        return kind

    def register_model(self, made, directory, *, run=None, alias=None, line=None):
        self.aliases[line or made.kind, alias] = made.address

    def register_given(self, kind, address, digest, path):
        pass

    def set_alias(self, name, alias, address):
        self.aliases[name, alias] = address

    def alias(self, name, alias):
        return self.aliases.get((name, alias))


@pytest.fixture
def world(monkeypatch) -> World:
    made = World()
    stages = {MAKERS[kind]: Fake(kind, made) for kind in MAKERS}

    def fake_import(name):
        return SimpleNamespace(STAGE=stages[name.rpartition(".")[2]])

    monkeypatch.setattr("jobs.stages.run.import_module", fake_import)
    monkeypatch.setattr("jobs.stages.base.import_module", fake_import)
    monkeypatch.setattr("jobs.stages.run.ray_session", lambda recipe: nullcontext())
    for module in ("jobs.rounds.tracking", "jobs.stages.run", "jobs.tools.rollback"):
        monkeypatch.setattr(f"{module}.Tracker", Books)
    monkeypatch.setattr("jobs.rounds.registry.Registry.of", lambda books: books)
    monkeypatch.setattr(Books, "kept", {})
    return made


@pytest.fixture
def three(recipe: Recipe) -> Recipe:
    plain = {**recipe.model_dump(), "tracking_uri": None, "num_rounds": 3}
    return Recipe.model_validate(plain)


def limited(recipe: Recipe, **limits) -> Recipe:
    return recipe.model_copy(update={"limits": recipe.limits.model_copy(update=limits)})


def digests(recipe: Recipe) -> dict[str, str]:
    rounds = [Round(recipe, number) for number in range(1, recipe.num_rounds + 1)]
    return {at.address(kind): at.need(kind).digest for at in rounds for kind in MAKERS}


def alias(recipe: Recipe) -> str | None:
    from jobs.rounds.registry import Registry
    from jobs.rounds.tracking import Tracker

    registry = Registry.of(Tracker.of(recipe))
    return registry.alias(registry.model_name("generator"), "champion")


def test_stages_follow_each_other_and_each_round_starts_from_the_champion(world, three):
    world.decisions = {1: "promote", 2: "keep", 3: "promote"}
    run_loop(three)
    assert world.calls == [(kind, number) for number in (1, 2, 3) for kind in MAKERS]
    assert tuple(MAKERS.values()) == STAGES
    assert world.champions == {1: "generator@0", 2: "generator@1", 3: "generator@1"}
    assert alias(three) == "generator@3"
    assert [one.decision for one in rounds_so_far(three)] == ["promote", "keep", "promote"]


def test_a_dry_run_says_what_there_is_and_refuses_what_a_run_would_refuse(world, three, capsys):
    world.interrupts = {("judge", 1)}
    with pytest.raises(Interrupt):
        run_loop(three)
    capsys.readouterr()
    run_loop(three, dry_run=True)
    told = capsys.readouterr().out
    assert "labels@1: complete already (labels 5)" in told
    assert "judge@1: begun already; a run goes on with it" in told
    other = three.model_copy(update={"seed": three.seed + 1})
    for names in (["label"], ["train_judge"]):  # complete, and begun
        with pytest.raises(InputError, match="seed"):
            run_stages(other, 1, names, dry_run=True)
    run_stages(three, 2, ["label"], dry_run=True)
    assert "@2: " not in capsys.readouterr().out
    assert [kind for kind, _ in world.calls] == ["labels", "judge"]


@pytest.mark.slow
def test_interrupted_in_every_stage_the_same_command_goes_on(world, three, tmp_path):
    two = three.model_copy(update={"num_rounds": 2})
    run_loop(two)
    undisturbed = digests(two)
    other = two.model_copy(update={"root": str(tmp_path / "other"), "name": "interrupted"})
    world.calls.clear()
    world.interrupts = {(kind, number) for number in (1, 2) for kind in MAKERS}
    num = 0
    while world.interrupts:
        with pytest.raises(Interrupt):
            run_loop(other)
        num += 1
    run_loop(other)
    assert num == 14
    # Each stage was made once, and begun once more: the time that it was interrupted.
    assert world.calls == [(kind, number) for number in (1, 2) for kind in MAKERS for _ in range(2)]
    assert digests(other) == undisturbed
    world.calls.clear()
    run_loop(other)
    assert world.calls == []


def test_the_summary_says_what_became_of_each_round(world, three, capsys):
    world.decisions = {2: "keep"}
    run_loop(limited(three, max_kept_rounds=1))
    text = as_text(three)
    assert text in capsys.readouterr().out
    for wanted in (
        "round 1: promote generator@1 against generator@0; champion from here on: generator@1",
        "5 new labels; judge accuracy 0.800; 7 pairs kept",
        "win rate by oracle@0: 0.600 [0.550, 0.650]",
        "win rate by judge@1: 0.700",
        "score by oracle@0: 3.000 [2.900, 3.400] -> 3.100",
        "kept because of min_win_rate: is what it is",
    ):
        assert wanted in text
    assert (Round(three, 1).root / "reports" / "summary.txt").read_text() == text + "\n"
    page = Round(three, 2).report().read_text()
    assert "Rounds so far" in page
    assert "keep generator@2" in page
    assert "Rounds so far" not in Round(three, 1).report().read_text()


def test_rounds_without_a_promotion_end_the_loop(world, three, capsys):
    world.decisions = dict.fromkeys((1, 2, 3), "keep")
    run_loop(limited(three, max_kept_rounds=2))
    assert {number for _, number in world.calls} == {1, 2}
    assert "ended before round 3: limits.max_kept_rounds: 2 round(s) in a row" in (
        capsys.readouterr().out
    )
    assert [kept_in_a_row(three, number) for number in (1, 2, 3)] == [0, 1, 2]


@pytest.fixture
def clock(monkeypatch, world) -> None:
    """Each stage takes as long as the world says, in seconds."""
    now = [0.0]

    def monotonic():
        now[0] += world.cost.get(world.calls[-1][0], 0.0) if world.calls else 0.0
        return now[0]

    monkeypatch.setattr("jobs.rounds.lifecycle.time", SimpleNamespace(monotonic=monotonic))


def test_hours_are_counted_over_restarts_and_end_the_loop_before_a_stage(
    world, three, clock, capsys
):
    world.cost = dict.fromkeys(MAKERS, 600.0)
    tight = limited(three, max_hours=2.0)
    run_loop(tight)
    out = capsys.readouterr().out
    num = len(world.calls)
    assert 7 < num < 21
    kind, number = [(kind, n) for n in (1, 2, 3) for kind in MAKERS][num]
    assert f"ended before {MAKERS[kind]} of round {number}: limits.max_hours: 2." in out
    assert "of 2 hours are spent; raise it to go on" in out
    assert f"round {number}: not complete" in out
    run_loop(tight)
    assert len(world.calls) == num  # nothing more, though the process is new
    run_loop(limited(three, max_hours=100.0))
    assert len(world.calls) == 21


def test_gpu_hours_are_counted_by_what_stages_reserve(world, three, clock, capsys):
    world.cost, world.gpus = dict.fromkeys(MAKERS, 600.0), 4.0
    run_loop(limited(three, max_gpu_hours=1.0))
    assert "limits.max_gpu_hours" in capsys.readouterr().out
    made = manifest.read(Round(three, 1).directory("labels"))
    assert made is not None
    assert made.figures["gpu_seconds"] == 4 * made.figures["seconds"]


# ------------------------------------------------------------------------------------- rollback


def test_going_back_moves_the_alias_and_the_next_round(world, three, capsys):
    for number in (1, 2):
        run_stages(three, number, STAGES)
    assert alias(three) == "generator@2"
    roll_back(three, "generator@1", "blurs faces")
    assert alias(three) == "generator@1"
    assert champion(Round(three, 3)).address == "generator@1"
    assert "round 2: promote generator@2" in as_text(three)
    assert "went back to generator@1 from generator@2: blurs faces" in as_text(three)
    before = digests(three.model_copy(update={"num_rounds": 2}))
    run_loop(three)
    assert world.champions[3] == "generator@1"
    assert digests(three.model_copy(update={"num_rounds": 2})) == before
    assert alias(three) == "generator@3"
    roll_back(three, "generator@0", "start again")
    assert alias(three) == "generator@0"
    assert Books.of(three).runs[3].tags["factory.rollback"] == "generator@0: start again"


@pytest.mark.slow
def test_going_back_in_the_real_registry(world, three, monkeypatch):
    from jobs.rounds import tracking

    monkeypatch.undo()  # the books
    assert tracking.Tracker is not Books
    one = three.model_copy(update={"num_rounds": 1})
    stages = {MAKERS[kind]: Fake(kind, world) for kind in MAKERS}
    monkeypatch.setattr(
        "jobs.stages.run.import_module",
        lambda name: SimpleNamespace(STAGE=stages[name.rpartition(".")[2]]),
    )
    monkeypatch.setattr("jobs.stages.run.ray_session", lambda recipe: nullcontext())
    run_stages(one, 1, STAGES, is_planned=True)
    assert alias(one) == "generator@1"
    roll_back(one, "generator@0", "start again")
    assert alias(one) == "generator@0"
    tracker = tracking.Tracker.of(one)
    with tracker.round(1) as run:
        tags = tracker.client.get_run(run.run_id).data.tags
    assert tags["factory.rollback"] == "generator@0: start again"


def test_going_back_twice_and_again_after_a_crash(world, three):
    for number in (1, 2):
        run_stages(three, number, STAGES)
    roll_back(three, "generator@0", "first")
    roll_back(three, "generator@1", "second thoughts")
    records = sorted(one.name for one in (Round(three, 1).root / "rollbacks").glob("*"))
    assert records == ["2-1.json", "2-2.json"]
    assert champion(Round(three, 3)).address == "generator@1"
    roll_back(three, "generator@1", "second thoughts")  # as if it had died before the registry
    assert len(list((Round(three, 1).root / "rollbacks").glob("*"))) == 2


def test_going_back_is_refused_where_it_makes_no_sense(world, three):
    with pytest.raises(InputError, match="no round is finished"):
        roll_back(three, "generator@0", "why not")
    world.decisions = {2: "keep"}
    for number in (1, 2):
        run_stages(three, number, STAGES)
    with pytest.raises(InputError, match="generator@1 is champion already"):
        roll_back(three, "generator@1", "why not")
    with pytest.raises(InputError, match="generator@2 never was champion here; these were: gen"):
        roll_back(three, "generator@2", "why not")
    with pytest.raises(InputError, match="no version of this recipe's generator"):
        roll_back(three, "judge@1", "why not")
    roll_back(three, "generator@0", "only looking", dry_run=True)
    assert champion(Round(three, 3)).address == "generator@1"
    run_stages(three, 3, STAGES[:2])
    with pytest.raises(InputError, match=r"round 3 has begun with generator@1: finish it, or rem"):
        roll_back(three, "generator@0", "too late")


def test_each_round_draws_afresh_and_the_first_as_it_always_did(three):
    seeds = [Round(three, number).seed for number in (1, 2, 3)]
    assert seeds[0] == three.seed
    assert len(set(seeds)) == 3
    assert seeds[1] == Round(three.model_copy(update={"num_rounds": 9}), 2).seed


def test_nothing_begun_is_an_empty_summary(three):
    assert rounds_so_far(three) == []
    assert write_summary(three).read_text().startswith(f"{three.name}: rounds so far\n")
