"""Listings of data sets on disk, surveys of their files, and their splits."""

from preprocessing.catalog.datasets.ave import list_ave
from preprocessing.catalog.datasets.ave_lists import AVE15_CLASSES, AVE_CLASSES
from preprocessing.catalog.datasets.copies import AcrossSplits
from preprocessing.catalog.datasets.listing import Listing
from preprocessing.catalog.datasets.survey import ClassRow, Divide, Survey, some, survey
from preprocessing.catalog.datasets.user_data import list_csv, list_folder
from preprocessing.catalog.datasets.vegas import VEGAS_CLASSES, list_vegas, vegas_splits

__all__ = [
    "AVE15_CLASSES",
    "AVE_CLASSES",
    "VEGAS_CLASSES",
    "AcrossSplits",
    "ClassRow",
    "Divide",
    "Listing",
    "Survey",
    "list_ave",
    "list_csv",
    "list_folder",
    "list_vegas",
    "some",
    "survey",
    "vegas_splits",
]
