"""The rule of the command search: what may be looked for (protocol 4).

A text is words with white space between them. Nothing in it means anything but the words themselves, save one sign: a
word that ends in a star stands for all that begin like it. What has neither letters nor digits is no word.

Where the words are is not for the machine to know: an index beside it does (`search`).
"""

from __future__ import annotations

import re

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached
from waggle.wire.names import compile_pattern
from waggle_hub.state.effects import StartSearch, Word
from waggle_hub.state.namespaces import read_ns
from waggle_hub.state.sessions import Session
from waggle_hub.state.transaction import Transaction

_BETWEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_SHORTEST = 2
"""Characters of an open word: one alone would stand for a large part of everything."""


def search(transaction: Transaction, session: Session, command: m.Search) -> None:
    """Answered in its own time, by whoever has the index."""
    limits = transaction.state.limits
    ns = read_ns(command.ns, session)
    pattern = compile_pattern(command.pattern)
    if not 1 <= command.limit <= limits.page:
        raise BadRequest(f"limit is 1 to {limits.page}: say more words to find fewer", field="limit")
    words = _words(command.text, limits.text, limits.words)
    transaction.effects.append(StartSearch(session.id, command.id, ns, pattern, words, command.limit))


def _words(text: str, longest: int, most: int) -> tuple[Word, ...]:
    if len(text) > longest:
        raise BadRequest(f"text has {len(text)} characters, the limit is {longest}", field="text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest("text holds a lone surrogate: send valid Unicode", field="text") from None
    found = dict.fromkeys(_word(part) for part in _BETWEEN.split(text) if any(map(str.isalnum, part)))
    if not found:
        raise BadRequest("text has no word in it: say letters or digits to look for", field="text")
    if len(found) > most:
        raise LimitReached(f"text has {len(found)} words, the limit is {most}: say fewer", limit=most)
    return tuple(found)


def _word(part: str) -> Word:
    word = Word(part.rstrip("*"), part.endswith("*"))
    if word.open and len(word.text) < _SHORTEST:
        raise BadRequest(
            f"{part} stands for too much: say at least {_SHORTEST} characters before the star", field="text"
        )
    return word
