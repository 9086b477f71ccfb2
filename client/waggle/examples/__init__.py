"""Sample agents, to read and to copy from.

Begin with `waggle.examples.crew`, from top to bottom: one researcher, three builders and a tester, each a process of
its own. What one of them finds, the next is told of by its subscription. None of them polls, and none knows where the
others run. See it work with ``waggle demo``, or start one role yourself, against a hub that runs:

    waggle serve
    python -m waggle.examples.crew researcher

Then one small file for each way to work together, which ``waggle demo NAME`` plays: `EXAMPLES`. Each agent there is a
short function; `waggle.examples.roles` makes a process of it.
"""

__all__ = ["EXAMPLES"]

EXAMPLES = ("chain", "fan", "gates", "shared", "files", "queue", "questions")
"""The modules beside the crew, in the order in which to read them."""
