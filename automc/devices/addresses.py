"""Where a device far away is to be found, and the secret by which it and its workbench know each other."""

from __future__ import annotations

import os
from pathlib import Path

from automc.errors import ConfigError

PORT = 7340
TOKEN, TOKEN_FILE = "AUTOMC_DEVICE_TOKEN", "AUTOMC_DEVICE_TOKEN_FILE"
_SHORTEST = 16  # characters of a token


def find_token(file: Path | None = None) -> str | None:
    """Returns the secret that both sides share: from a file, else from the environment; None where there is none.

    Args:
        file: its file; by default what AUTOMC_DEVICE_TOKEN_FILE names, if AUTOMC_DEVICE_TOKEN is not set.

    Raises:
        ConfigError: the file cannot be read, or the token is too short or has odd characters.
    """
    token, where = os.environ.get(TOKEN), TOKEN
    if file is None and not token and os.environ.get(TOKEN_FILE):
        file = Path(os.environ[TOKEN_FILE])
    if file is not None:
        where = str(file)
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the device's token cannot be read from {file} ({type(error).__name__})") from None
    if not token and file is None:
        return None
    if not token or len(token) < _SHORTEST or not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(f"{where}: a device's token has at least {_SHORTEST} characters, ASCII without spaces")
    return token
