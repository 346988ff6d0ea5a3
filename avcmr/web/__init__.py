"""A run in the browser: search by sound, picture or clip; a map of the collection; the report."""

from avcmr.web.app import create_app

__all__ = ["create_app"]
