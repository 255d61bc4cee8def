import itertools

import numpy as np
import pytest

from actors.trainers.samples import Looks, Samples
from factory.media.pictures import decode, encode_png
from schemas.rows import Media, Prompt

PNG = encode_png(np.zeros((8, 8, 3), np.uint8))
CAPTIONS = (Prompt.of("a"), Prompt.of("b"))
ASKED = tuple(
    Prompt.of(one, "image_understanding", media=Media(PNG, 8, 8)) for one in ("what?", "where?")
)


class Painter:
    def __init__(self, fails=False):
        self.fails, self.calls = fails, []

    def draw(self, prompts, num_steps, guidance_scale):
        self.calls.append((tuple(prompts), num_steps, guidance_scale))
        if self.fails:
            raise RuntimeError("planted")
        return [PNG for _ in prompts]


class Speaker:
    """Gives one more answer than before at each call, and fails where it is told to."""

    def __init__(self, fails_at=None):
        self.num_calls, self.fails_at = 0, fails_at

    def answer(self, questions):
        self.num_calls += 1
        if self.num_calls == self.fails_at:
            raise RuntimeError("planted")
        return [f"<b>{self.num_calls}", None]


def looks(directory, learner, steps, *, is_writer=True, prompts=CAPTIONS):
    samples = Samples(prompts, 20, str(directory), 8, 1.5)
    viewer = Looks(samples, learner, is_writer=is_writer)
    for before, step in itertools.pairwise(steps):
        viewer.look(before, step)
    return sorted(one.name for one in directory.glob("*"))


def test_a_grid_is_written_each_time_that_a_look_is_due(tmp_path):
    learner = Painter()
    steps = [0, 10, 20, 30, 47, 60]  # where windows close
    names = looks(tmp_path, learner, steps)
    assert names == ["step-000020.png", "step-000047.png", "step-000060.png"]
    assert learner.calls == [(("a", "b"), 8, 1.5)] * 3
    assert decode((tmp_path / names[0]).read_bytes()).shape[0] > 256


def test_answers_stand_beside_those_of_the_untouched_model(tmp_path):
    names = looks(tmp_path, Speaker(), [0, 20, 30, 40], prompts=ASKED)
    assert names == ["step-000020.html", "step-000040.html"]
    page = (tmp_path / names[1]).read_text()
    assert "<h1>step 40</h1>" in page
    # Escaped, the reference's before the policy's.
    assert page.index("&lt;b&gt;1") < page.index("&lt;b&gt;3")
    assert "<b>" not in page
    assert page.count("came to no end") == 2


@pytest.mark.parametrize(
    ("learner", "prompts", "wanted"),
    [
        (Painter(fails=True), CAPTIONS, ["step-000020.txt"]),
        (Speaker(fails_at=2), ASKED, ["step-000020.txt"]),
        (Speaker(fails_at=1), ASKED, ["step-000000.txt"]),
    ],
)
def test_a_look_that_fails_leaves_its_reason_and_costs_nothing(tmp_path, learner, prompts, wanted):
    assert looks(tmp_path, learner, [0, 20], prompts=prompts) == wanted
    assert (tmp_path / wanted[0]).read_text() == "no samples: RuntimeError: planted\n"


def test_who_does_not_write_looks_all_the_same(tmp_path):
    painter, speaker = Painter(), Speaker()
    assert not looks(tmp_path, painter, [0, 20], is_writer=False)
    assert not looks(tmp_path, speaker, [0, 20], is_writer=False, prompts=ASKED)
    assert (len(painter.calls), speaker.num_calls) == (1, 2)


def test_a_learner_that_makes_nothing_is_left_alone(tmp_path):
    assert not looks(tmp_path, object(), [0, 20])
