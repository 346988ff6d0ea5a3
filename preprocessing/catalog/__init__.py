"""Lists of clips from folders, manifests and data sets, and their splits."""

from preprocessing.catalog.folders import FolderScan, scan_folder
from preprocessing.catalog.manifest import read_manifest, write_manifest
from preprocessing.catalog.splits import balanced_folds, stratified_split

__all__ = [
    "FolderScan",
    "balanced_folds",
    "read_manifest",
    "scan_folder",
    "stratified_split",
    "write_manifest",
]
