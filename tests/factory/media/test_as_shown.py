"""What is seen of a medium, however it is stored: upright, opaque, in 8 bits, and one picture."""

import contextlib
import io
import itertools
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from factory.media import clips, orientation, pictures
from factory.media.clips import decode_clip, decode_still, describe, encode_clip
from factory.media.grids import picture_grid, thumbnail
from factory.media.kinds import kind_of
from factory.media.measures import measure
from factory.media.pictures import MediaError, decode, encode_png
from factory.media.shape import shape_fault

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "media"
#: Four corners of four colours, 20 rows and 40 columns: no turn or mirror leaves it as it is.
CORNERS = np.zeros((20, 40, 3), np.uint8)
CORNERS[:10, :20], CORNERS[:10, 20:] = (200, 30, 30), (30, 200, 30)
CORNERS[10:, :20], CORNERS[10:, 20:] = (30, 30, 200), (220, 220, 220)


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def with_orientation(number: object, form: str, pixels: np.ndarray = CORNERS) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    if form == "WEBP":
        options = {"lossless": True}
    return saved(Image.fromarray(pixels), form, exif=exif, **options)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, **chunks: bytes) -> bytes:
    """A PNG of any depth and colour type from its raw rows, with more chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    stride = len(rows) // height
    lines = b"".join(b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride))
    body = [("IHDR", header), *chunks.items(), ("IDAT", zlib.compress(lines)), ("IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name.encode()
        + data
        + struct.pack(">I", zlib.crc32(name.encode() + data))
        for name, data in body
    )


def near(found: np.ndarray, wanted: np.ndarray, most: int = 6) -> bool:
    return found.shape == wanted.shape and bool(
        (np.abs(found.astype(int) - wanted.astype(int)) <= most).all()
    )


# ------------------------------------------------------------------------------ orientation


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_picture_is_seen_as_its_exif_turns_it(number: int, form: str) -> None:
    data = with_orientation(number, form)
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(decode(data), wanted)
    medium = describe(data)
    assert (medium.height, medium.width) == wanted.shape[:2]
    assert (medium.width < medium.height) == (number >= 5)
    assert medium.data is data  # what is stored stays
    if number > 1:
        assert not pictures.is_plain(data)


def test_who_looks_sees_it_upright() -> None:
    data = with_orientation(6, "JPEG")
    upright = encode_png(decode(data))
    turned, plain = measure(describe(data)), measure(describe(upright))
    assert turned.signature == plain.signature
    assert turned.digest != plain.digest
    small = thumbnail(data, 64)  # no larger than asked for, and still not as it is stored
    assert np.array_equal(decode(small), decode(data))
    assert kind_of(small) == "PNG"
    grids = [picture_grid([[one]], ["a"], ["one"], 64) for one in (data, upright)]
    assert grids[0] == grids[1]


@pytest.mark.parametrize("number", [0, 9, 255, 65535])
def test_an_orientation_that_there_is_not_turns_nothing(number: int) -> None:
    assert np.array_equal(decode(with_orientation(number, "PNG")), CORNERS)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["JPEG", "PNG", "WEBP"]), st.booleans())
def test_broken_exif_says_nothing_and_breaks_nothing(noise, form, is_tiff) -> None:
    exif = (b"Exif\0\0II*\0\x08\0\0\0" if is_tiff else b"Exif\0\0") + noise
    data = saved(Image.fromarray(CORNERS), form, exif=exif)
    assert sorted(decode(data).shape[:2]) == [20, 40]
    assert isinstance(pictures.is_plain(data), bool)


def test_the_orientation_of_a_png_may_stand_behind_its_pixels() -> None:
    plain = encode_png(CORNERS)
    exif = Image.Exif()
    exif[0x0112] = 3
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + body))
    data = plain[:-12] + chunk + plain[-12:]
    assert np.array_equal(decode(data), CORNERS[::-1, ::-1])
    assert not pictures.is_plain(data)


@pytest.mark.parametrize("number", range(1, 9))
def test_an_orientation_turns_as_pillow_does(number: int) -> None:
    ways = Image.Transpose
    method = [
        None,
        ways.FLIP_LEFT_RIGHT,
        ways.ROTATE_180,
        ways.FLIP_TOP_BOTTOM,
        ways.TRANSPOSE,
        ways.ROTATE_270,
        ways.TRANSVERSE,
        ways.ROTATE_90,
    ][number - 1]
    image = Image.fromarray(CORNERS)
    wanted = np.asarray(image if method is None else image.transpose(method))
    found = orientation.turned(CORNERS, number)
    assert np.array_equal(found, wanted)
    assert orientation.shown_size(40, 20, number) == wanted.shape[1::-1]


# ------------------------------------------------------------------------ clips as shown

#: The matrix of each orientation: where it sends column and row, in 16.16.
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def with_matrix(data: bytes, matrix: tuple[float, ...], box: bytes = b"tkhd") -> bytes:
    """A clip with the display matrix of its track, or of the film (`mvhd`)."""
    a, b, c, d = (round(one * 65536) for one in matrix)
    at = data.index(box) + (44 if box == b"tkhd" else 40)
    body = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return data[:at] + body + data[at + 36 :]


@pytest.fixture(scope="module")
def clip() -> bytes:
    return encode_clip(np.stack([CORNERS] * 3), 3.0)


@pytest.mark.parametrize("box", [b"tkhd", b"mvhd"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_clip_is_seen_as_its_matrix_turns_it(clip: bytes, number: int, box: bytes) -> None:
    data = with_matrix(clip, MATRICES[number], box)
    wanted = orientation.turned(CORNERS, number)
    frames = decode_clip(data, 3)
    assert near(frames[1], wanted, most=20)
    medium = describe(data)
    assert (medium.height, medium.width) == wanted.shape[:2]
    assert clips.orientation(data) == number
    assert clips.is_plain(data) == (number == 1)


def test_matrices_are_ffmpegs() -> None:
    """Quarter turns, written by FFmpeg itself."""
    for degrees, number in ((90, 8), (180, 3), (270, 6)):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mov") as container:
            stream = container.add_stream("libx264", rate=4)
            stream.width, stream.height, stream.pix_fmt = 40, 20, "yuv444p"
            stream.set_display_rotation(degrees)
            for _ in range(2):
                frame = av.VideoFrame.from_ndarray(CORNERS, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        assert clips.orientation(buffer.getvalue()) == number


def test_a_matrix_of_nothing_turns_nothing_and_a_slant_is_refused(clip: bytes) -> None:
    assert near(decode_clip(with_matrix(clip, (0, 0, 0, 0)), 1)[0], CORNERS, most=20)
    slant = with_matrix(clip, (0.7, 0.7, -0.7, 0.7))
    for look in (describe, lambda data: decode_clip(data, 1)):
        with pytest.raises(MediaError, match="no quarter turn"):
            look(slant)


def test_the_cover_of_a_sound_is_no_clip() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 40, 20, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(CORNERS, format="rgb24").reformat(format="yuvj420p")
        container.mux(cover.encode(frame))
        container.mux(cover.encode())
    with pytest.raises(MediaError, match="holds no video"):
        describe(buffer.getvalue())


def test_a_transparent_clip_is_seen_on_white() -> None:
    hidden = np.zeros((20, 40, 4), np.uint8)
    hidden[..., 0], hidden[:, 20:, 3] = 255, 255  # red, and its left half is transparent
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("png", rate=4)
        stream.width, stream.height, stream.pix_fmt = 40, 20, "rgba"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(hidden, format="rgba")))
        container.mux(stream.encode())
    first = decode_clip(buffer.getvalue(), 2)[0]
    assert (first[:, :20] == 255).all()
    assert (first[:, 20:] == (255, 0, 0)).all()


def test_a_clip_of_one_frame_is_a_picture_too() -> None:
    data = encode_clip(CORNERS[None], 8.0)
    medium = describe(data)
    assert (medium.num_frames, medium.fps) == (1, pytest.approx(8.0))
    assert near(decode_still(data), CORNERS, most=20)
    assert decode_clip(data, 4).shape == (4, 20, 40, 3)
    assert measure(medium).fault is None
    with pytest.raises(MediaError, match="a clip of 2 frames, where a picture is wanted"):
        decode_still(encode_clip(np.stack([CORNERS] * 2), 8.0))


def test_a_single_frame_without_a_duration_is_shown_for_no_absurd_time() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 40, 20, "yuv444p"
        packets = stream.encode(av.VideoFrame.from_ndarray(CORNERS, format="rgb24"))
        for packet in [*packets, *stream.encode()]:
            packet.duration = 0
            container.mux(packet)
    assert describe(buffer.getvalue()).fps == pytest.approx(10)


def test_frames_of_different_sizes_are_no_clip() -> None:
    """Two clips in one stream of MPEG-4, whose frames say their own size."""
    parts = []
    for height, width in ((16, 32), (32, 16)):
        codec = av.CodecContext.create("mpeg4", "w")
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.time_base = Fraction(1, 4)
        plain = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
        plain = plain.reformat(format="yuv420p")
        plain.pts = 0
        parts += [bytes(one) for one in [*codec.encode(plain), *codec.encode(None)]]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for at, body in enumerate(parts):
            packet = av.Packet(body)
            packet.stream, packet.pts, packet.dts, packet.duration = stream, at, at, 1
            packet.time_base, packet.is_keyframe = Fraction(1, 4), True
            container.mux(packet)
    with pytest.raises(MediaError, match="different sizes"):
        decode_clip(buffer.getvalue(), 2)


# -------------------------------------------------------------------------------- depth


def test_16_bit_grey_is_scaled_and_not_cut_off() -> None:
    levels = np.linspace(0, 65535, 256).round().astype(">u2").reshape(16, 16)
    found = decode(png(16, 16, 16, 0, levels.tobytes()))
    assert np.array_equal(found[..., 0].ravel(), np.arange(256))
    assert (found == found[..., :1]).all()
    assert not pictures.is_plain(png(16, 16, 16, 0, levels.tobytes()))


@pytest.mark.parametrize(("colour", "num"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colours_and_alpha_are_scaled(colour: int, num: int) -> None:
    levels = np.zeros((4, 4, num), ">u2")
    levels[..., 0] = 0x8000
    if num in (2, 4):
        levels[..., -1] = 65535  # opaque
    found = decode(png(4, 4, 16, colour, levels.tobytes()))
    assert (found == ((128, 128, 128) if num == 2 else (128, 0, 0))).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_one_transparent_level_of_a_grey_png_is_seen_through(depth: int) -> None:
    """The lowest level is transparent, and the highest is not: both are white in the end."""
    most = 2**depth - 1
    levels = np.array([[0, most], [most, 0]])
    bits = np.unpackbits(levels.astype(">u2").view(np.uint8).reshape(2, 2, 2), axis=-1)
    rows = np.packbits(bits[..., 16 - depth :].reshape(2, -1), axis=1).tobytes()
    opaque = decode(png(2, 2, depth, 0, rows))
    assert opaque[..., 0].tolist() == [[0, 255], [255, 0]]
    for level, wanted in ((0, 255), (most, None)):
        found = decode(png(2, 2, depth, 0, rows, tRNS=struct.pack(">H", level)))
        assert (found == (wanted if wanted else opaque)).all()


def test_one_transparent_colour_is_seen_through() -> None:
    rows = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    key = struct.pack(">HHH", 255, 0, 0)
    assert decode(png(2, 1, 8, 2, rows.tobytes(), tRNS=key)).tolist() == [
        [[255, 255, 255], [0, 0, 255]]
    ]
    wide = np.array([[[65535, 0, 0], [0, 0, 65535]]], ">u2").tobytes()
    with pytest.raises(MediaError, match="16 bits a colour"):
        decode(png(2, 1, 16, 2, wide, tRNS=struct.pack(">HHH", 65535, 0, 0)))


# --------------------------------------------------------------------------- transparency


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white_and_what_lies_beneath_is_not_seen(form, mode) -> None:
    levels = np.zeros((1, 3, 4), np.uint8)
    levels[..., :3], levels[..., 3] = 40, (0, 128, 255)
    image = Image.fromarray(levels).convert(mode)
    data = saved(image, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    mixed = round(40 * 128 / 255 + 255 * 127 / 255)
    assert near(decode(data), np.array([[[255] * 3, [mixed] * 3, [40] * 3]]), most=1)
    assert not pictures.is_plain(data)


@pytest.mark.parametrize("alphas", [b"\0", b"\xff\0", b"\x80\xff"])
def test_a_palette_may_be_transparent(alphas: bytes) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    data = saved(image, transparency=alphas)
    colours = [(200, 0, 0), (0, 0, 200)]
    wanted = [
        [round(level * alpha / 255 + 255 - alpha) for level in colour]
        for colour, alpha in zip(colours, alphas.ljust(2, b"\xff"), strict=True)
    ]
    assert near(decode(data), np.array([wanted]), most=1)


def test_opaque_alpha_changes_no_pixel() -> None:
    image = Image.fromarray(CORNERS).convert("RGBA")
    assert np.array_equal(decode(saved(image)), CORNERS)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "1", "CMYK"])
def test_a_common_picture_is_plain_and_decoded_as_ever(mode: str) -> None:
    data = saved(Image.fromarray(CORNERS).convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decode(data), np.asarray(image.convert("RGB")))
    assert pictures.is_plain(data)
    assert thumbnail(data, 64) is data


# -------------------------------------------------------------------- what is no picture


def several(form: str, num: int = 3) -> bytes:
    frames = [Image.new("RGB", (8, 8), (50 * at, 0, 0)) for at in range(num)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_an_animation_is_never_its_first_frame(form: str) -> None:
    for look in (decode, decode_still, describe, pictures.is_plain):
        with pytest.raises(MediaError, match=f"an animated {form} of 3 frames"):
            look(several(form))
    assert measure(describe(encode_png(CORNERS))).fault is None
    assert decode(several(form, 1)).shape == (8, 8, 3)


def test_a_second_picture_in_a_jpeg_is_no_second_frame() -> None:
    frames = [Image.fromarray(CORNERS), Image.fromarray(CORNERS // 2)]
    data = saved(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    assert np.abs(decode(data).astype(int) - CORNERS).mean() < 10


def box(brand: bytes, *others: bytes) -> bytes:
    body = brand + b"\0\0\0\0" + b"".join(others)
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body + b"\0" * 64


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "the file is empty"),
        (several("GIF"), "a GIF"),
        (saved(Image.fromarray(CORNERS), "BMP"), "a BMP"),
        (saved(Image.fromarray(CORNERS), "TIFF"), "a TIFF"),
        (saved(Image.fromarray(CORNERS), "AVIF"), "an AVIF"),
        (box(b"heic", b"mif1"), "a HEIC"),
        (box(b"mif1", b"avif"), "an AVIF"),
        (box(b"mif1", b"heic"), "a HEIC"),
        (box(b"avis"), "an AVIF"),
        (b"\x1aE\xdf\xa3" + b"\0" * 40, "WebM"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<svg xmlns=''/>", "an SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"some text that is no picture", "no known kind"),
    ],
)
def test_what_is_not_read_is_refused_by_name(data: bytes, name: str) -> None:
    for look in (describe, decode_still, decode, lambda data: decode_clip(data, 1)):
        with pytest.raises(MediaError, match=name):
            look(data)


def test_a_wrong_suffix_is_nothing_to_go_by() -> None:
    """Only the bytes are: a PNG where a clip is wanted is named, and a clip where a picture is."""
    with pytest.raises(MediaError, match="it is a PNG picture"):
        decode_clip(encode_png(CORNERS), 1)
    with pytest.raises(MediaError, match="it is an MP4 clip"):
        decode(encode_clip(CORNERS[None], 1.0))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_of_any_kind_ends_in_our_own_error(data) -> None:
    whole = bytearray(
        data.draw(
            st.sampled_from(
                [
                    with_orientation(6, "JPEG"),
                    with_orientation(3, "WEBP"),
                    saved(Image.fromarray(CORNERS).convert("LA")),
                    png(2, 2, 16, 0, bytes(8), tRNS=b"\0\1"),
                    several("WEBP"),
                    several("PNG"),
                ]
            )
        )
    )
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for look in (describe, pictures.is_plain, lambda data: thumbnail(data, 16)):
        with contextlib.suppress(MediaError):
            look(cut)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_of_a_clip_ends_in_our_own_error(clip, data) -> None:
    whole = bytearray(with_matrix(clip, MATRICES[6]))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(8, len(whole)))])
    for look in (describe, clips.is_plain, decode_still, lambda data: decode_clip(data, 2)):
        with contextlib.suppress(MediaError):
            look(cut)


# ------------------------------------------------------------------------------ the shape


@pytest.mark.parametrize(("width", "height"), [(2010, 8), (1, 5000), (8, 1601), (201, 1)])
def test_what_is_too_long_and_narrow_is_named_with_the_limit(width: int, height: int) -> None:
    fault = shape_fault(width, height)
    assert fault is not None
    assert fault.startswith(f"{width} × {height} pixels")
    assert "at most 200 times" in fault


def test_what_is_within_the_limit_is_shown() -> None:
    assert all(shape_fault(*size) is None for size in ((1600, 8), (8, 1600), (1, 1), (1, 200)))


# ------------------------------------------------------------------- inputs that had failed


def test_inputs_that_had_failed() -> None:
    def read(name: str) -> bytes:
        return (CASES / name).read_bytes()

    jpeg = describe(read("exif6-stored-40x20-shown-20x40.jpg"))
    assert (jpeg.width, jpeg.height) == (20, 40)
    rotated = describe(read("rotated-40x24-shown-24x40.mp4"))
    assert (rotated.width, rotated.height, rotated.num_frames) == (24, 40, 4)
    assert decode_clip(rotated.data, 2).shape == (2, 40, 24, 3)
    one = read("one-frame.mp4")
    assert decode_still(one).shape == decode_clip(one, 1)[0].shape == (24, 40, 3)
    with pytest.raises(MediaError, match="an animated WEBP of 3 frames"):
        describe(read("animated-3-frames.webp"))
    assert (decode(read("fully-transparent-red.png")) == 255).all()


def test_measures_of_plain_media_are_what_they_were() -> None:
    """Recorded measures stay true: only what had been decoded wrongly is measured otherwise."""
    ramp = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3)
    pixels = (ramp * 7919 % 256).astype(np.uint8)
    found = measure(describe(encode_png(pixels)))
    assert found.signature == 7499873204816185499
    assert found.brightness == pytest.approx(pictures.attributes(pixels)["brightness"])
    wanted = list(itertools.chain(*pixels[:2, :2].tolist()))
    assert list(itertools.chain(*decode(encode_png(pixels))[:2, :2].tolist())) == wanted
