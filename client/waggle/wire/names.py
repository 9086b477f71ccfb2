"""The grammar of keys, namespaces and agent names (protocol 4).

Rules:

1. A key (also the name of a lock, and a channel) has 1 to 255 characters. A character is a code point. Nothing is
   normalised or folded: two keys are the same if their code points are.
2. A key has no control characters (Unicode category Cc), no white space at either end, and no lone surrogates (which
   UTF-8 cannot carry). All other characters are allowed, ``*`` and ``/`` included.
3. An agent name is a key of at most 100 characters that does not start with ``$``.
4. A namespace has 1 to 64 of the letters a to z and A to Z, digits, ``_``, ``.`` and ``-``. The hub's own namespaces
   start with ``$``.
"""

from __future__ import annotations

import re
from typing import Final

from waggle.wire.errors import BadRequest
from waggle.wire.limits import MAX_AGENT_CHARS, MAX_KEY_CHARS

__all__ = ["AGENT_REGEX", "check_agent", "check_key", "check_ns"]

_CHARACTER = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]"

AGENT_REGEX: Final = rf"(?![\s$]){_CHARACTER}{{1,{MAX_AGENT_CHARS}}}(?<!\s)"
"""The regular expression that a whole agent name matches, in the syntax of Python and JavaScript."""

_is_key: Final = re.compile(rf"(?!\s){_CHARACTER}{{1,{MAX_KEY_CHARS}}}(?<!\s)").fullmatch
_is_agent: Final = re.compile(AGENT_REGEX).fullmatch
_is_ns: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}").fullmatch
_is_hub_ns: Final = re.compile(r"\$?[a-zA-Z0-9_.-]{1,64}").fullmatch
_control: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_surrogate: Final = re.compile(r"[\ud800-\udfff]").search


def check_key(text: str, field: str = "key") -> None:
    """Raise BadRequest, naming ``field``, unless ``text`` can be a key, a lock name or a channel."""
    if _is_key(text) is None:
        raise BadRequest(_what_is_wrong(text, field, MAX_KEY_CHARS), field=field)


def check_agent(text: str, field: str = "agent") -> None:
    """Raise BadRequest, naming ``field``, unless ``text`` can be an agent name."""
    if _is_agent(text) is None:
        raise BadRequest(_what_is_wrong(text, field, MAX_AGENT_CHARS), field=field)


def check_ns(text: str, field: str = "ns", hub: bool = False) -> None:
    """Raise BadRequest, naming ``field``, unless ``text`` can be a namespace; with ``hub`` also one with $."""
    if (_is_hub_ns if hub else _is_ns)(text) is not None:
        return
    if not hub and _is_hub_ns(text) is not None:
        message = f"{field} starts with $, which is for the hub's own namespaces: choose another"
    else:
        message = f"{field} is not a namespace: use 1 to 64 of the letters a to z and A to Z, digits, and _ . -"
    raise BadRequest(message, field=field)


def _what_is_wrong(text: str, field: str, most: int) -> str:
    """Return the message for a name that was refused: the fault, and what to do."""
    if not text:
        return f"{field} is empty: give it 1 to {most} characters"
    if len(text) > most:
        return f"{field} has {len(text)} characters: shorten it to at most {most}"
    if control := _control(text):
        return f"{field} has the control character U+{ord(control[0]):04X} at {control.start()}: remove it"
    if half := _surrogate(text):
        return f"{field} has half a surrogate pair at {half.start()}: send valid Unicode"
    if text != text.strip():
        return f"{field} has white space at one of its ends: strip it"
    return f"{field} starts with $, which is for the hub's own names: choose another"
