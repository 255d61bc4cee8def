"""Where things are in a round: the directory of every artifact, by its address `name@version`.

    ROOT/data/labels@1    ROOT/models/judge@1    ROOT/reports/round-1.html    ROOT/mlflow.db

Kinds are in `schemas.artifacts`, the folders of a root in `schemas.places`. The root may be a local
directory or `s3://bucket/prefix`; the MLflow store is always local or a server. The version of an
artifact is the round that made it; `generator@0` is the pipeline that the recipe starts from, and
`judge@0` a judge that is used as it was published. Both stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors import storage
from actors.storage import place
from schemas import manifest, results
from schemas.artifacts import kind_named
from schemas.manifest import Manifest, Parent
from schemas.places import REPORTS, ROLLBACKS, Place
from schemas.recipe import JudgeSpec, Recipe, is_url
from schemas.rows import seed_of


class InputError(ValueError):
    """Something that a stage needs is missing or unusable; the message says what to do."""


@dataclass(frozen=True)
class Round:
    """One round of one recipe: what every stage is a function of."""

    recipe: Recipe
    number: int

    @property
    def root(self) -> Place:
        return place(self.recipe.root)

    @property
    def seed(self) -> int:
        """Of what is drawn to learn from: each round draws afresh, whoever is champion. Held-out
        prompts are drawn by the recipe's own seed, so that rounds can be compared.
        """
        return (
            self.recipe.seed
            if self.number == 1
            else seed_of("round", self.recipe.seed, self.number)
        )

    def name(self, kind: str) -> str:
        """The name under which a kind of artifact goes: models have names of their own."""
        section = kind_named(kind).section
        if section is None or not self.recipe.has(section):
            return kind
        return str(getattr(self.recipe, section).name)

    def address(self, kind: str) -> str:
        return f"{self.name(kind)}@{self.number}"

    def directory(self, kind: str) -> Place:
        return self.root / kind_named(kind).folder / self.address(kind)

    def report(self) -> Place:
        return self.root / REPORTS / f"round-{self.number}.html"

    def earlier(self) -> list[Round]:
        return [Round(self.recipe, number) for number in range(1, self.number)]

    def need(self, kind: str) -> Manifest:
        """The manifest of this round's artifact of a kind.

        Raises:
            InputError: it is not complete yet.
        """
        found = manifest.read(self.directory(kind))
        if found is None:
            raise InputError(
                f"{self.directory(kind)}: {self.address(kind)} is not complete; "
                f"run `{kind_named(kind).made_by}` with the same recipe first"
            )
        return found

    def parent(self, kind: str) -> Parent:
        found = self.need(kind)
        return Parent(kind, found.address, found.digest)


@dataclass(frozen=True)
class Model:
    """A model to load: where it is and what it is called."""

    path: str
    address: str

    def parent(self, role: str) -> Parent:
        """The model as a parent of what is made with it."""
        directory = place(self.path)
        found = manifest.read(directory) if directory.is_dir() else None
        if found is not None:
            return Parent(role, self.address, found.digest)
        digest = self.path  # a hub name
        if directory.is_dir():
            digest = manifest.digest_files(storage.local_copy(directory))
        return Parent(role, self.address, digest)


def judge(at: Round) -> Model:
    """The judge of a round: the one that it trains, or the recipe's own checkpoint, as it is."""
    if not is_judge_given(at):
        return Model(str(at.directory("judge")), judge_address(at))
    return Model(place_of(at.recipe.judge), judge_address(at))


def place_of(spec: JudgeSpec) -> str:
    """Where a judge lies, as far as it lies anywhere: an endpoint has an address, which is told
    without its scheme, and a panel is its members.
    """
    if spec.panel:
        return f"a panel of {', '.join(one.name for one in spec.panel)}"
    return spec.path.partition("://")[2] if is_url(spec.path) else spec.path


def judge_address(at: Round) -> str:
    """What the judge of a round is called: version 0 where it is used as it was published, and as
    the recipe says where groups came with their judgements.
    """
    if at.recipe.produce.judged is not None:
        return at.recipe.produce.judged.address
    return f"{at.name('judge')}@0" if is_judge_given(at) else at.address("judge")


def is_judge_given(at: Round) -> bool:
    """Whether the judge is used as the recipe names it: where no `train_judge` says how one is
    trained, and none was by this round, by a recipe that did say so.
    """
    return not at.recipe.has("train_judge") and not _was_made("judge", at)


def is_labelled(at: Round) -> bool:
    """Whether people, or who stands in for them, label in this round or have done so before it."""
    recipe = at.recipe
    return recipe.has("labels") or recipe.has("train_judge") or was_labelled(at)


def was_labelled(at: Round) -> bool:
    """Whether there are labels already, of this round or one before it."""
    return _was_made("labels", at)


def _was_made(kind: str, by: Round) -> bool:
    rounds = (*by.earlier(), by)
    return any(manifest.read(one.directory(kind)) is not None for one in rounds)


def champion(at: Round) -> Model:
    """The generator that a round starts from: the last one that was promoted before it, or to which
    someone went back since. A round that nobody evaluates promotes none.
    """
    for earlier in reversed(at.earlier()):
        if at.recipe.is_evaluated:
            earlier.need("evaluation")
        back = rollbacks(earlier)
        if back:
            return generator(at.recipe, back[-1].champion)
        decision = results.read(
            earlier.directory("evaluation") / results.FINDINGS, results.Decision
        )
        if decision is not None and decision.decision == "promote":
            return generator(at.recipe, earlier.address("generator"))
    return generator(at.recipe, f"{at.recipe.generator.name}@0")


def generator(recipe: Recipe, address: str) -> Model:
    """A version of the recipe's generator.

    Raises:
        InputError: the address is none of this recipe.
    """
    name, _, version = address.partition("@")
    if name != recipe.generator.name or not version.isdecimal():
        raise InputError(
            f"{address!r} is no version of this recipe's generator: it starts from "
            f"{recipe.generator.name}@0, and round N makes {recipe.generator.name}@N"
        )
    if int(version) == 0:
        return Model(recipe.generator.path, address)
    return Model(str(Round(recipe, int(version)).directory("generator")), address)


def rollbacks(at: Round) -> list[results.Rollback]:
    """Every rollback after a round and before the next one, in order."""
    found: list[results.Rollback] = []
    while (one := results.read(rollback_file(at, len(found) + 1), results.Rollback)) is not None:
        found.append(one)
    return found


def rollback_file(at: Round, number: int) -> Place:
    """Where the record of a round's first, second … rollback lies."""
    return at.root / ROLLBACKS / f"{at.number}-{number}.json"
