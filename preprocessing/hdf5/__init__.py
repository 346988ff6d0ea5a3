"""HDF5 files of unknown origin, opened safely; every HDF5 file is opened here.

A damaged file can make the HDF5 library loop without end or crash, and a prepared one can name
other files whose content is then read in its place. So another process reads a file's structure
first (:mod:`preprocessing.hdf5.structure`), with a limit to its time and memory.
"""

from preprocessing.hdf5.opening import DamagedError, hdf5_errors, open_hdf5
from preprocessing.hdf5.texts import read_texts, text_array

__all__ = ["DamagedError", "hdf5_errors", "open_hdf5", "read_texts", "text_array"]
