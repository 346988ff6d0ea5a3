"""The token that Ray asks for, so that nobody else runs code through the ports it opens."""

import os
from pathlib import Path


def users_token() -> str:
    """That which opens the user's clusters, from where Ray looks for it; empty without one."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
