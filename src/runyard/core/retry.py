"""When a failed attempt is tried again."""

from __future__ import annotations

from runyard.core.model import Retries, TaskRun

LOSS_BUDGET = 3
"""How many attempts of one task may be lost with their worker before the task itself is given up."""


def may_retry(policy: Retries, failures: int, *, timed_out: bool) -> bool:
    """Whether an attempt after `failures` earlier failures and this one may follow."""
    if timed_out and not policy.on_timeout:
        return False
    return policy.max < 0 or failures < policy.max


def due_at(policy: Retries, failed: TaskRun, now: int) -> int:
    """The millisecond when the next attempt may start."""
    try:
        delay = min(policy.delay * policy.backoff**failed.failures, policy.max_delay)
    except OverflowError:
        delay = policy.max_delay if policy.delay else 0.0
    base = failed.started_at if policy.measure == "start" and failed.started_at else now
    return max(now, base + round(delay * 1000))
