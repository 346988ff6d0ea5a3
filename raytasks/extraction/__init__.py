"""Extraction on Ray: a driver feeds a supervised pool of actors that decode and embed clips."""

from raytasks.extraction.decoding import Decoding
from raytasks.extraction.driver import Extraction
from raytasks.extraction.layout import Layout
from raytasks.extraction.summary import Summary

__all__ = ["Decoding", "Extraction", "Layout", "Summary"]
