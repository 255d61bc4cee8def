"""A prompt as one model writes it: the user's turn of its own chat template, or plain text.

A prompt is a list of texts and media. The template gets them as a chat message has them, each a
part, and says itself how a picture is written: `<image>`, or `<|vision_start|><|image_pad|>…`. Some
templates write all media before all texts (LLaVA, LLaVA-OneVision), and some write none. Where that
would change the order of what is said, media are written into the text by their own mark instead:
"Image 1: <image> Image 2: <image>" means what it says. PaliGemma has no template; its processor
takes the marks of all pictures first, then the text (google-research/big_vision, `paligemma`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

from factory.judging.specification import USER, SpecificationError

Kind = Literal["image", "video"]
Medium = TypeVar("Medium")

_FIRST, _NEXT, _LAST = "FIRST-WORDS-HERE", "NEXT-WORDS-HERE", "LAST-WORDS-HERE"


@dataclass(frozen=True)
class Place:
    """Where a medium is shown.

    kind: what the template calls it.
    mark: how it is written where the template does not say.
    """

    kind: Kind
    mark: str


class Turns:
    """How one model writes a user's turn."""

    def __init__(
        self,
        tokenizer: Any,
        template: str | None,
        *,
        media_first: bool = False,
        turn: str = "",
    ) -> None:
        """Args:
        tokenizer: renders the template.
        template: the chat template; plain text where None.
        media_first: without a template, all media are written before the text.
        turn: without a template, the text around what the user says (`JudgeSpecification.turn`).
        """
        self._tokenizer = tokenizer
        self._template = template
        self._media_first = media_first
        self._turn = turn
        self._keeps = lru_cache(maxsize=8)(self._keeps_order)
        self._leads = lru_cache(maxsize=8)(self._is_first)

    def write(self, parts: Sequence[str | Place], system: str = "") -> str:
        """The prompt, up to where the answer begins.

        Args:
            parts: of the user's turn.
            system: what the system says before; without a template, nothing can be.

        Raises:
            SpecificationError: the template does not write what is said.
        """
        if self._template is None:
            places = [one.mark for one in parts if isinstance(one, Place)]
            if self._media_first:
                words = (one for one in parts if isinstance(one, str))
                return "".join([*places, *words]).strip()
            said = _inline(parts)
            return self._turn.replace(USER, said) if self._turn else said
        shown = {one for one in parts if isinstance(one, Place)}
        texts = [isinstance(one, str) for one in parts]
        is_led = texts == sorted(texts)  # media, then texts
        if all(self._keeps(one) or (is_led and self._leads(one)) for one in shown):
            return self._with_system([_content(one) for one in parts], system)
        return self._with_system([_content(_inline(parts))], system)

    def _with_system(self, content: list[dict[str, str]], system: str) -> str:
        """The prompt after a system's turn: as a part, or as a text where the template takes no
        part there.
        """
        if not system:
            return self._render(content)
        for said in ([_content(system)], system):
            try:
                text = self._render(content, [{"role": "system", "content": said}])
            except SpecificationError:
                continue
            if text.count(system) == 1:
                return text
        raise SpecificationError("the model's chat template does not show the system's turn")

    def _render(self, content: list[dict[str, str]], before: Sequence[dict[str, Any]] = ()) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [*before, {"role": "user", "content": content}],
                    chat_template=self._template,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        except Exception as error:  # of whatever the template raises
            raise SpecificationError(f"the model's chat template fails: {error}") from error

    def _keeps_order(self, place: Place) -> bool:
        """Whether the template writes such a medium where it is, between texts."""
        parts: list[str | Place] = [_FIRST, place, _NEXT, place, _LAST]
        text = self._render([_content(one) for one in parts])
        places = [text.find(words) for words in (_FIRST, _NEXT, _LAST)]
        if min(places) < 0:
            raise SpecificationError("the model's chat template does not show the user's text")
        if places != sorted(places):
            return False
        first, second, third = places
        between = text[first + len(_FIRST) : second], text[second + len(_NEXT) : third]
        return all(one.strip() for one in between)

    def _is_first(self, place: Place) -> bool:
        """Whether it writes such a medium before a text that follows it."""
        shown = self._render([_content(place), _content(_LAST)]).partition(_LAST)[0]
        unshown = self._render([_content(_LAST)]).partition(_LAST)[0]
        return shown.strip() != unshown.strip()


def _content(part: str | Place) -> dict[str, str]:
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": part.kind}


def _inline(parts: Sequence[str | Place]) -> str:
    for one in parts:
        if isinstance(one, Place) and not one.mark:
            raise SpecificationError(
                f"this model has no mark for a {one.kind} in a text, and its chat template "
                "does not write one where the specification shows it"
            )
    return "".join(one if isinstance(one, str) else one.mark for one in parts)


def merged(parts: Sequence[str | Medium]) -> list[str | Medium]:
    """Texts that follow one another as one, so that no template puts anything between them."""
    made: list[str | Medium] = []
    for one in parts:
        if isinstance(one, str) and made and isinstance(made[-1], str):
            made[-1] += one
        elif one != "":
            made.append(one)
    return made
