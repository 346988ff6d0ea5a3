"""Pretrained weights: what is published, where it is found, and how it is downloaded."""

from preprocessing.networks.weights.download import Report, answers, download_urls
from preprocessing.networks.weights.search import Weights, cache_directory, find, resolve, to_folder
from preprocessing.networks.weights.sources import SOURCES, PublishedFile, WeightsName, sha256

__all__ = [
    "SOURCES",
    "PublishedFile",
    "Report",
    "Weights",
    "WeightsName",
    "answers",
    "cache_directory",
    "download_urls",
    "find",
    "resolve",
    "sha256",
    "to_folder",
]
