"""Pictures, clips and answers that the part `bias` draws its audits from, measured once.

Everything is the project's own: candidates are drawn by the sandbox, or written in sentences,
edited by `factory.bias.edits`, measured by `factory.media.measures`. Candidates of one prompt
differ in tone, in words across them, in speed, and in length by chance, apart from how good they
are. Clips are edited and measured as frames; what encoding does to them is left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from factory.bias.edits import EDITS, edit_candidate, edit_frames, edit_pixels
from factory.bias.estimate import attribute_sds
from factory.bias.observation import NAMES, Attributes, Observation, measure_candidate
from factory.bias.probes import Probe
from factory.media.clips import Frames
from factory.media.measures import attributes_of_frames, measures_of
from factory.media.pictures import ATTRIBUTES
from factory.sandbox.drawing import draw, draw_clip
from factory.sandbox.world import Scene, caption, sample_scene
from schemas.rows import Candidate, Measures, Media, Prompt

NUM_CANDIDATES = 8
#: Of each prompt, that are edited.
NUM_EDITED = 2
#: Sentences that an answer may say something in; the words of a sentence that says nothing.
_MOST_FACTS = 6
_SIDE = 96


@dataclass(frozen=True)
class Pool:
    """Candidates of many prompts, P, with what edits of them change.

    prompts: of each.
    candidates: with their measures and without media, [P][8].
    looks: their attributes, in standard deviations within a prompt, [P][8].
    merits: what is said of each that is so, less what is not; 0 for pictures and clips.
    probes: of the edited candidates, without what a judge says: [P][edits].
    sds: of the attributes.
    costs: of each probe the change of its merits, [P][edits].
    """

    prompts: Sequence[Prompt]
    candidates: Sequence[Sequence[Candidate]]
    looks: Sequence[Sequence[Attributes]]
    merits: Sequence[Sequence[float]]
    probes: Sequence[Sequence[Probe]]
    sds: Mapping[str, float]
    costs: Sequence[Sequence[float]]


@cache
def pictures(num: int, seed: int) -> Pool:
    """Pictures of the sandbox, 96 px wide, of other tones and other grain, a third with words
    across them.
    """

    def make(rng: random.Random) -> tuple[Prompt, list[_Made]]:
        scene = sample_scene(rng)
        return Prompt.of(caption(scene)), [_picture(scene, rng) for _ in range(NUM_CANDIDATES)]

    names = [name for name, edit in EDITS.items() if edit.needs == "picture"]
    return _pool(num, f"pictures {seed}", names, make)


@cache
def clips(num: int, seed: int) -> Pool:
    """Clips of the sandbox, 32 px wide and 16 frames long, in which time runs at full speed down to
    a fifth of it. Of the edits of a picture two are made, since each takes all frames.
    """

    def make(rng: random.Random) -> tuple[Prompt, list[_Made]]:
        scene = sample_scene(rng, moving=True)
        return Prompt.of(caption(scene)), [_clip(scene, rng) for _ in range(NUM_CANDIDATES)]

    return _pool(num, f"clips {seed}", ["brightness", "sharpness", "low motion"], make)


@cache
def answers(num: int, seed: int) -> Pool:
    """Answers of one to six sentences, each of which says something that is so or that is not, in
    few words or in many. The longer ones say more.
    """

    def make(rng: random.Random) -> tuple[Prompt, list[_Made]]:
        prompt = Prompt.of(f"what is known of case {rng.random()} ?")
        return prompt, [_answer(rng) for _ in range(NUM_CANDIDATES)]

    return _pool(num, f"answers {seed}", ["length"], make)


def merits_of(answer: str) -> float:
    """What an answer says that is so, less what it says that is not."""
    return answer.count("truly") - answer.count("falsely")


@dataclass(frozen=True)
class _Made:
    """A candidate, and how it looks after an edit.

    candidate: with its measures, without the bytes of its medium.
    look: its attributes.
    edited: attributes and merits after an edit at a dose.
    """

    candidate: Candidate
    look: Attributes
    merits: float
    edited: Callable[[str, float], tuple[Attributes, float]]


def _picture(scene: Scene, rng: random.Random) -> _Made:
    pixels = draw(scene, rng, _SIDE)
    for name in ATTRIBUTES:
        pixels = edit_pixels(pixels, name, rng.uniform(-1, 1))
    noise = np.random.default_rng(rng.getrandbits(32))
    grain = noise.normal(0, rng.uniform(2, 12), pixels.shape)
    pixels = np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)
    if rng.random() < 1 / 3:
        pixels = edit_pixels(pixels, "overlay text", rng.uniform(0.3, 1))

    def edited(name: str, dose: float) -> tuple[Attributes, float]:
        return attributes_of_frames(edit_pixels(pixels, name, dose)[None]), 0.0

    return _shown(attributes_of_frames(pixels[None]), edited, rng)


def _clip(scene: Scene, rng: random.Random) -> _Made:
    frames = draw_clip(scene, rng, 32, 16)
    frames = edit_frames(frames, "brightness", rng.uniform(-1, 1))
    frames = edit_frames(frames, "low motion", rng.uniform(0, 0.8))

    def edited(name: str, dose: float) -> tuple[Attributes, float]:
        return attributes_of_frames(_looked_at(edit_frames(frames, name, dose))), 0.0

    return _shown(attributes_of_frames(_looked_at(frames)), edited, rng)


def _looked_at(frames: Frames) -> Frames:
    """Eight of sixteen frames, evenly over the time."""
    return frames[1::2]


def _shown(look: Attributes, edited: Callable, rng: random.Random) -> _Made:  # type: ignore[type-arg]
    signature = rng.getrandbits(64)
    measures = Measures(
        f"{signature:016x}", 1, entropy=4.0, signature=signature, is_blank=False, **look
    )
    media = Media(None, _SIDE, _SIDE, path="nowhere")
    return _Made(Candidate("", "drawn@0", 0, media, measures=measures), look, 0.0, edited)


def _answer(rng: random.Random) -> _Made:
    said = []
    for fact in range(rng.randint(1, _MOST_FACTS)):
        how = "truly" if rng.random() < 0.9 else "falsely"
        words = (rng.choice(("very", "much", "so", "all")) for _ in range(rng.randint(0, 6)))
        said.append(f"Thing {fact} is {how} {' '.join(words)} there.")
    bare = Candidate("", "wrote@0", 0, answer=" ".join(said))
    candidate = replace(bare, measures=measures_of(bare))

    def edited(name: str, dose: float) -> tuple[Attributes, float]:
        after = edit_candidate(candidate, EDITS[name], dose)
        assert after is not None
        return measure_candidate(after), merits_of(after.answer or "")

    text = candidate.answer or ""
    return _Made(candidate, measure_candidate(candidate), merits_of(text), edited)


def _pool(
    num: int,
    seed: str,
    names: Sequence[str],
    make: Callable[[random.Random], tuple[Prompt, list[_Made]]],
) -> Pool:
    rng = random.Random(seed)
    prompts, groups, probes, costs = [], [], [], []
    for _ in range(num):
        prompt, made = make(rng)
        made = [
            replace(one, candidate=replace(one.candidate, candidate_id=f"{prompt.prompt_id} {at}"))
            for at, one in enumerate(made)
        ]
        asked, lost = [], []
        for one in made[:NUM_EDITED]:
            for name in names:
                for dose in EDITS[name].doses:
                    after, merits = one.edited(name, dose)
                    changes = {key: after[key] - value for key, value in one.look.items()}
                    of = (prompt.prompt_id, one.candidate.candidate_id, "edit", name, dose)
                    asked.append(Probe(*of, changes=changes))
                    lost.append(merits - one.merits)
        prompts.append(prompt)
        groups.append(made)
        probes.append(asked)
        costs.append(lost)
    seen = [
        Observation(
            prompt.prompt_id, {}, (), 0, {one.candidate.candidate_id: one.look for one in made}
        )
        for prompt, made in zip(prompts, groups, strict=True)
    ]
    sds = {name: sd for name, sd in attribute_sds(seen, (), NAMES).items() if sd > 0}
    return Pool(
        prompts,
        [[one.candidate for one in made] for made in groups],
        [
            [{name: one.look[name] / sd for name, sd in sds.items()} for one in made]
            for made in groups
        ],
        [[one.merits for one in made] for made in groups],
        probes,
        sds,
        costs,
    )
