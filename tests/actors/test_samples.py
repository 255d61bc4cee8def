import itertools

import numpy as np

from actors.trainers.samples import Samples
from factory.media import decode, encode_png

PNG = encode_png(np.zeros((8, 8, 3), np.uint8))


class Painter:
    def __init__(self, fails=False):
        self.fails, self.calls = fails, []

    def draw(self, prompts, num_steps, guidance_scale):
        self.calls.append((tuple(prompts), num_steps, guidance_scale))
        if self.fails:
            raise RuntimeError("planted")
        return [PNG for _ in prompts]


def samples(directory):
    return Samples(("a", "b"), 20, str(directory), 8, 1.5)


def test_a_grid_is_written_each_time_that_a_look_is_due(tmp_path):
    learner, wanted = Painter(), samples(tmp_path / "samples")
    steps = [0, 10, 20, 30, 47, 60]  # where windows close
    for before, step in itertools.pairwise(steps):
        wanted.look(learner, before, step)
    names = sorted(one.name for one in (tmp_path / "samples").glob("*"))
    assert names == ["step-000020.png", "step-000047.png", "step-000060.png"]
    assert learner.calls == [(("a", "b"), 8, 1.5)] * 3
    assert decode((tmp_path / "samples" / names[0]).read_bytes()).shape[0] > 256


def test_a_look_that_fails_is_told_and_costs_nothing(tmp_path, capsys):
    samples(tmp_path).look(Painter(fails=True), 0, 20)
    assert "samples at step 20: none: RuntimeError: planted" in capsys.readouterr().out
    assert not list(tmp_path.glob("*"))


def test_a_learner_that_cannot_draw_is_left_alone(tmp_path):
    samples(tmp_path).look(object(), 0, 20)
    assert not list(tmp_path.glob("*"))
