"""What the process logs, without secrets."""

from __future__ import annotations

import logging
import re

_SECRETS = (
    (re.compile(r"automc_session=[^;\s\"']+"), "automc_session=***"),
    (re.compile(r"automc_[A-Za-z0-9_-]{40,}"), "automc_***"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s\"',]+"), r"\1***"),
    (re.compile(r"(://[^/\s:@\"']*):[^@\s\"']+@"), r"\1:***@"),
    (re.compile(r"(?i)\b((?:ssl)?password|token)=[^&\s;\"']+"), r"\1=***"),
)


class WithoutSecrets(logging.Formatter):
    """Leaves tokens, cookies and passwords out of lines and of tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns a record as text."""
        text = super().format(record)
        for secret, shown in _SECRETS:
            text = secret.sub(shown, text)
        return text


def log_to_stderr() -> None:
    """Makes warnings and errors of this process go to standard error, without secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(WithoutSecrets("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
