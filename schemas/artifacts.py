"""The kinds of artifact that the factory makes: the one table of them.

An artifact has an address `name@version` and a directory of its own, `ROOT/FOLDER/NAME@VERSION`. A
new kind is a row below, and the module `jobs/stages/JOB.py` that makes it: the rounds, the report,
the history, the lineage and the registry all look here. What is shown of a kind beyond its counts
and figures is the report's own matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from schemas.places import DATA, MODELS

#: NAME@VERSION. Version 0 is what came from outside, such as the model before the first round.
ADDRESS = re.compile(r"[a-z0-9][a-z0-9_-]*@[0-9]+")


@dataclass(frozen=True)
class ArtifactKind:
    """What is true of all artifacts of a kind.

    name: as stages and manifests call it.
    job: what makes it, `python -m jobs.JOB`.
    folder: of the root.
    is_in_loop: whether each round of the loop makes one; nothing waits for those beside the loop.
    section: of the recipe, whose `name` its artifacts go by; the kind's own where there is none.
    alias: that a model of the loop has in the registry once it is made. A model beside the loop is
        a line of its own, and its own decision says.
    command: that has the job done, where it is not the command of its name.
    """

    name: str
    job: str
    folder: str
    is_in_loop: bool = True
    section: str | None = None
    alias: Literal["champion", "challenger"] | None = None
    command: str | None = None

    @property
    def made_by(self) -> str:
        """The command line that makes one."""
        return f"python -m {self.command or f'jobs.{self.job}'}"

    @property
    def is_model(self) -> bool:
        return self.folder == MODELS


#: In the order in which a round makes them; then those beside the loop.
KINDS = (
    ArtifactKind("labels", "label", DATA),
    ArtifactKind("judge", "train_judge", MODELS, section="judge", alias="champion"),
    ArtifactKind("groups", "produce", DATA),
    ArtifactKind("profile", "audit", DATA),
    ArtifactKind("pairs", "curate", DATA),
    ArtifactKind("generator", "align", MODELS, section="generator", alias="challenger"),
    ArtifactKind("evaluation", "evaluate", DATA),
    ArtifactKind("candidates", "draw", DATA, is_in_loop=False, command="jobs.produce --only draw"),
    ArtifactKind("human_audit", "human_audit", DATA, is_in_loop=False),
    ArtifactKind("local_judge", "localise", MODELS, is_in_loop=False, section="localise"),
    ArtifactKind("light_judge", "distil", MODELS, is_in_loop=False, section="distil"),
    ArtifactKind("export", "export", DATA, is_in_loop=False),  # in a place that the user chooses
    ArtifactKind("agreement", "evaluate_judge", DATA, is_in_loop=False),  # benchmark-FORMAT@N
    ArtifactKind(
        *("stability", "evaluate_judge", DATA),  # stability-FORMAT@N
        is_in_loop=False,
        command="jobs.evaluate_judge --stability",
    ),
    ArtifactKind("judge_card", "judge_card", DATA, is_in_loop=False),  # below ROOT/cards
)


def kind_named(name: str) -> ArtifactKind:
    """The row of a kind.

    Raises:
        KeyError: there is none.
    """
    return {kind.name: kind for kind in KINDS}[name]


def loop_kinds() -> tuple[ArtifactKind, ...]:
    """What each round makes, in order."""
    return tuple(kind for kind in KINDS if kind.is_in_loop)


def folders() -> tuple[str, ...]:
    """The folders of a root in which artifacts lie."""
    return tuple(dict.fromkeys(kind.folder for kind in KINDS))
