"""The rule of `search`: what may be searched for (protocol 4).

A text is words with white space between them. A word that ends in a star stands for all words that start like it; no
other character has a special meaning. A part without a letter or digit is ignored.

The machine does not search: the index of words is outside of it (`fulltext`), and its effect is `StartSearch`.
"""

from __future__ import annotations

import re

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached
from waggle.wire.patterns import compile_pattern
from waggle_hub.state.effects import StartSearch, Word
from waggle_hub.state.namespaces import read_ns
from waggle_hub.state.sessions import Session
from waggle_hub.state.transaction import Transaction

_SEPARATOR = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_MIN_PREFIX_CHARS = 2
"""Characters before a star: with only one, a word would stand for a large part of all words."""


def search(transaction: Transaction, session: Session, command: m.Search) -> None:
    """Start a search outside of the machine, which replies when it is done."""
    limits = transaction.state.limits
    ns = read_ns(command.ns, session)
    pattern = compile_pattern(command.pattern)
    if not 1 <= command.limit <= limits.page:
        raise BadRequest(f"limit must be 1 to {limits.page}: send more words to find fewer", field="limit")
    words = _parse_words(command.text, limits.text, limits.words)
    transaction.effects.append(StartSearch(session.id, command.id, ns, pattern, words, command.limit))


def _parse_words(text: str, max_chars: int, max_words: int) -> tuple[Word, ...]:
    if len(text) > max_chars:
        raise BadRequest(f"text has {len(text)} characters, the limit is {max_chars}", field="text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest("text holds a lone surrogate: send valid Unicode", field="text") from None
    words = dict.fromkeys(_parse_word(part) for part in _SEPARATOR.split(text) if any(map(str.isalnum, part)))
    if not words:
        raise BadRequest("text has no word: send letters or digits to search for", field="text")
    if len(words) > max_words:
        raise LimitReached(f"text has {len(words)} words, the limit is {max_words}: send fewer", limit=max_words)
    return tuple(words)


def _parse_word(part: str) -> Word:
    word = Word(part.rstrip("*"), part.endswith("*"))
    if word.open and len(word.text) < _MIN_PREFIX_CHARS:
        raise BadRequest(
            f"{part} stands for too many words: at least {_MIN_PREFIX_CHARS} characters must precede the star",
            field="text",
        )
    return word
