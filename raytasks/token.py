"""The token that Ray asks for, so that nobody else runs code through the ports it opens."""

import os
import secrets
from pathlib import Path

OWN_TOKEN = secrets.token_hex(16)
"""What the Rays of this process ask for, where the user has no token."""


def users_token() -> str:
    """That which opens the user's clusters, from where Ray looks for it; empty without one."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
