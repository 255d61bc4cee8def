"""What bytes are, by how they begin, whatever their file is called: the kinds of media that are
read, and the names of those that are not. Nothing is decoded here.
"""

from __future__ import annotations

from typing import Literal

#: What is decoded; anything else is refused by name, since each decoder is a way in.
Kind = Literal["PNG", "JPEG", "WEBP", "MP4"]

_READ: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
)
#: Boxes with which a QuickTime file may begin where it is older than brands.
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free")
#: Brands of the boxes of MP4 in which a still picture lies, and what such a file is called.
_STILLS = {
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture"),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"),
        "a HEIC picture",
    ),
    b"crx ": "a raw picture of a camera",
}
_REFUSED = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"II+\0", "a TIFF picture"),
    (b"MM\0+", "a TIFF picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska clip"),
    (b"FLV", "a Flash clip"),
    (b"\x30\x26\xb2\x75", "a Windows Media clip"),
    (b"\0\0\x01\xba", "an MPEG clip"),
    (b"OggS", "an Ogg file"),
    (b"%PDF", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "the pointer of a file in Git LFS, which was not fetched"),
)
_HTML = (b"<!doctype html", b"<html")
_SVG = (b"<svg", b"<?xml")


def kind_of(data: bytes) -> Kind | None:
    """What the bytes are, where it is a kind that is read."""
    for start, kind in _READ:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    is_clip = data[4:8] == b"ftyp" and _still_of(data) is None
    return "MP4" if is_clip or data[4:8] in _OLD_QUICKTIME else None


def refusal(data: bytes) -> str:
    """Why bytes that are of no kind that is read are not, as the end of a sentence."""
    if not data:
        return "the file is empty"
    name = next((name for start, name in _REFUSED if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        name = _still_of(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        name = "an AVI clip"
    elif data[:256].lstrip().lower().startswith(_HTML):
        name = "a web page, as a download that failed leaves one"
    elif data[:256].lstrip().lower().startswith(_SVG):
        name = "an SVG or XML file"
    known = "PNG, JPEG and WebP pictures and MP4 clips are read"
    return f"it is {name}; {known}" if name else f"they are of no known kind; {known}"


def _still_of(data: bytes) -> str | None:
    """What a file of MP4's boxes is called where a still picture lies in them: by its brand, and
    where that says no more than HEIC's and AVIF's common one, by those that it is also of.
    """
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in (b"mif1", b"msf1", b"mif2"):
        brands = [*(one for one in brands if one in (b"avif", b"avis")), *brands]
    return _STILLS.get(brands[0])
