"""Extraction and training, spread over the processes and machines of a Ray cluster."""

__all__: list[str] = []  # its modules are imported by name: Ray takes seconds
