"""The prompts and candidates that all judges of a card are shown."""

from __future__ import annotations

from dataclasses import dataclass

from factory.keys import key_of, output_digest, prompt_digest
from schemas.rows import Group, Task


@dataclass(frozen=True)
class CardSet:
    """Prompts with their candidates, in the order in which they are asked about.

    name: for people.
    groups: of one task, one after the other.
    notes: what a reader must know of it.
    """

    name: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    def asked(self) -> list[tuple[Group, Group]]:
        """Each prompt with the one of its task that lends it a stranger."""
        found = []
        for task in dict.fromkeys(one.prompt.task for one in self.groups):
            mine = [one for one in self.groups if one.prompt.task == task]
            found += [(one, mine[at - 1]) for at, one in enumerate(mine)]
        return found

    def num_prompts(self) -> dict[Task, int]:
        """By task."""
        found: dict[Task, int] = {}
        for one in self.groups:
            found[one.prompt.task] = found.get(one.prompt.task, 0) + 1
        return found

    def digest(self) -> str:
        """Of all that a judge is shown."""
        return key_of(
            *(
                (prompt_digest(one.prompt), [output_digest(each) for each in one.candidates])
                for one in self.groups
            )
        )[:16]
