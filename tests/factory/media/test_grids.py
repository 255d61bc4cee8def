import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from factory.media import grids
from factory.media.grids import picture_grid, thumbnail
from factory.media.pictures import MediaError


def png(colour, size=(32, 32)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


RED, BLUE = (200, 30, 30), (30, 30, 200)


def test_each_picture_is_in_its_place():
    sheet = opened(
        picture_grid(
            [[png(RED), png(BLUE)], [None, png(RED, (8, 4))]], ["a", "b"], ["one", "two"], 64
        )
    )
    left, top, step = 2 * 64 + 8, 15 + 4 + 16, 64 + 8
    middle = [(left + step * x + 32, top + step * y + 32) for y in (0, 1) for x in (0, 1)]
    assert [sheet.getpixel(at) for at in (middle[0], middle[1], middle[3])] == [RED, BLUE, RED]
    assert sheet.getpixel(middle[2]) not in (RED, BLUE, (255, 255, 255))
    # the 8 x 4 picture keeps its shape: there is margin above it and none beside it
    x, y = middle[3]
    assert sheet.getpixel((x, y - 20)) != RED
    assert sheet.getpixel((x - 31, y)) == RED


@pytest.mark.parametrize("size", [(8, 4), (200, 100)])
def test_a_picture_fills_its_cell_as_far_as_its_shape_allows(size):
    sheet = opened(picture_grid([[png(RED, size)]], ["a"], ["one"], 64))
    left, top = 2 * 64 + 8, 15 + 4 + 16
    is_red = np.asarray(sheet)[top : top + 64, left : left + 64, 1] < 60
    rows, columns = np.nonzero(is_red)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 47, 0, 63)


def test_an_empty_cell_is_crossed_out_from_corner_to_corner():
    sheet = opened(picture_grid([[None]], ["a"], ["one"], 64))
    cell = np.asarray(sheet)[15 + 4 + 16 :, 2 * 64 + 8 :][:64, :64]
    assert {tuple(cell[at].tolist()) for at in ((0, 0), (63, 63), (1, 63), (63, 1))} == {
        (200, 200, 196)
    }
    assert tuple(cell[32, 5].tolist()) == (236, 236, 232)


def test_titles_stand_over_their_columns_and_captions_beside_their_rows():
    titles, captions = ["first title", "second"], ["many words " * 30, "two", "3"]
    grid = picture_grid([[png(RED), png(BLUE)]] * 3, titles, captions, 64)
    has_ink = np.asarray(opened(grid).convert("L")) < 250
    left, top, step, line = 2 * 64 + 8, 15 + 4 + 16, 64 + 8, 15 + 4
    assert has_ink.shape == (top + 3 * step, left + 2 * step + 8)
    for x in (left, left + step):
        rows, columns = np.nonzero(has_ink[:top, x : x + step])
        assert 8 <= rows.min() < rows.max() < 8 + line
        assert columns.min() <= 2
        assert columns.max() < 64
    for row, num_lines in enumerate((3, 1, 1)):  # as many as fit the cell, and wrapped
        rows, columns = np.nonzero(has_ink[top + row * step : top + (row + 1) * step, :left])
        assert (num_lines - 1) * line < rows.max() < num_lines * line
        assert rows.min() < line / 2
        assert 8 <= columns.min() <= 12
        assert columns.max() < left - 16
    assert not has_ink[:top, : left - 2].any()
    long = [titles[0], "second of many words"]  # is cut off, and says so
    cut = picture_grid([[png(RED), png(BLUE)]] * 3, [titles[0], "second of …"], captions, 64)
    assert picture_grid([[png(RED), png(BLUE)]] * 3, long, captions, 64) == cut


def test_small_pictures_are_enlarged_by_whole_pixels():
    buffer = io.BytesIO()
    chess = Image.new("RGB", (2, 2))
    chess.putdata([RED, BLUE, BLUE, RED])
    chess.save(buffer, "PNG")
    sheet = opened(picture_grid([[buffer.getvalue()]], ["a"], ["one"], 65))
    left, top = 2 * 65 + 8, 15 + 4 + 16
    colours = sheet.crop((left, top, left + 64, top + 64)).getcolors()
    assert sorted(colours) == sorted([(2048, RED), (2048, BLUE)])


def test_the_same_input_gives_the_same_bytes():
    arguments = ([[png(RED)]], ["a"], ["a caption"])
    assert picture_grid(*arguments) == picture_grid(*arguments)


@pytest.mark.parametrize(
    "caption", ["", "x" * 500, "word " * 200, "two\nlines\x00\x1b[0m", "日本語 العربية 🎨"]
)
def test_any_caption_stays_in_its_row(caption):
    sheet = opened(picture_grid([[png(RED)]], [caption], [caption], 64))
    assert sheet.size == (2 * 64 + 8 + 72 + 8, 15 + 4 + 16 + 72)
    assert sheet.getpixel((2 * 64 + 8, 15 + 4 + 16)) == RED


def test_a_text_is_wrapped_between_words_and_cut_with_an_ellipsis():
    draw, font = ImageDraw.Draw(Image.new("RGB", (1, 1))), ImageFont.load_default(12)
    width = int(draw.textlength("a red circle", font)) + 1

    def wrapped(text, num_lines=2):
        lines = grids._wrap(draw, font, text, width, num_lines)
        assert all(draw.textlength(line, font) <= width for line in lines)
        return lines

    assert wrapped("a red circle") == ["a red circle"]
    assert wrapped("a red circle a red circle") == ["a red circle", "a red circle"]
    assert wrapped("a\nred\x07circle") == ["a red circle"]
    cut = wrapped("a red circle a red circle and more")
    assert cut[0] == "a red circle"
    assert cut[1].startswith("a red")
    assert cut[1].endswith("…")
    (whole,) = wrapped("circlecirclecircle", 1)
    assert "circlecirclecircle".startswith(whole.removesuffix("…"))
    assert len(whole) > 8
    assert wrapped("") == []


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="caption for each row"):
        picture_grid([[png(RED)]], ["a", "b"], ["one"])
    with pytest.raises(ValueError, match="caption for each row"):
        picture_grid([[png(RED)]], ["a"], [])
    with pytest.raises(ValueError, match="caption for each row"):
        picture_grid([[png(RED)], []], ["a"], ["one", "two"])


def test_thumbnails():
    small = png(RED)
    assert thumbnail(small, 64) is small
    fitting = png(RED, (64, 20))
    assert thumbnail(fitting, 64) is fitting
    assert opened(thumbnail(png(RED, (200, 100)), 64)).size == (64, 32)
    assert opened(thumbnail(png(RED, (40, 80)), 64)).size == (32, 64)
    for broken in (b"", b"no picture", small[:40], small[: len(small) // 2]):
        with pytest.raises(MediaError, match="cannot read a picture"):
            thumbnail(broken, 64)
