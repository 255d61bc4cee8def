"""Going on when memory runs out: the batch is halved until it fits, or one item alone does not.

Also what becomes of an exception when it is written into a row, and whether it says anything of the
row at all. A half batch gives the same answers as a whole one up to the rounding of floating-point
sums.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from PIL import UnidentifiedImageError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MAX_REASON = 500  # characters


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory, of a GPU or of the host, was too small."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # What the CPU allocator and some CUDA libraries raise instead.
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    )


#: What the errors of an accelerator, of its libraries and of its network name.
_DEVICE_SIGNS = ("CUDA error", "CUDA driver", "HIP error", "cuDNN", "CUBLAS_", "CUDNN_", "NCCL")


def is_attempt(error: BaseException) -> bool:
    """Whether an exception says nothing of what was drawn or asked, but only of this attempt:
    memory, a device, a disk, a connection, or time ran out. The same work may do well elsewhere or
    tomorrow, so nobody takes over such a failure and whoever retries makes it again.

    Anything else is the outcome: a pipeline that refuses its input refuses it every time. An
    exception can speak for itself, by an attribute `is_attempt`.
    """
    import torch

    said = getattr(error, "is_attempt", None)
    if said is not None:
        return bool(said)
    if is_out_of_memory(error) or isinstance(error, torch.AcceleratorError):
        return True
    if isinstance(error, OSError | http.client.HTTPException):
        # Pillow calls a broken picture an OSError too, without a number of the system's.
        is_plain = type(error) is OSError and error.errno is None
        return not (is_plain or isinstance(error, UnidentifiedImageError))
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _DEVICE_SIGNS)


def halving(
    work: Callable[[Sequence[Item]], Iterable[Result]], items: Sequence[Item]
) -> list[Result]:
    """The results of `work`, in order, done in halves of halves where memory is too small.

    Raises:
        Exception: of `work`, where it is not about memory or one item alone is too large.
    """
    try:
        return list(work(items))
    except Exception as error:
        if len(items) < 2 or not is_out_of_memory(error):
            raise
    _free()  # outside of the handler, whose traceback holds the tensors of the failed attempt
    middle = len(items) // 2
    return halving(work, items[:middle]) + halving(work, items[middle:])


def in_batches(
    work: Callable[[Sequence[Item]], Iterable[Result]], items: Sequence[Item], size: int
) -> list[tuple[Result, int]]:
    """The results of `work`, in order, each with how many items it was computed together with.

    Sums round by the size of a batch, and not by what else is in it. So all batches are of one
    size, the last filled up with items that are there already, unless memory is too small.

    Raises:
        Exception: as `halving`.
    """

    def counted(batch: Sequence[Item]) -> list[tuple[Result, int]]:
        return [(result, len(batch)) for result in work(batch)]

    made: list[tuple[Result, int]] = []
    for start in range(0, len(items), size):
        few = items[start : start + size]
        full = [few[index % len(few)] for index in range(size)]
        made += halving(counted, full)[: len(few)]
    return made


def reason(error: BaseException, before: str = "") -> str:
    """An exception as one line of printable text for a row's error field."""
    text = f"{before}{type(error).__name__}: {error}"
    return "".join(one if one.isprintable() else " " for one in text)[:_MAX_REASON]


def _free() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
