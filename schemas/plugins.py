"""How a recipe, or a command line, names what is plugged in: as `package.module:name`, or by a word
that stands for such a name.

The words are those of the shipped sandbox. No other file of the factory says where its parts lie,
and nothing here imports them: whoever brings parts of their own never loads it.
"""

from __future__ import annotations

import re

#: `package.module:name`.
PLUGIN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"

#: Words and what they stand for, by the key of the recipe, or the argument, that takes them.
WORDS: dict[str, dict[str, str]] = {
    "evaluate.oracle": {"sandbox": "factory.sandbox.oracle_judge:OracleJudge"},
    "labels.simulator": {"sandbox": "factory.sandbox.labels:SimulatedAnnotators"},
    "--judge": {"sandbox:oracle": "factory.sandbox.oracle_judge:OracleJudge"},
    "--groups": {"sandbox": "factory.sandbox.card_set:groups"},
}


def is_plugin(name: str) -> bool:
    """Whether a name has the form `package.module:name`."""
    return re.fullmatch(PLUGIN, name) is not None


def spelled_out(name: str, key: str) -> str:
    """`package.module:name` where `name` is a word that stands for one at `key`; else `name`."""
    return WORDS.get(key, {}).get(name, name)


def checked(name: str, key: str, *others: str) -> str:
    """The name, where `key` can take it: a plug-in, a word for one, or one of `others`.

    Raises:
        ValueError: it is none of these; says what there is.
    """
    words = (*others, *WORDS.get(key, {}))
    if name in words or is_plugin(name):
        return name
    raise ValueError(f"is to be package.module:name or one of: {', '.join(words)}")
