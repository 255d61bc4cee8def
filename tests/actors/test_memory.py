"""Batches of one size, and which failures say something of what was drawn or asked."""

import http.client
import urllib.error
from collections.abc import Sequence

import pytest
import torch
from PIL import UnidentifiedImageError

from actors.memory import in_batches, is_attempt
from factory.media.pictures import MediaError


class Busy(RuntimeError):
    is_attempt = True


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        ConnectionResetError("gone"),
        TimeoutError("no answer in 60 s"),
        OSError(28, "No space left on device"),
        FileNotFoundError(2, "No such file"),
        urllib.error.URLError("no route to host"),
        http.client.IncompleteRead(b""),
        Busy("all seats are taken"),
    ],
    ids=repr,
)
def test_what_another_attempt_may_do_better_is_an_attempt(error: Exception) -> None:
    assert is_attempt(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("`height` and `width` have to be divisible by 8"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        MediaError("cannot read a picture"),
        UnidentifiedImageError("cannot identify image file"),
        OSError("image file is truncated"),
        KeyError("prompt"),
    ],
    ids=repr,
)
def test_what_comes_again_every_time_is_an_outcome(error: Exception) -> None:
    assert not is_attempt(error)


def test_batches_are_of_one_size_and_say_so_where_memory_makes_them_smaller() -> None:
    sizes: list[int] = []

    def squares(batch: Sequence[int]) -> list[int]:
        if len(batch) > 4:
            raise MemoryError
        sizes.append(len(batch))
        return [one**2 for one in batch]

    assert in_batches(squares, [1, 2, 3, 4, 5], 3) == [(one**2, 3) for one in (1, 2, 3, 4, 5)]
    assert sizes == [3, 3]
    assert in_batches(squares, [7], 4) == [(49, 4)]
    assert in_batches(squares, [], 1) == []
    assert in_batches(squares, [1, 2, 3], 6) == [(one**2, 3) for one in (1, 2, 3)]
