r"""The grammar of patterns, and their matching (protocol 5).

Laws:

1. ``*`` is any run of characters, also none; ``**`` is the same. ``?`` is one character. Both match every character:
   ``/``, ``:``, a newline, a leading dot. The whole key must match, and case counts.
2. ``[abc]``, ``[a-z]``, ``[!x]`` are one character in, or not in, a class. ``!`` negates only as the first character of
   the class, and ``^`` never does. ``]`` always closes the class, so ``[]`` and ``[!]`` are empty, which is an error,
   also where more follows: write ``[\]a]`` for ``[]a]``. ``-`` between two members makes a range, and is itself
   elsewhere: ``[-a]``, ``[a-]``, ``[a-c-e]`` (a to c, -, e). As in POSIX, ``[+--]`` runs from + to -. There are no
   named classes: ``[[:alpha:]]`` is one of ``[:alph`` and then ``]``.
3. ``\`` takes the next character as itself, in classes too (``[a\-z]`` has three members). Outside of a class, the
   characters ``]``, ``!``, ``-``, ``^``, ``{`` and ``}`` are themselves.
4. A pattern has 1 to 255 characters. It may contain characters that no key has, such as a newline; then it matches no
   key there.
5. Patterns are equal if they have the same canonical form: ``a**`` and ``a*``, ``*?`` and ``?*``, ``[a]`` and ``\a``
   and ``a``, ``[abc]`` and ``[a-c]``. ``text`` is the pattern as it was written.
6. Matching takes time linear in the length of the key, for every pattern.

How law 6 is kept: the stars cut a pattern into *segments* of fixed length. The first segment must match at the start of
the key, the last at its end, and those between in order. For each of these it is enough to take the leftmost match
after the segment before, because an earlier match leaves more room for the rest. So nothing is tried twice. A segment
of plain text is found by ``str.find``, every other by the Shift-And algorithm (Baeza-Yates and Gonnet 1992): bit n of
an integer says whether the first n + 1 characters of the segment match up to the present character of the key. So each
character of the key costs one shift and one mask, whatever the pattern is.

Why there is no regular expression: one with an atomic group for each segment, as `fnmatch.translate` writes it, gives
the same answers and is faster for most patterns. But ``re`` takes 100 to 200 ms to compile a hostile pattern with large
classes, in which the hub would do nothing else, against 0.2 ms here. It also takes four to twenty times as long to find
plain text in a long key, as ``*foo*bar*`` does (4 us against 0.6 us in 250 characters).
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from waggle.wire.errors import BadRequest
from waggle.wire.limits import MAX_KEY_CHARS

__all__ = ["ANY", "Class", "Pattern", "Piece", "compile_pattern", "quoted"]

MAX_COMPILED: Final = 1024
"""Compiled patterns kept for the next use: about 1 KB each, 50 KB at the very most."""

Class = tuple[str, ...]
"""A set of characters, as the code points, in order, at which membership changes: a character is in the set if the
number of these points at or below it is odd. ``[a-z]`` is ``("a", "{")``, the empty set is ``()``. The set of all
characters is always the object ANY."""

Piece = str | Class
"""A part of a segment: plain text, or one character of a class."""

ANY: Final[Class] = ("\0",)
_END: Final = sys.maxunicode + 1
_plain: Final = re.compile(r"[^*?\[\\]+").match
_surrogate: Final = re.compile(r"[\ud800-\udfff]").search


def _parse(text: str) -> list[list[Piece]]:
    """Return the segments between the stars of ``text``, in canonical form: one more than there are runs of stars.

    A ``?`` after a star moves before it (law 5). There it is part of a segment that is matched earlier.
    """
    segments: list[list[Piece]] = [[]]
    at = 0
    while at < len(text):
        piece, at = _piece(text, at)
        last = segments[-1]
        after_star = len(segments) > 1 and not last
        if piece is None:
            if not after_star:
                segments.append([])
        elif piece is ANY and after_star:
            segments[-2].append(piece)
        elif last and isinstance(piece, str) and isinstance(last[-1], str):
            last[-1] += piece
        else:
            last.append(piece)
    return segments


def _piece(text: str, at: int) -> tuple[Piece | None, int]:
    """Return the piece that begins at ``at`` (None for a star), and the index of the next one."""
    match text[at]:
        case "*":
            return None, at + 1
        case "?":
            return ANY, at + 1
        case "[":
            return _class(text, at)
        case "\\":
            if at + 1 == len(text):
                raise BadRequest(r"the pattern ends in a single \: write \\ for a backslash, or remove it")
            return text[at + 1], at + 2
        case _:
            plain = _plain(text, at)
            assert plain is not None
            return plain[0], plain.end()


def _class(text: str, opening: int) -> tuple[Piece, int]:
    """Return the class whose bracket is at ``opening``, and the index after it; plain text if it has one member."""
    negated = text.startswith("!", opening + 1)
    at = opening + 1 + negated
    ranges: list[tuple[int, int]] = []
    while not text.startswith("]", at):
        low, at = _member(text, at, opening)
        high = low
        if text.startswith("-", at) and not text.startswith("]", at + 1):
            high, at = _member(text, at + 1, opening)
        if high < low:
            raise BadRequest(
                f"the range {chr(low)}-{chr(high)} runs backwards: swap its ends, or write \\- for a hyphen"
            )
        ranges.append((low, high + 1))
    if not ranges:
        raise BadRequest(rf"the class at {opening} is empty: name its characters, or write \] for a bracket in it")
    return _canonical(ranges, negated), at + 1


def _member(text: str, at: int, opening: int) -> tuple[int, int]:
    """Return the code point of the class member at ``at``, and the index after it."""
    at += text.startswith("\\", at)
    if at >= len(text):
        raise BadRequest(rf"the class at {opening} is not closed: add ], or write \[ for a bracket")
    return ord(text[at]), at + 1


def _canonical(ranges: list[tuple[int, int]], negated: bool) -> Piece:
    """Return the class of all ``ranges`` (first, last + 1), or of all but them; plain text if that is one character."""
    flips: list[int] = []
    for low, high in sorted(ranges):
        if flips and low <= flips[-1]:
            flips[-1] = max(flips[-1], high)
        else:
            flips += (low, high)
    if negated:
        flips = flips[1:] if flips[0] == 0 else [0, *flips]
    if flips and flips[-1] == _END:
        flips.pop()
    if flips == [0]:
        return ANY
    if flips == [_END - 1] or (len(flips) == 2 and flips[1] - flips[0] == 1):
        return chr(flips[0])
    return tuple(map(chr, flips))


# --- matching ----------------------------------------------------------------------------------------------------


class _Segment:
    """The pieces between two stars, of fixed ``length``.

    ``plain`` is their text if that is plain, or plain with only ``?`` after it; else None.
    """

    __slots__ = ("_pad", "_shift_and", "length", "pieces", "plain")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        length = pad = 0
        plain: str | None = ""
        for piece in pieces:
            if piece is ANY:
                length += 1
                pad += 1
            elif isinstance(piece, str):
                plain = piece if length == 0 else None
                length += len(piece)
            else:
                plain = None
                length += 1
        self.pieces = tuple(pieces)
        self.length = length
        self.plain = plain
        self._pad = pad
        self._shift_and: Callable[[str, int, int], int] | None = None

    def stands_at(self, key: str, at: int) -> bool:
        """Return whether the segment matches at ``at``. The key must be long enough."""
        if self.plain is not None:
            return key.startswith(self.plain, at)
        for piece in self.pieces:
            if isinstance(piece, str):
                if not key.startswith(piece, at):
                    return False
                at += len(piece)
            else:
                if not bisect_right(piece, key[at]) & 1:
                    return False
                at += 1
        return True

    def find(self, key: str, start: int, end: int) -> int:
        """Return the end of the leftmost match within ``key[start:end]``, or -1."""
        if self.plain is not None:
            at = key.find(self.plain, start, end - self._pad)
            return at if at < 0 else at + self.length
        if self._shift_and is None:
            self._shift_and = _shift_and(self.pieces, self.length)
        return self._shift_and(key, start, end)


def _shift_and(pieces: Sequence[Piece], length: int) -> Callable[[str, int, int], int]:
    """Return a function that finds the leftmost match of ``pieces``, as ``_Segment.find`` does.

    Characters between two code points at which any membership changes have the same mask. So there are only as many
    masks as such points: at most two for each character of the pattern.
    """
    flips: dict[str, int] = {}
    bit = 1
    for piece in pieces:
        for members in map(_only, piece) if isinstance(piece, str) else (piece,):
            for point in members:
                flips[point] = flips.get(point, 0) ^ bit
            bit <<= 1
    points = sorted(flips)
    masks = [0]
    for point in points:
        masks.append(masks[-1] ^ flips[point])
    whole = 1 << (length - 1)

    def find(key: str, start: int, end: int) -> int:
        begun = 0
        for at in range(start, end):  # a slice would be a copy of the rest of the key for each segment
            begun = (begun << 1 | 1) & masks[bisect_right(points, key[at])]
            if begun >= whole:
                return at + 1
        return -1

    return find


def _only(character: str) -> Class:
    """Return the class of one character."""
    after = ord(character) + 1
    return (character,) if after == _END else (character, chr(after))


class Pattern:
    """A pattern, ready to match. Patterns are equal if they have the same canonical form (law 5)."""

    __slots__ = (
        "_first", "_hash", "_last", "_least", "_middle", "exact", "only_prefix", "prefix", "runs", "segments", "text",
    )  # fmt: skip

    text: str
    """The pattern as it was written."""
    exact: str | None
    """The only key that the pattern matches, if it has no wildcard."""
    prefix: str
    """The text that every matching key begins with."""
    only_prefix: bool
    """Whether the pattern matches every key with that prefix."""
    runs: tuple[str, ...]
    """The plain texts after the prefix: every matching key has these, in this order, not overlapping."""
    segments: tuple[tuple[Piece, ...], ...]
    """The canonical form: the pieces before, between and after the stars."""

    def __init__(self, text: str) -> None:
        """Parse ``text``. Raises BadRequest, without a field, if it is not a pattern."""
        if not text:
            raise BadRequest("the pattern is empty: write * for every key")
        if len(text) > MAX_KEY_CHARS:
            raise BadRequest(f"the pattern has {len(text)} characters: shorten it to at most {MAX_KEY_CHARS}")
        if half := _surrogate(text):
            raise BadRequest(f"the pattern has half a surrogate pair at {half.start()}: send valid Unicode")
        segments = [_Segment(pieces) for pieces in _parse(text)]
        self.text = text
        self._first, *self._middle = segments
        self._last = self._middle.pop() if self._middle else None
        self._least = sum(segment.length for segment in segments)
        self.segments = tuple(segment.pieces for segment in segments)
        self._hash = hash(self.segments)
        runs = [piece for segment in segments for piece in segment.pieces if isinstance(piece, str)]
        opening = self._first.pieces[:1]
        self.prefix = runs.pop(0) if opening and isinstance(opening[0], str) else ""
        self.runs = tuple(runs)
        plain = len(self.prefix) == self._least
        self.exact = self.prefix if plain and self._last is None else None
        self.only_prefix = plain and self._last is not None

    def match(self, key: str) -> bool:
        """Return whether the pattern matches the whole of ``key``."""
        if self.exact is not None:
            return key == self.exact
        if len(key) < self._least or not self._first.stands_at(key, 0):
            return False
        if self._last is None:
            return len(key) == self._least
        end = len(key) - self._last.length
        if not self._last.stands_at(key, end):
            return False
        at = self._first.length
        for segment in self._middle:
            at = segment.find(key, at, end)
            if at < 0:
                return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pattern):
            return NotImplemented
        return self is other or (self._hash == other._hash and self.segments == other.segments)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


_compiled = lru_cache(maxsize=MAX_COMPILED)(Pattern)


def compile_pattern(text: str, field: str = "pattern") -> Pattern:
    """Return the Pattern of ``text``. Raises BadRequest, naming ``field``, if it is not a pattern."""
    try:
        return _compiled(text)
    except BadRequest as error:
        raise BadRequest(error.message, field=field) from None


def quoted(text: str) -> str:
    """Return the pattern that matches this text and nothing else."""
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in text)
