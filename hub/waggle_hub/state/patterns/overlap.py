"""Whether some string could match both of two patterns.

Laws:

1. The answer is exact. It counts every string, also one that no key can be: longer than a key, or with a newline in it.
2. It is the same both ways round, and the same for patterns that are equal.
3. It costs about one step for each character of the two patterns, whichever they are; nothing is tried again.

Why so little is enough. A pattern is a row of segments of fixed length, with a star between each and the next
(``Pattern.segments``). A class that is empty matches nothing, and no more does a pattern that holds one. Other than
that:

4. Without a star on either side, the two are one segment each. They overlap if these are of one length, and *meet*
   in every place: have a character in common.
5. With stars on both sides, they overlap if the first segments meet in the places that both have, counted from the
   start, and the last ones counted from the end. What stands between never matters. Write down the longer of the
   first segments, the middle of the one pattern, the middle of the other, and the longer of the last segments: the
   star after a pattern's own first segment takes in whatever of this comes too soon for it, and the star before its
   last one whatever comes too late.
6. With stars on one side only, the other is a row of places. The first and the last segment must meet its ends, and
   those in the middle some places between, in order and apart. As in matching, the leftmost will do for each. All the
   places to which one could stand are tried at once: they are the bits of an integer, each piece of the segment is
   one mask and one shift, and a star sets all bits from the lowest one on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import zip_longest

from waggle.wire.names import Class, Pattern, Piece

Row = Sequence[Piece]
"""A segment, place by place: one character each, or a class. Plain text is a row as it stands."""


def overlap(a: Pattern, b: Pattern) -> bool:
    """Whether some string could match both."""
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
    """Whether they overlap, given that ``other`` has no star (law 6; law 4 if ``pattern`` has none)."""
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
    """The row that these pieces are."""
    if not pieces:
        return ""
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    return [one for piece in pieces for one in (piece if isinstance(piece, str) else (piece,))]


def _ends_meet(first: Row, other_first: Row, last: Row, other_last: Row) -> bool:
    """Whether the first two meet in the places that both have, from the start, and the last two from the end."""
    return _meet(first, other_first) and _meet(last[::-1], other_last[::-1])


def _meet(row: Row, other: Row) -> bool:
    """Whether the two meet in the places that both have, from the start."""
    if isinstance(row, str) and isinstance(other, str):
        return row.startswith(other) or other.startswith(row)
    return all(map(_have_in_common, row, other))


def _have_in_common(one: Piece, other: Piece) -> bool:
    """Whether there is a character that both could be.

    If so, then also one at which a range of either begins: the first of those in both.
    """
    if isinstance(one, str):
        return one == other if isinstance(other, str) else _holds(other, one)
    if isinstance(other, str):
        return _holds(one, other)
    return any(_holds(other, low) for low in one[::2]) or any(_holds(one, low) for low in other[::2])


def _holds(members: Class, character: str) -> bool:
    return bisect_right(members, character) & 1 == 1


def _stand_in(rows: Sequence[Row], places: Row) -> bool:
    """Whether the rows meet some of the places, one after the other, with any gaps."""
    takers = _Takers(places)
    reached = -1  # the places at which what comes next may stand: at first any
    for row in rows:
        for one in row:
            reached = (reached & takers[one]) << 1
        if not reached:
            return False
        reached = -(reached & -reached)
    return True


class _Takers(dict[Piece, int]):
    """For a character or a class, the places of a row that have a character in common with it, as bits.

    Between two points at which membership in any of the places flips, all characters have the same mask. So there are
    only as many masks as such points, at most two for each character of a pattern. They are the leaves of a tree in
    which each node has the bits of the two below it, so that a range of any width costs a few lookups.
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

    def __missing__(self, one: Piece) -> int:
        """The bits for ``one``, which are kept."""
        points = self._points
        bits = 0
        if isinstance(one, str):
            bits = self._tree[len(points) + 1 + bisect_right(points, one)]
        else:
            for low, after in zip_longest(one[::2], one[1::2]):
                last = len(points) if after is None else bisect_left(points, after)
                bits |= self._between(bisect_right(points, low), last)
        self[one] = bits
        return bits

    def _between(self, first: int, last: int) -> int:
        """The bits of all leaves from ``first`` to ``last``."""
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
