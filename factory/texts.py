"""Text as it comes in files: marks at its head, characters that nobody sees, and normal forms.

Nothing here changes a text that is kept: a prompt says what its file says, to the letter, and its
id is of that. What is told is whether there is anything to see, and which texts look the same.
"""

from __future__ import annotations

import re
import unicodedata

#: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), which is shown as nothing:
#: soft hyphens, joiners, marks of direction, fillers, variation selectors, tags, the byte order
#: mark; and the blank of Braille.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
#: Marks at the head of a file, the longer first, and how what follows is encoded.
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
#: Bytes of the longest mark.
LONGEST_MARK = 4
#: A mark as a character.
MARK = "\ufeff"


def encoding_of(head: bytes) -> str:
    """How a text file is encoded, by the mark at its head; UTF-8 without one. Python's codec of
    this name takes the mark away.
    """
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "utf-8")


def unseen_only(text: str) -> str | None:
    """Of a text in which there is nothing to see, the first character that nobody sees; None where
    there is something, or nothing but spaces.
    """
    unseen = _UNSEEN.search(text)
    return unseen.group() if unseen and not _UNSEEN.sub("", text).strip() else None


def as_seen(text: str) -> str:
    """A text that is the same for all texts that look the same: without what nobody sees, and in
    normal form C. For comparing, never for keeping: joiners and selectors matter to those who read.
    """
    return unicodedata.normalize("NFC", _UNSEEN.sub("", text)).strip()
