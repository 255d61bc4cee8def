"""Every other type of transformers' image-text-to-text mapping: does a tiny checkpoint of it judge
without code of ours, as a stock forward pass would; or is it refused, and why?

    python -m tests.judges.sweep [TYPE …]

Checkpoints are made from configuration classes alone (`tests.judges.shrunk`), so what is shown is
that the plain path calls such a model as its own processor does, and reads it rightly; not that a
released checkpoint of it knows how to judge. Where none could be made, that is said, and nothing is
claimed of the type.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from actors.judges import TransformersJudge
from actors.judges.kinds import check_config
from factory.judging.specification import JudgeSpecification, SpecificationError
from schemas.rows import Prompt
from tests.judges.holding import CAPTION, PICTURES, QUESTION, SEEN, Holding, WrongError
from tests.judges.shrunk import NotTriedError, make, short
from tests.judges.stock import Stock
from tests.tiny.families import JUDGES

OUTCOMES = ("judges rightly", "refused", "fails", "WRONG", "not tried")


def sweep(kinds: Sequence[str] = ()) -> dict[str, object]:
    """What became of each type, and how many of each outcome.

    Args:
        kinds: model types; all that have no builder of their own where empty.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN,
    )

    found = {}
    for kind in kinds or [one for one in KNOWN if one not in JUDGES]:
        with tempfile.TemporaryDirectory() as folder:
            found[kind] = outcome(kind, Path(folder)).replace(folder, "PATH")
        print(f"{kind}: {found[kind]}", file=sys.stderr, flush=True)
    counts = Counter(said.partition(":")[0] for said in found.values())
    return {
        "types in the mapping": len(KNOWN),
        "with a builder of their own": sum(one in KNOWN for one in JUDGES),
        "counts": {name: counts.get(name, 0) for name in OUTCOMES},
        "types": found,
    }


def outcome(kind: str, folder: Path) -> str:
    """What became of one type: one of `OUTCOMES`, and after a colon why."""
    try:
        check_config(kind, json.dumps({"model_type": kind}).encode())
    except SpecificationError as error:
        return f"refused: {short(error)}"
    try:
        make(kind, folder)
        stock = Stock(str(folder))
    except NotTriedError as error:
        return f"not tried: {error}"
    except Exception as error:
        return f"not tried: no checkpoint of small sizes: {short(error)}"
    specification = JudgeSpecification({"image_generation": QUESTION}, is_chat=True)
    try:
        judge = TransformersJudge(str(folder), "judge@0", specification=specification)
    except SpecificationError as error:
        return f"refused: {short(error)}"
    except Exception as error:
        return f"fails: as it is loaded, {short(error)}"
    holding = Holding()
    try:
        spread = holding.hold(judge, stock, Prompt.of(CAPTION), PICTURES)
    except WrongError as error:
        return f"WRONG: {error}"
    except ValueError as error:
        return f"refused: at the first question, {short(error)}"
    except Exception as error:
        return f"fails: {short(error)}"
    if spread < SEEN:
        return "not tried: its random weights all but ignore a picture"
    return "judges rightly"


if __name__ == "__main__":
    print(json.dumps(sweep(sys.argv[1:]), indent=2))
