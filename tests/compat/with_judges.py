"""The table of judges (`tests.judges.families`) in an environment with torchvision and num2words,
which some stock processors need. Pictures go through torchvision there, so the other families are
taken through again. All other types of the mapping are asked there too.
"""

from __future__ import annotations

import json
import sys

from tests.judges.families import CELLS, JOBS, figures

_BAD = ("WRONG", "fails")


def main() -> int:
    """Print the figures, and a line at their end; fail where a cell is not what it should be, or a
    type of the mapping is neither right nor refused.
    """
    found = figures(sys.argv[1:])
    print(json.dumps(found, indent=2))
    table: dict[str, dict[str, str]] = found["table"]  # type: ignore[assignment]
    faults = [
        f"{name}: {cell}: {cells[cell]}"
        for name, cells in table.items()
        for cell in (*CELLS, *JOBS)
        if not cells[cell].startswith("yes")
    ]
    others: dict[str, dict[str, str]] = found.get("other types of the mapping", {})  # type: ignore[assignment]
    of_types = others.get("types", {})
    bad = [f"{kind}: {said}" for kind, said in of_types.items() if said.startswith(_BAD)]
    print("\n".join([*faults, *bad]), file=sys.stderr)
    num = len(table) * (len(CELLS) + len(JOBS))
    print(
        f"{len(table)} families, {num - len(faults)} of {num} cells as they should be; "
        f"other types: {others.get('counts')}"
    )
    return min(len(faults) + len(bad), 1)


if __name__ == "__main__":
    sys.exit(main())
