"""What a learner keeps."""

import torch

from actors.trainers.cache import Cache


def test_what_fits_is_made_once_and_what_does_not_is_made_again():
    made = []

    def make(key):
        made.append(key)
        return {"x": torch.full((5,), float(ord(key)))}  # 20 bytes

    cache = Cache(num_bytes=50)
    for key in "abcabc":
        assert cache.get(key, lambda key=key: make(key))["x"][0] == ord(key)
    assert made == ["a", "b", "c", "c"]
    assert len(cache) == 2
