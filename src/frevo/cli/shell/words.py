"""The words of a command line: quotes protect spaces, `;` ends a command, both slashes separate directories."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from frevo.cli.common import UsageError

_QUOTES = "\"'"


def split_script(text: str) -> Iterator[str]:
    """The commands of *text*: `;` and line ends outside quotes separate them."""
    begin, quote = 0, ""
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        elif letter in ";\n":
            yield text[begin:index]
            begin = index + 1
    yield text[begin:]


class Word(msgspec.Struct, frozen=True):
    """A word without its quotes, its start in the line, and the quote still open at its end."""

    text: str
    start: int
    quote: str = ""


def scan(line: str) -> list[Word]:
    """The words of *line*; the last one may have an open quote, and is empty after a space."""
    words: list[Word] = []
    text, start, quote, inside = "", 0, "", False
    for index, letter in enumerate(line):
        if quote:
            if letter == quote:
                quote = ""
            else:
                text += letter
        elif letter in " \t":
            if inside:
                words.append(Word(text, start))
            text, inside = "", False
        else:
            if not inside:
                start, inside = index, True
            if letter in _QUOTES:
                quote = letter
            else:
                text += letter
    words.append(Word(text, start if inside else len(line), quote))
    return words


def split(line: str) -> list[str]:
    """The words of *line*. UsageError for an unclosed quote."""
    words = scan(line)
    if words[-1].quote:
        raise UsageError(f"the quote {words[-1].quote} is not closed")
    if not words[-1].text and words[-1].start == len(line):
        words.pop()
    return [word.text for word in words]


def quoted(text: str, *, closed: bool = True) -> str:
    """*text* as one word, quoted if needed; not *closed*: more text follows."""
    if text and not any(letter in " \t;\n\"'" for letter in text):
        return text
    if '"' not in text:
        return f'"{text}"' if closed else f'"{text}'
    if "'" not in text:
        return f"'{text}'" if closed else f"'{text}"
    return "'\"'".join(f'"{part}"' for part in text.split('"'))
