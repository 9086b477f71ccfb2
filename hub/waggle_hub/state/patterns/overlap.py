"""Overlap: whether some string matches both of two patterns.

Laws:

1. The answer is exact. Any string counts, also one that no key can be: longer than MAX_KEY, or with a newline in it.
2. The answer does not depend on the order of the two, nor on how equal patterns are written.
3. The cost is about one step for each character of the two patterns, whichever they are. Nothing is tried again.

Why so little is enough. A pattern is a row of segments of fixed length, with a star between each and the next
(``Pattern.segments``). A pattern with an empty class matches nothing. For all others there are three cases:

4. No star on either side: each pattern is one segment. They overlap if the segments have the same length and *meet* in
   every place, that is, have a character in common.
5. Stars on both sides: they overlap if the first segments meet in the places that both have, counted from the start,
   and the last segments meet in the places that both have, counted from the end. What stands between never matters. To
   see this, write down the longer of the first segments, the middle of one pattern, the middle of the other, and the
   longer of the last segments. This string matches both: the star after a pattern's own first segment takes what comes
   too early for it, and the star before its last segment takes what comes too late.
6. Stars on one side only: the other pattern is a row of places. The first and the last segment must meet the ends of
   the row, and those in the middle must meet some places between, in order and without sharing a place. As in matching,
   the leftmost position is enough for each segment. All positions of a segment are tried at once: they are the bits of
   an integer, each piece of the segment is one mask and one shift, and a star sets all bits from the lowest one on.

Case 6 could try one position after another. That is simpler, and up to 255 x 255 steps: 2 ms for one hostile pair, 2 s
for a lock that meets 1,000 such patterns, during which the hub would do nothing else. With masks it is 0.1 ms for a
pair.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import zip_longest

from waggle.wire.patterns import Class, Pattern, Piece

Row = Sequence[Piece]
"""A segment, place by place: each is a character or a class. Plain text is a row as it is."""


def overlap(a: Pattern, b: Pattern) -> bool:
    """Return whether some string matches both."""
    if a.exact is not None:
        return b.match(a.exact)
    if b.exact is not None:
        return a.match(b.exact)
    if not (a.prefix.startswith(b.prefix) or b.prefix.startswith(a.prefix)):
        return False
    if a.only_prefix and b.only_prefix:
        return True
    for pieces in a.segments + b.segments:
        if () in pieces:
            return False
    if len(a.segments) == 1:
        return _fits(b, a)
    if len(b.segments) == 1:
        return _fits(a, b)
    return _ends_meet(_row(a.segments[0]), _row(b.segments[0]), _row(a.segments[-1]), _row(b.segments[-1]))


def _fits(pattern: Pattern, other: Pattern) -> bool:
    """Return whether they overlap, given that ``other`` has no star (law 6; law 4 if ``pattern`` has none)."""
    places = _row(other.segments[0])
    first, *middle = map(_row, pattern.segments)
    if not middle:
        return len(first) == len(places) and _meet(first, places)
    last = middle.pop()
    start, end = len(first), len(places) - len(last)
    if start + sum(map(len, middle)) > end or not _ends_meet(first, places, last, places):
        return False
    return not middle or _stand_in(middle, places[start:end])


def _row(pieces: Sequence[Piece]) -> Row:
    """Return these pieces as a row of places."""
    if not pieces:
        return ""
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    return [place for piece in pieces for place in (piece if isinstance(piece, str) else (piece,))]


def _ends_meet(first: Row, other_first: Row, last: Row, other_last: Row) -> bool:
    """Return whether the first two rows meet, counted from the start, and the last two, counted from the end."""
    return _meet(first, other_first) and _meet(last[::-1], other_last[::-1])


def _meet(row: Row, other: Row) -> bool:
    """Return whether the rows meet in the places that both have, counted from the start."""
    if isinstance(row, str) and isinstance(other, str):
        return row.startswith(other) or other.startswith(row)
    return all(map(_have_in_common, row, other))


def _have_in_common(one: Piece, other: Piece) -> bool:
    """Return whether some character matches both pieces."""
    if isinstance(one, str):
        return one == other if isinstance(other, str) else _holds(other, one)
    if isinstance(other, str):
        return _holds(one, other)
    # The first character in both begins a range of one of them: so only the beginnings have to be tried.
    return any(_holds(other, low) for low in one[::2]) or any(_holds(one, low) for low in other[::2])


def _holds(members: Class, character: str) -> bool:
    # A class is the sorted list of points at which membership flips: an odd number of them lies at or below a member.
    return bisect_right(members, character) & 1 == 1


def _stand_in(rows: Sequence[Row], places: Row) -> bool:
    """Return whether the rows meet some of the places, one row after the other, with any gaps."""
    masks = _PlaceMasks(places)
    # The bits are the places at which the next piece may stand: at first all of them (-1 has every bit set).
    reached = -1
    for row in rows:
        for piece in row:
            reached = (reached & masks[piece]) << 1
        if not reached:
            return False
        # The leftmost end is enough: after it comes a star, so every place from there on is reached.
        reached = -(reached & -reached)
    return True


class _PlaceMasks(dict[Piece, int]):
    """For each piece, the places of a row that have a character in common with it, as the bits of an integer.

    Between two points at which membership in any of the places flips, all characters have the same mask. So there are
    only as many masks as such points, at most two for each character of a pattern. They are the leaves of a segment
    tree: each node has the bits of the two nodes below it, so a range of any width costs a few lookups.
    """

    __slots__ = ("_points", "_tree")

    def __init__(self, row: Row) -> None:
        super().__init__()
        flips: dict[str, int] = {}
        mask = 0
        for at, one in enumerate(row):
            if isinstance(one, str):
                one = (one, chr(ord(one) + 1)) if one < "\U0010ffff" else (one,)
            for point in one:
                flips[point] = flips.get(point, 0) ^ 1 << at
        self._points = sorted(flips)
        leaves = [mask, *(mask := mask ^ flips[point] for point in self._points)]
        self._tree = [0] * len(leaves) + leaves
        for node in range(len(leaves) - 1, 0, -1):
            self._tree[node] = self._tree[2 * node] | self._tree[2 * node + 1]

    def __missing__(self, piece: Piece) -> int:
        """Compute the bits for a piece and remember them."""
        points = self._points
        bits = 0
        if isinstance(piece, str):
            bits = self._tree[len(points) + 1 + bisect_right(points, piece)]
        else:
            for low, after in zip_longest(piece[::2], piece[1::2]):
                last = len(points) if after is None else bisect_left(points, after)
                bits |= self._between(bisect_right(points, low), last)
        self[piece] = bits
        return bits

    def _between(self, first: int, last: int) -> int:
        """Return the bits of all leaves from ``first`` to ``last``."""
        low = first + len(self._points) + 1
        high = last + len(self._points) + 2
        bits = 0
        while low < high:
            if low & 1:
                bits |= self._tree[low]
                low += 1
            if high & 1:
                high -= 1
                bits |= self._tree[high]
            low >>= 1
            high >>= 1
        return bits
