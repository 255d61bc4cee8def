"""How long and narrow a medium may be that somebody is to look at."""

from __future__ import annotations

#: The longer side as a multiple of the shorter, at most. It is the limit of Qwen's image processors
#: (`smart_resize` in transformers), which refuse a whole batch beyond it; others would scale such a
#: picture by its shorter side to hundreds of megabytes, or cut all but its middle away.
MAX_RATIO = 200


def shape_fault(width: int, height: int) -> str | None:
    """Why a medium of this size is shown to no judge; None where it is."""
    longer, shorter = max(width, height), max(1, min(width, height))
    if longer <= MAX_RATIO * shorter:
        return None
    return (
        f"{width} × {height} pixels: the longer side is {longer / shorter:.1f} times the shorter, "
        f"and at most {MAX_RATIO} times is shown to a judge"
    )
