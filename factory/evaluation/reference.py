"""The judge that knows what is right, where a recipe names one."""

from __future__ import annotations

from factory.plugins import make
from factory.protocols import ReferenceJudge
from schemas.recipe import Evaluate

#: Where a recipe names it.
REFERENCE_KEY = "evaluate.oracle"


def reference_of(settings: Evaluate) -> ReferenceJudge | None:
    """The recipe's reference; None where it names none.

    Raises:
        PluginError: it cannot be loaded, or is no reference.
    """
    if settings.oracle == "none":
        return None
    reference: ReferenceJudge = make(settings.oracle, REFERENCE_KEY, ReferenceJudge)
    return reference
