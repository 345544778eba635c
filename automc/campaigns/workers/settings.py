"""Ray's own settings, which it reads when it is imported; what the user has set stays."""

from __future__ import annotations

import os

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what happens to workers is said by us
    # a driver whose head is gone is ended by Ray after so many seconds, with exit code 1
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
}

for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
