"""The rows of the table of judges whose stock processors need torchvision or num2words, in an
environment that has both (`tests.judges.families`). Pictures go through torchvision there too, so
that the other families are taken through again.
"""

from __future__ import annotations

import json
import sys

from tests.judges.families import CELLS, figures


def main() -> int:
    """Print the table, and a line at its end; fail where a cell is wrong or lacks a package."""
    found = figures(sys.argv[1:])
    print(json.dumps(found, indent=2))
    table: dict[str, dict[str, str]] = found["table"]  # type: ignore[assignment]
    faults = [
        f"{name}: {cell}: {cells[cell]}"
        for name, cells in table.items()
        for cell in CELLS
        if not cells[cell].startswith(("yes", "takes no clips"))
    ]
    print("\n".join(faults), file=sys.stderr)
    print(f"{len(table)} families, {len(table) * len(CELLS) - len(faults)} cells as they should be")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
