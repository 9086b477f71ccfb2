"""How random walks run: how many there are, how they are shared out, and how often everything is compared.

Each run takes other walks. Hypothesis prints a failing one, and a line `@reproduce_failure(...)`: put it above the
class of the state machine, and the test takes that walk alone. With WAGGLE_CHECK_EVERY=1 it is compared after each
step, which shows the first one that went wrong.

WAGGLE_WALKS is the number of walks of each state machine, for a long run.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

WALKS = os.environ.get("WAGGLE_WALKS")
CHECK_EVERY = int(os.environ.get("WAGGLE_CHECK_EVERY", "8"))
"""Steps from one comparison to the next: a comparison looks at everything, and costs more than the steps."""
PARTS = range(4)
"""Each state machine is as many tests, so that the processes of pytest-xdist can share them."""


class CheckedMachine(RuleBasedStateMachine):
    """A state machine that compares everything now and then, and at the end."""

    steps = 0

    def check(self) -> None:
        """Compare everything with the model."""
        raise NotImplementedError

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        self.steps += 1
        if self.steps % CHECK_EVERY == 0:
            self.check()

    def teardown(self) -> None:
        if self.steps % CHECK_EVERY:
            self.check()


def take_walks(machine: type[RuleBasedStateMachine], walks: int, steps: int) -> None:
    """Take one part of the walks: as many as WAGGLE_WALKS says, or `walks` in all."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(1, int(WALKS or walks) // len(PARTS)),
            stateful_step_count=steps,
            deadline=None,
            derandomize=False,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
