"""The feature store: one HDF5 file that survives kill -9, resumes, and opens lazily.

``features.h5`` is only ever replaced as a whole, by rename. While work goes on, finished clips
collect in small files of the same layout under ``features.h5.parts/``; at the end these merge
into ``features.h5``.
"""

from preprocessing.store.blocks import Block, Rows
from preprocessing.store.combine import merge_stores, subset_store
from preprocessing.store.create import write_store
from preprocessing.store.plan import Cause, Plan
from preprocessing.store.reader import FeatureStore
from preprocessing.store.records import Failure, Provenance, Record
from preprocessing.store.storefile import NotAStoreError
from preprocessing.store.validate import Finding, validate_store
from preprocessing.store.writer import FeatureWriter

__all__ = [
    "Block",
    "Cause",
    "Failure",
    "FeatureStore",
    "FeatureWriter",
    "Finding",
    "NotAStoreError",
    "Plan",
    "Provenance",
    "Record",
    "Rows",
    "merge_stores",
    "subset_store",
    "validate_store",
    "write_store",
]
