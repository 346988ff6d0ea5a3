"""Extraction and training, spread over the processes and machines of a Ray cluster."""
