"""The oracle for clips: how well a clip fits its caption, how it moves, whether it holds together.

Every frame is looked at as a still, and what is seen is followed from frame to frame. What stays
the same along a track (its median) is measured by the oracle for stills, at the middle of its way,
where the caption places it. To that come direction and speed of the thing that the caption moves,
and temporal consistency: whether things keep their colour and shape, stay there, and go straight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from scipy.optimize import linear_sum_assignment

from factory.sandbox.drawing import Pixels
from factory.sandbox.oracle import (
    Measurement,
    compare_matched,
    ramp,
)
from factory.sandbox.sight import Blob, Sight, look
from factory.sandbox.world import DIRECTIONS, SPEEDS, Motion, Scene
from schemas.rows import Preference

#: Alignment of a moving clip = STILL × that of its tracks + DIRECTION × direction + SPEED × speed.
STILL, DIRECTION, SPEED = 0.7, 0.18, 0.12
#: Quality = ALIGNMENT × alignment + CLEAN × clean + CONSISTENCY × consistency.
ALIGNMENT, CLEAN, CONSISTENCY = 0.75, 0.1, 0.15
#: Two qualities that differ by less are called a tie.
CLIP_TIE = 0.04
#: Elements of the caption that no consistency at all weighs as much as: what brings the order by
#: wrong elements nearest to that by quality (0.95 of drawn pairs; without it 0.87, with 1.0 0.93).
FALLEN_APART = 1.5

_REACH = 0.25  # sides that a thing can move between two frames in which it is seen
_SAME_COLOUR = 70.0  # RGB distance from a track's median that is still the same colour
_SAME_SHAPE = -0.08  # how much worse than another a track's shape may fit one frame
_MIN_SEEN = 0.4  # share of the frames in which a thing is seen; less is a flaw and no thing
# The ramps, as in `oracle`: certainly wrong, certainly right.
_MOVES = (0.04, 0.10)  # way over the whole clip, in sides; the slow one is 0.15
_HEADING = (0.60, 0.90)  # cosine of the angle between the way and the stated direction
_SPEED_STEP = (0.80, 1.25)  # way relative to the one half-way between the two speeds
_HALF_SPEED = math.sqrt(SPEEDS["slowly"] * SPEEDS["fast"])
_STEADY = (0.60, 0.95)  # share of frames in which a thing is there and looks as it does else
_STRAIGHT = (0.06, 0.025)  # root mean square distance from a straight and even way, in sides


@dataclass(frozen=True)
class Track:
    """One thing followed through a clip.

    blob: its median over the frames in which it is seen.
    way: (x, y) that it moves from the first moment of the clip to the last, in sides.
    seen: what is seen of it in each frame; None where it is not seen.
    alike: whether it is there in each frame and looks as it does else; None where the picture's
        edge hides a part of it.
    straightness: 1 where it goes straight and evenly, falling to 0.
    """

    blob: Blob
    way: tuple[float, float]
    seen: tuple[Blob | None, ...]
    alike: tuple[bool | None, ...]
    straightness: float

    @property
    def steadiness(self) -> float:
        """1 where it looks alike in all frames and moves evenly, falling to 0."""
        told = [one for one in self.alike if one is not None]
        return ramp(sum(told) / len(told), _STEADY) * self.straightness

    def mirror(self) -> Track:
        """The same with left and right exchanged."""
        seen = tuple(one and one.mirror() for one in self.seen)
        return replace(self, blob=self.blob.mirror(), way=(-self.way[0], self.way[1]), seen=seen)


@dataclass(frozen=True)
class ClipSight:
    """All that can be seen of one clip."""

    background: tuple[float, float, float]
    tracks: tuple[Track, ...]
    clean: float
    consistency: float

    def mirror(self) -> ClipSight:
        """What is seen when left and right are exchanged."""
        return replace(self, tracks=tuple(one.mirror() for one in self.tracks))


@dataclass(frozen=True)
class ClipMeasurement:
    """What the oracle found in a clip.

    still: of what stays the same, as for a picture.
    direction, speed: how right each is, 0 to 1; both 1 where the caption states no motion.
    consistency: temporal consistency, 0 to 1.
    mover: the track that was taken for the first stated thing; None where it is missing.
    others: all other tracks.
    """

    still: Measurement
    direction: float
    speed: float
    consistency: float
    mover: Track | None = None
    others: tuple[Track, ...] = ()

    @property
    def stated(self) -> Scene:
        return self.still.stated

    @property
    def clean(self) -> float:
        return self.still.clean

    @property
    def alignment(self) -> float:
        """How well the clip fits the caption, 0 to 1."""
        if self.stated.motion is None:
            return self.still.alignment
        return STILL * self.still.alignment + DIRECTION * self.direction + SPEED * self.speed

    @property
    def quality(self) -> float:
        """Alignment with a little cleanliness and consistency, 0 to 1."""
        return ALIGNMENT * self.alignment + CLEAN * self.clean + CONSISTENCY * self.consistency

    @property
    def num_wrong(self) -> float:
        """How many elements of the caption are wrong, with direction and speed; a clip that does
        not hold together counts as if FALLEN_APART of them were.
        """
        motion = (1.0 - self.direction) + (1.0 - self.speed)
        return self.still.num_wrong + motion + FALLEN_APART * (1.0 - self.consistency)

    def wrong(self) -> list[str]:
        """The wrong elements as short sentences in the sandbox's vocabulary, motion first."""
        found = []
        motion = self.stated.motion
        if motion is not None and self.still.things[0].presence >= 0.5:
            name = f"the {self.stated.things[0].colour} {self.stated.things[0].shape}"
            if self.direction < 0.5:
                found.append(f"{name} should be moving {motion.direction}")
            if self.speed < 0.5:
                found.append(f"{name} should be moving {motion.speed}")
        if self.consistency < 0.5:
            found.append("temporal consistency is bad")
        return found + self.still.wrong()


def measure_clip(
    frames: Pixels, caption_scene: Scene, times: Sequence[float] | None = None
) -> ClipMeasurement:
    """Measure uint8 frames [T, S, S, 3] against the scene of a caption; see `watch`."""
    return compare_clip(caption_scene, watch(frames, times))


def watch(frames: Pixels, times: Sequence[float] | None = None) -> ClipSight:
    """See what is in a clip.

    Args:
        frames: uint8 [T, S, S, 3], S a multiple of 32.
        times: of each frame, from 0 (the clip's first moment) to 1; even where not given.

    Raises:
        MediaError: `frames` has another shape or type.
    """
    if times is None:
        times = [at / max(1, len(frames) - 1) for at in range(len(frames))]
    sights = [look(frame) for frame in frames]
    followed = _follow(sights)
    least = _MIN_SEEN * len(frames)
    tracks = tuple(_track(seen, times) for seen in followed if len(seen) >= least)
    # What is seen for a moment only is a flaw of the clip, unless it is a fragment of a thing.
    num_brief = sum(
        len(seen) < least and max(blob.area for blob in seen.values()) > 0.02 for seen in followed
    )
    steadiness = min((one.steadiness for one in tracks), default=1.0)
    background = np.median([one.background for one in sights], axis=0)
    red, green, blue = (float(value) for value in background)
    return ClipSight(
        (red, green, blue),
        tracks,
        float(np.mean([one.clean for one in sights])),
        max(0.0, steadiness - 0.5 * num_brief),
    )


def compare_clip(stated: Scene, sight: ClipSight) -> ClipMeasurement:
    """Measure what is seen in a clip against the scene that its caption states."""
    blobs = tuple(one.blob for one in sight.tracks)
    still, matching = compare_matched(stated, Sight(sight.background, blobs, sight.clean))
    mover = None
    if matching[0] is not None and still.things[0].presence > 0.0:
        mover = sight.tracks[matching[0]]
    direction = speed = 1.0
    if stated.motion is not None:
        direction, speed = (0.0, 0.0) if mover is None else _motion(mover.way, stated.motion)
    others = tuple(one for one in sight.tracks if one is not mover)
    return ClipMeasurement(still, direction, speed, sight.consistency, mover, others)


def prefer_clip(first: ClipMeasurement, second: ClipMeasurement) -> Preference:
    """Which clip has the higher quality; "tie" where they differ by less than CLIP_TIE."""
    difference = first.quality - second.quality
    if abs(difference) < CLIP_TIE:
        return "tie"
    return "first" if difference > 0 else "second"


def _motion(way: tuple[float, float], stated: Motion) -> tuple[float, float]:
    """How right direction and speed are."""
    length = math.hypot(*way)
    moves = ramp(length, _MOVES)
    if moves == 0.0:
        return 0.0, 0.0
    step = DIRECTIONS[stated.direction]
    heading = (way[0] * step[0] + way[1] * step[1]) / length
    is_fast = ramp(length / _HALF_SPEED, _SPEED_STEP)
    speed = is_fast if stated.speed == "fast" else 1.0 - is_fast
    return moves * ramp(heading, _HEADING), moves * speed


# --- following -----------------------------------------------------------------------------------


def _follow(sights: Sequence[Sight]) -> list[dict[int, Blob]]:
    """The blobs of each thing by the number of their frame."""
    tracks: list[dict[int, Blob]] = []
    for number, sight in enumerate(sights):
        free = list(sight.blobs)
        if tracks and free:
            costs = np.array([[_distance(_last(track), blob) for blob in free] for track in tracks])
            taken = set()
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                if math.dist(_at(_last(tracks[row])), _at(free[column])) < _REACH:
                    tracks[row][number] = free[column]
                    taken.add(int(column))
            free = [blob for at, blob in enumerate(free) if at not in taken]
        tracks += [{number: blob} for blob in free]
    return tracks


def _last(track: dict[int, Blob]) -> Blob:
    return track[max(track)]


def _at(blob: Blob) -> tuple[float, float]:
    return blob.x, blob.y


def _distance(one: Blob, other: Blob) -> float:
    """Mostly how far apart; where that is alike, colours decide."""
    return math.dist(_at(one), _at(other)) + 0.1 * math.dist(one.colour, other.colour) / 441


def _track(seen: dict[int, Blob], times: Sequence[float]) -> Track:
    blobs = list(seen.values())
    whole = {number: blob for number, blob in seen.items() if not _is_cut(blob)}
    used = whole if len(whole) >= max(2, len(blobs) / 2) else seen
    kept = list(used.values())
    middle = Blob(
        _typical([blob.colour for blob in kept]),
        {shape: median(blob.fits[shape] for blob in kept) for shape in kept[0].fits},
        median(blob.extent for blob in kept),
        0.0,
        0.0,
        median(blob.area for blob in kept),
    )
    at = np.array([times[number] for number in used])
    places = np.array([_at(blob) for blob in used.values()])
    way, start, error = _line(at, places)
    # The caption places a thing at the middle of its way.
    middle = replace(middle, x=float(start[0] + way[0] / 2), y=float(start[1] + way[1] / 2))

    def is_alike(number: int) -> bool | None:
        if number in seen and number not in used:
            return None
        return number in seen and _looks_like(seen[number], middle)

    numbers = range(len(times))
    return Track(
        middle,
        (float(way[0]), float(way[1])),
        tuple(seen.get(number) for number in numbers),
        tuple(is_alike(number) for number in numbers),
        ramp(error, _STRAIGHT),
    )


def _typical(colours: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """The one nearest to all others: a mean would mix the colours of a thing that changes its."""
    return min(colours, key=lambda one: sum(math.dist(one, other) for other in colours))


def _is_cut(blob: Blob) -> bool:
    """Whether the picture's edge may hide a part of it."""
    half = blob.extent / 2 + 0.01
    return not (half <= blob.x <= 1 - half and half <= blob.y <= 1 - half)


def _looks_like(blob: Blob, middle: Blob) -> bool:
    is_shape = blob.fits[middle.shape] - max(blob.fits.values()) > _SAME_SHAPE
    return is_shape and math.dist(blob.colour, middle.colour) < _SAME_COLOUR


def _line(times: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The even way that fits best: over the whole clip, from where, and how far places are off."""
    if len(times) < 2:
        return np.zeros(2), places[0], 0.0
    design = np.stack([times, np.ones_like(times)], axis=1)
    (way, start), *_ = np.linalg.lstsq(design, places, rcond=None)
    off = places - design @ np.stack([way, start])
    freedom = max(1, len(times) - 2)
    return way, start, float(np.sqrt((off**2).sum() / freedom))
