"""Which model travels to a worker: a small specification, and how the worker loads it.

`weights` tells a model apart from every other for the keys of what it makes (`factory.keys`); it is
None where that is not known, and nobody takes over what such a model made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from actors.drawing import Drawing
from actors.recorded import RecordedGenerator, drawn_by
from actors.storage import local_model
from actors.weights import pinned_commit
from factory.guarded import GuardedGenerator, GuardedJudge
from factory.judging.criteria import CriteriaJudge
from factory.judging.panel import PanelWeights
from factory.judging.panel_judge import Member, PanelJudge, PanelRecorder
from factory.judging.recording import Recorder, RecordingJudge
from factory.judging.signed import SignedJudge
from factory.judging.specification import JudgeSpecification, find
from factory.keys import Asking, with_keys
from factory.plugins import PluginError, load, make
from factory.prompt_parts import declared
from factory.protocols import Generator, Judge
from schemas.recipe import Criteria, GeneratorSpec, JudgeSpec
from schemas.rows import Candidate, Drawn, Prompt

if TYPE_CHECKING:
    from actors.judges import TransformersJudge
    from actors.judges.endpoint import EndpointJudge
    from actors.judges.onnx import OnnxJudge
    from actors.judges.scalar import ScalarJudge

Loaded = TypeVar("Loaded", covariant=True)


class ModelRef(Protocol[Loaded]):
    """What travels to a worker that is to load a model. `name` is without version."""

    @property
    def name(self) -> str: ...

    def load(self) -> Loaded: ...


class JudgingRef(ModelRef[Judge], Protocol):
    """What travels to a worker that keeps what a judge says, word for word. `address` is
    name@version, by which it signs.
    """

    @property
    def address(self) -> str: ...

    def recorded(self) -> tuple[Judge, Recorder | PanelRecorder]:
        """The judge as `load` gives it, and the recorder of what the raw judge beneath it says. It
        may be asked while a ledger of the recorder is open.
        """


class GeneratorLike(ModelRef[Generator], Protocol):
    """What travels to a worker that is to load a generator, and knows what it would draw."""

    @property
    def address(self) -> str: ...

    def planned(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        """The candidates of some seeds as they are known before they are drawn: without content,
        and without an id where only the generator itself knows that.
        """


@dataclass(frozen=True)
class GeneratorRef:
    """What travels to a worker that is to load a generator."""

    path: str
    address: str
    spec: GeneratorSpec
    weights: str | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    def planned(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        return self._drawing.candidates(prompt, seeds)

    @cached_property
    def _drawing(self) -> Drawing:
        return Drawing(local_model(self.path), self.address, self.spec, self.weights)

    def load(self) -> Generator:
        from actors.generators import load_generator

        return load_generator(local_model(self.path), self.address, self.spec, self.weights)


@dataclass(frozen=True)
class GeneratorPluginRef:
    """What travels to a worker that is to load a generator of somebody's own: where its code is."""

    plugin: str  # package.module:name of what makes it, of its address and its section
    key: str  # of the recipe, that names it
    address: str
    spec: GeneratorSpec
    weights: str | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    def planned(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        drawn = replace(self._drawn_by, prompt=prompt.text)
        return [
            Candidate("", self.address, seed, drawn=one)
            for seed, one in zip(seeds, with_keys(drawn, prompt, seeds), strict=True)
        ]

    @cached_property
    def _drawn_by(self) -> Drawn:
        return drawn_by(self.plugin, self.spec, self.weights)

    def load(self) -> Generator:
        generator: Generator = make(self.plugin, self.key, Generator, self.address, self.spec)
        if generator.name != self.address:
            raise PluginError(
                f"{self.key}: {self.plugin!r}: calls itself {generator.name!r}; its name is the "
                f"first of its arguments, {self.address!r}"
            )
        guarded = GuardedGenerator(generator, declared(load(self.plugin, self.key)))
        return RecordedGenerator(guarded, self.plugin, self.spec, self.weights)


class _JudgingRef(ABC):
    """What all references of judges do alike: load the raw judge, keep what it says where that is
    asked for, and put around it what is made of it.

    is_served: whether what judges runs elsewhere, and no GPU is asked for here.
    directory: where rules and a calibration lie beside the weights; None where nothing does.
    has_rules: whether the raw judge makes its duels by the rules itself.
    """

    address: str
    criteria: Criteria
    is_calibrated: bool
    has_rules: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.address.partition("@")[0]

    @property
    def is_served(self) -> bool:
        return False

    @property
    def directory(self) -> Path | None:
        return None

    def load(self) -> Judge:
        return self._with_criteria(self._around(self.raw()))

    def recorded(self) -> tuple[Judge, Recorder]:
        judge, recorder = self.as_member(self.criteria)
        return self._with_criteria(judge), recorder

    def as_member(self, criteria: Criteria) -> tuple[Judge, Recorder]:
        """The judge that a panel asks, and the recorder of what the raw judge says; to ask about
        the criteria is the panel's.
        """
        raw = self.raw()
        recorder = self.recorder(raw)
        return self._around(RecordingJudge(raw, recorder, criteria)), recorder

    @abstractmethod
    def raw(self) -> Judge:
        """The judge itself, loaded."""

    @abstractmethod
    def recorder(self, raw: Any = None) -> Recorder:
        """What keeps what it says: of the judge that was loaded, or told without loading it."""

    def _around(self, judge: Judge) -> Judge:
        """The judge with what lies beside its weights: rules, and a calibration."""
        from factory.judging import by_scores
        from factory.judging.calibrated import CalibratedJudge
        from factory.judging.calibration import Calibration, CalibrationError

        directory = self.directory
        rules = None if directory is None or self.has_rules else by_scores.load(directory)
        if rules is not None:
            judge = by_scores.JudgeByScores(judge, rules)
        if self.is_calibrated:
            calibration = None if directory is None else Calibration.load(directory)
            if calibration is None:
                raise CalibrationError(f"{self.address}: this judge was not calibrated")
            judge = CalibratedJudge(judge, calibration)
        return judge

    def _with_criteria(self, judge: Judge) -> Judge:
        return CriteriaJudge(judge, self.criteria) if self.criteria.named else judge


class _RefOfFiles(_JudgingRef):
    """Of a judge that lies at a path, with whatever lies beside it."""

    path: str

    @property
    def directory(self) -> Path:
        return Path(local_model(self.path))


@dataclass(frozen=True)
class JudgeRef(_RefOfFiles):
    """What travels to a worker that is to load a judge: a transformers model that answers."""

    path: str
    address: str
    precision: str = "fp32"
    max_batch: int = 64
    specification: JudgeSpecification | str | None = None
    is_calibrated: bool = False  # map what it says by the `calibration.json` beside its weights
    criteria: Criteria = field(default_factory=Criteria)
    trust_remote_code: bool = False
    weights: str | None = None
    allow_missing: tuple[str, ...] = ()
    run: Literal["auto", "fast", "plain"] = "auto"  # as `actors.judges.local` takes it

    @classmethod
    def of(cls, spec: JudgeSpec, path: str, address: str, weights: str | None = None) -> JudgeRef:
        """The judge at `path`, asked as a recipe's section says."""
        return cls(
            path,
            address,
            spec.precision,
            spec.max_batch,
            spec.specification,
            trust_remote_code=spec.trust_remote_code,
            weights=weights,
            allow_missing=tuple(spec.allow_missing),
        )

    def raw(self) -> TransformersJudge:
        from actors.judges import TransformersJudge

        return TransformersJudge(
            local_model(self.path),
            self.address,
            self.precision,
            self.max_batch,
            self.specification,
            trust_remote_code=self.trust_remote_code,
            revision=pinned_commit(self.weights),
            allow_missing=self.allow_missing,
            run=self.run,
        )

    def recorder(self, raw: Any = None) -> Recorder:
        specification = self.specification if raw is None else raw.format.specification
        if not isinstance(specification, JudgeSpecification):
            specification = find(local_model(self.path), specification)
        return Recorder.of(self.weights, self.precision, specification)


@dataclass(frozen=True)
class ScalarRef(_RefOfFiles):
    """What travels to a worker that is to load a reward model, which gives numbers.

    specification: name of a shipped scalar specification, or a JSON file; the `scalar.json` beside
        the weights where None.
    """

    has_rules: ClassVar[bool] = True

    path: str
    address: str
    precision: str = "fp32"
    max_batch: int = 64
    specification: str | None = None
    weights: str | None = None
    criteria: Criteria = field(default_factory=Criteria)
    is_calibrated: bool = False

    def raw(self) -> ScalarJudge:
        from actors.judges.scalar import ScalarJudge

        return ScalarJudge(
            local_model(self.path),
            self.address,
            self.precision,
            self.max_batch,
            self.specification,
            revision=pinned_commit(self.weights),
        )

    def recorder(self, raw: Any = None) -> Recorder:
        if raw is not None:
            recorder: Recorder = raw.recorder(self.weights)
            return recorder
        from actors.judges.local import local_directory
        from actors.judges.scalar.judge import found_in, recorder_of
        from actors.judges.scalar.loading import rules_of

        directory = local_directory(local_model(self.path), pinned_commit(self.weights))
        told = found_in(directory, self.specification)
        return recorder_of(told, rules_of(directory, told), self.precision, self.weights)


@dataclass(frozen=True)
class OnnxRef(_RefOfFiles):
    """What travels to a worker that is to load a light judge from an ONNX file of its directory."""

    path: str  # the model's directory
    address: str
    file: str
    weights: str | None = None
    criteria: Criteria = field(default_factory=Criteria)
    is_calibrated: bool = False

    def raw(self) -> OnnxJudge:
        from actors.judges.onnx import OnnxJudge
        from factory.judging import by_scores

        if by_scores.load(self.directory) is None:
            raise by_scores.RulesError(
                f"{self.directory}: no light judge: it has no {by_scores.FILE}"
            )
        return OnnxJudge(self.directory / self.file, self.address)

    def recorder(self, raw: Any = None) -> Recorder:
        told = find(str(self.directory)) if raw is None else raw.format.specification
        return Recorder.of(self.weights, self.file, told)


@dataclass(frozen=True)
class EndpointRef(_JudgingRef):
    """What travels to a worker that is to ask an endpoint. The key does not travel."""

    spec: JudgeSpec
    address: str
    weights: str | None = None
    specification: JudgeSpecification | None = None  # the one that `spec` names where None
    criteria: Criteria = field(default_factory=Criteria)
    is_calibrated: bool = False

    @property
    def is_served(self) -> bool:
        return True

    def raw(self) -> EndpointJudge:
        from actors.judges.endpoint import EndpointJudge

        return EndpointJudge(self.spec, self.address, self.specification)

    def recorder(self, raw: Any = None) -> Recorder:
        told = self.specification or find("", self.spec.specification)
        return Recorder.of(self.weights, "as served", told.in_text())


@dataclass(frozen=True)
class PluginRef(_JudgingRef):
    """What travels to a worker that is to load a judge of somebody's own: where its code is."""

    plugin: str  # package.module:name of what makes the judge, without arguments
    key: str  # of the recipe, or the argument, that names it
    address: str
    is_renamed: bool = False  # signs by the address, whatever it calls itself
    weights: str | None = None
    criteria: Criteria = field(default_factory=Criteria)
    is_calibrated: bool = False

    def raw(self) -> Judge:
        made: Judge = make(self.plugin, self.key, Judge)
        judge = GuardedJudge(made, declared(load(self.plugin, self.key)))
        return SignedJudge(judge, self.address) if self.is_renamed else judge

    def recorder(self, raw: Any = None) -> Recorder:
        """How such a judge asks is its own matter, and known by its weights or revision alone."""
        how = {"plugin": self.plugin}
        return Recorder(lambda _: Asking(self.weights, "its own", how, how))


@dataclass(frozen=True)
class PanelRef:
    """What travels to a worker that is to load a panel: all of its members, into one worker."""

    address: str
    members: tuple[JudgeRef | ScalarRef | EndpointRef | PluginRef, ...]
    fusion: PanelWeights
    criteria: Criteria = field(default_factory=Criteria)
    is_calibrated: bool = False  # nobody calibrates a panel: its weights do

    @property
    def name(self) -> str:
        return self.address.partition("@")[0]

    @property
    def is_served(self) -> bool:
        return all(one.is_served for one in self.members)

    def load(self) -> Judge:
        return self._of([(one.load(), one.recorder().specification) for one in self.members])

    def recorded(self) -> tuple[Judge, PanelRecorder]:
        asked = [one.as_member(self.criteria) for one in self.members]
        judges = [(judge, recorder.specification) for judge, recorder in asked]
        return self._of(judges), PanelRecorder([recorder for _, recorder in asked])

    def _of(self, judges: Sequence[tuple[Judge, JudgeSpecification | None]]) -> Judge:
        members = tuple(Member(judge, specification) for judge, specification in judges)
        panel = PanelJudge(self.address, members, self.fusion)
        return CriteriaJudge(panel, self.criteria) if self.criteria.named else panel
