"""Which model travels to a worker: a small specification, and how the worker loads it.

`weights` tells a model apart from every other for the keys of what it makes (`factory.keys`); it is
None where that is not known, and nobody takes over what such a model made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from actors.storage import local_model
from factory.guarded import GuardedGenerator, GuardedJudge
from factory.judging.criteria import CriteriaJudge
from factory.judging.signed import SignedJudge
from factory.plugins import PluginError, load, make
from factory.prompt_parts import declared
from factory.protocols import Generator, Judge
from schemas.recipe import Criteria, EndpointSpec, GeneratorSpec, JudgeSpec

Loaded = TypeVar("Loaded", covariant=True)


class ModelRef(Protocol[Loaded]):
    """What travels to a worker that is to load a model. `name` is without version."""

    @property
    def name(self) -> str: ...

    def load(self) -> Loaded: ...


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

    def load(self) -> Generator:
        from actors.generators import load_generator

        return load_generator(local_model(self.path), self.address, self.spec)


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

    def load(self) -> Generator:
        generator: Generator = make(self.plugin, self.key, Generator, self.address, self.spec)
        if generator.name != self.address:
            raise PluginError(
                f"{self.key}: {self.plugin!r}: calls itself {generator.name!r}; its name is the "
                f"first of its arguments, {self.address!r}"
            )
        return GuardedGenerator(generator, declared(load(self.plugin, self.key)))


@dataclass(frozen=True)
class JudgeRef:
    """What travels to a worker that is to load a judge."""

    path: str
    address: str
    precision: str = "fp32"
    max_batch: int = 64
    specification: str | None = None
    is_calibrated: bool = False  # map what it says by the `calibration.json` beside its weights
    criteria: Criteria = field(default_factory=Criteria)
    trust_remote_code: bool = False
    weights: str | None = None

    @classmethod
    def of(cls, spec: JudgeSpec, path: str, address: str) -> JudgeRef:
        """The judge at `path`, asked as a recipe's section says."""
        return cls(
            path,
            address,
            spec.precision,
            spec.max_batch,
            spec.specification,
            trust_remote_code=spec.trust_remote_code,
        )

    @property
    def name(self) -> str:
        return self.address.partition("@")[0]

    def load(self) -> Judge:
        judge = self._load()
        return CriteriaJudge(judge, self.criteria) if self.criteria.named else judge

    def _load(self) -> Judge:
        from actors.judges import TransformersJudge
        from factory.judging import by_scores
        from factory.judging.calibrated import CalibratedJudge
        from factory.judging.calibration import Calibration, CalibrationError

        path = local_model(self.path)
        judge: Judge = TransformersJudge(
            path,
            self.address,
            self.precision,
            self.max_batch,
            self.specification,
            trust_remote_code=self.trust_remote_code,
        )
        rules = by_scores.load(Path(path))
        if rules is not None:
            judge = by_scores.JudgeByScores(judge, rules)
        if not self.is_calibrated:
            return judge
        calibration = Calibration.load(Path(path))
        if calibration is None:
            raise CalibrationError(f"{self.path}: this judge was not calibrated")
        return CalibratedJudge(judge, calibration)


@dataclass(frozen=True)
class OnnxRef:
    """What travels to a worker that is to load a light judge from an ONNX file of its directory."""

    path: str  # the model's directory
    address: str
    file: str
    weights: str | None = None

    @property
    def name(self) -> str:
        return self.address.partition("@")[0]

    def load(self) -> Judge:
        from actors.judges.onnx import OnnxJudge
        from factory.judging import by_scores

        path = Path(local_model(self.path))
        rules = by_scores.load(path)
        if rules is None:
            raise by_scores.RulesError(f"{path}: no light judge: it has no {by_scores.FILE}")
        return by_scores.JudgeByScores(OnnxJudge(path / self.file, self.address), rules)


@dataclass(frozen=True)
class EndpointRef:
    """What travels to a worker that is to ask an endpoint. The key does not travel."""

    spec: EndpointSpec
    weights: str | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def address(self) -> str:
        return f"{self.spec.name}@0"

    def load(self) -> Judge:
        from actors.judges.endpoint import EndpointJudge

        return EndpointJudge(self.spec)


@dataclass(frozen=True)
class PluginRef:
    """What travels to a worker that is to load a judge of somebody's own: where its code is."""

    plugin: str  # package.module:name of what makes the judge, without arguments
    key: str  # of the recipe, or the argument, that names it
    address: str
    is_renamed: bool = False  # signs by the address, whatever it calls itself
    weights: str | None = None

    @property
    def name(self) -> str:
        return self.address.partition("@")[0]

    def load(self) -> Judge:
        made: Judge = make(self.plugin, self.key, Judge)
        judge = GuardedJudge(made, declared(load(self.plugin, self.key)))
        return SignedJudge(judge, self.address) if self.is_renamed else judge
