"""`dbutils.secrets`, from the task's environment: RUNYARD_SECRET_SCOPE_KEY.

A task sees nothing of the server's own environment, so a secret is what the task's `environment` gives it.
"""

from __future__ import annotations

import os
import re

_PREFIX = "RUNYARD_SECRET_"


class Secrets:
    """`dbutils.secrets`."""

    def get(self, scope: str, key: str) -> str:
        """The secret; raises ValueError that names the variable that would hold it."""
        name = _PREFIX + _word(scope) + "_" + _word(key)
        if name not in os.environ:
            raise ValueError(
                f"Secret does not exist with scope: {scope} and key: {key}. Here a secret is an environment variable "
                f"of the task: give the task {name}."
            )
        return os.environ[name]

    def getBytes(self, scope: str, key: str) -> bytes:
        """The secret as UTF-8."""
        return self.get(scope, key).encode()


def _word(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", text.upper())
