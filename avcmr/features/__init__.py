"""Feature files loaded as paired features in three splits, by clip, second or event."""

from avcmr.features.dataset import Dataset, PairedFeatures, load_dataset, open_features
from avcmr.features.units import Units, units_of

__all__ = ["Dataset", "PairedFeatures", "Units", "load_dataset", "open_features", "units_of"]
