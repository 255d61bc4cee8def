"""Media that a row names by a URL: nothing is fetched, so what counts is the file of that name."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit


def tails(text: str) -> list[str] | None:
    """The path of a URL, from all of it down to its last part; None where the text is no URL.

    Whoever mirrors a site keeps its folders, whoever downloads a list of files has their names
    alone. There are none where the path names no file, or leads out of its folder.
    """
    if not text.lower().startswith(("http://", "https://")):
        return None
    try:
        path = urlsplit(text).path
    except ValueError:  # brackets that are no IPv6 address
        return []
    parts = [part for part in unquote(path).split("/") if part]
    if not parts or path.endswith("/") or any(part in (".", "..") for part in parts):
        return []
    return ["/".join(parts[at:]) for at in range(len(parts))]
