"""How far a judge's statements can be trusted: its noise, by task, in shares of its scale.

    q_i       true quality of a candidate, around its prompt's mean with `quality_sd`
    s_i       what the judge sees: q_i and an error of its own, `item_sd`, that belongs to the
              candidate and that its score and its duels share
    score     s_i and noise, `score_sd`
    log-odds  of a duel, both orders together: logits_per_share · (s_i − s_j and noise, `duel_sd`)

One share is the whole scale, its highest number less its lowest, so that the same judge is the same
noise on 1–5, on 1–10 and on 0–100. `FittedNoise` travels as `noise.json`; `fit_noise`
(`factory.ranking.fitting`) makes it. Left out: prompts whose candidates spread more than those of
others, which are all given the same `quality_sd`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from schemas.rows import Task

FILE = "noise.json"
#: How the verdicts of duels are read; see `factory.ranking.fusion`.
Fusion = Literal["least_squares", "davidson"]


class NoiseError(ValueError):
    """A file of noise that cannot be used."""


@dataclass(frozen=True)
class Scale:
    """Of a judge's scores, in its points.

    unit: points of one share.
    low, high: its ends, at which a score is "at most" or "at least" so much; infinite where scores
        are not limited.
    """

    unit: float = 1.0
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.unit) and self.unit > 0):
            raise ValueError(
                f"a scale's unit is to be a positive number of points, not {self.unit}"
            )

    @classmethod
    def of(cls, low: float, high: float) -> Scale:
        """The scale from `low` to `high`; unlimited, in points as they are, where either is not
        finite.

        Raises:
            ValueError: its ends are no two numbers, the lower one first.
        """
        if not (math.isfinite(low) and math.isfinite(high)):
            return cls()
        return cls(high - low, low, high)

    @classmethod
    def by_logits(cls, logits_per_point: float) -> Scale:
        """Of a judge whose scores have no ends: a share has as many logits as the defaults say."""
        return cls(Noise().logits_per_share / logits_per_point)


@dataclass(frozen=True)
class Noise:
    """The noise of one judge about one task. All but `p_tie` and what follows it in shares.

    The defaults hold on every scale and are nobody's: the proportions are those of METHOD's
    simulation (a score 0.8, a duel 0.5, log-odds 2 of the spread of quality), with half of the
    spread as the candidate's own error, between that simulation's 0.3 and the sandbox judge's 0.6.

    quality_sd: spread of one prompt's candidates; infinite where nothing is assumed.
    score_sd: noise of a score.
    duel_sd: noise of a matchup.
    item_sd: error that a candidate's score and its duels share. No amount of judging shows it;
        labels do.
    logits_per_share: log-odds of a duel for a difference of one share.
    p_tie: probability of a tie between equals, where verdicts are words.
    position, position_sd: logits that the side shown first gains, and how much that varies from
        duel to duel; both orders together are free of it, and one order alone, where the other was
        clipped, is not.
    fusion: `least_squares` reads log-odds as a measurement, `davidson` verdicts as words.
    scale: whose shares these are, for strengths in points; as scores are where not given.
    """

    quality_sd: float = 0.2
    score_sd: float = 0.16
    duel_sd: float = 0.1
    item_sd: float = 0.1
    logits_per_share: float = 10.0
    p_tie: float = 0.2
    position: float = 0.0
    position_sd: float = 1.0
    fusion: Fusion = "least_squares"
    scale: Scale = field(default_factory=Scale)

    def __post_init__(self) -> None:
        positive = ("quality_sd", "score_sd", "duel_sd", "logits_per_share")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is to be above 0, not {getattr(self, name)}")
        if not self.item_sd >= 0 or not 0 <= self.p_tie < 1:
            raise ValueError(
                f"item_sd ({self.item_sd}) is to be 0 or more, p_tie ({self.p_tie}) 0 to 1"
            )

    @property
    def seen_sd(self) -> float:
        """Spread of what the judge sees in one prompt's candidates."""
        return math.hypot(self.quality_sd, self.item_sd)

    @property
    def kept(self) -> float:
        """Share of a difference in what is seen that is one of true quality, on average."""
        if math.isinf(self.quality_sd):
            return 1.0
        return self.quality_sd**2 / self.seen_sd**2

    def on(self, scale: Scale) -> Noise:
        """The same shares on another scale."""
        return replace(self, scale=scale)

    def overridden(self, **constants: float | None) -> Noise:
        """With a recipe's constants in the place of fields; None leaves a field as it is."""
        told: dict[str, Any] = {name: one for name, one in constants.items() if one is not None}
        return replace(self, **told)


@dataclass(frozen=True)
class TaskNoise:
    """What is known of a judge's noise about one task.

    noise: as fitted; fields that could not be fitted are derived from defaults.
    errors: standard errors of the logarithms of the fitted fields, by name.
    num_groups, num_duels, num_labels: what it was fitted on; a duel is a matchup of both orders.
    is_fitted: whether scores and duels have told anything; else these are the defaults.
    is_by_labels: whether `item_sd` is fitted to labels; else it is a share of the spread, assumed.
    why: what could not be fitted, and why; empty where nothing is missing.
    """

    noise: Noise
    errors: Mapping[str, float] = field(default_factory=dict)
    num_groups: int = 0
    num_duels: int = 0
    num_labels: int = 0
    is_fitted: bool = False
    is_by_labels: bool = False
    why: str = ""

    @property
    def tells_scores(self) -> bool:
        """Whether it was fitted to scores and duels. By duels alone a share is whatever has the
        defaults' logits, which is not a share of the scale that scores are on; by scores alone
        nothing tells noise from spread.
        """
        return self.is_fitted and "score_sd" in self.errors


@dataclass(frozen=True)
class FittedNoise:
    """The noise of one judge, by task.

    judge: name@version, as its statements say it.
    """

    judge: str = ""
    tasks: Mapping[Task, TaskNoise] = field(default_factory=dict)

    def task(self, task: Task) -> TaskNoise:
        """Of one task; the scale-free defaults of one that was not fitted, told as such."""
        return self.tasks.get(task) or TaskNoise(Noise(), why=f"nothing was fitted for {task}")

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(self.to_json())

    def to_json(self) -> str:
        """As `read` reads it."""
        tasks = {task: _plain(one) for task, one in self.tasks.items()}
        return json.dumps({"judge": self.judge, "tasks": tasks}, indent=2) + "\n"

    @classmethod
    def read(cls, text: str, source: str) -> FittedNoise:
        """From the text of a file.

        Args:
            text: as `to_json` wrote it.
            source: names the file in messages.

        Raises:
            NoiseError: it is no noise.
        """
        try:
            raw = json.loads(text)
            tasks = {_task(task): _task_noise(one) for task, one in raw["tasks"].items()}
            return cls(str(raw["judge"]), tasks)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoiseError(f"{source}: not the noise of a judge: {error!r}") from None

    @classmethod
    def load(cls, path: Path) -> FittedNoise | None:
        """From a file, or None where there is none.

        Raises:
            NoiseError: it cannot be read.
        """
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise NoiseError(f"{path}: cannot be read: {error}") from None
        return cls.read(text, str(path))


def _plain(one: TaskNoise) -> dict[str, Any]:
    """A task's noise as JSON; the scale is the judge's and stays with its specification."""
    raw = asdict(one)
    del raw["noise"]["scale"]
    if math.isinf(one.noise.quality_sd):
        raw["noise"]["quality_sd"] = None
    return raw


def _task_noise(raw: Mapping[str, Any]) -> TaskNoise:
    known = {one.name for one in fields(Noise)}
    told = {key: value for key, value in raw["noise"].items() if key in known}
    if told.get("quality_sd", 0) is None:
        told["quality_sd"] = math.inf
    return TaskNoise(**{**raw, "noise": Noise(**told)})


def _task(name: Any) -> Task:
    if name not in get_args(Task):
        raise ValueError(f"unknown task {name!r}")
    return cast(Task, name)
