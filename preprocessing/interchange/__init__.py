"""Features in published layouts: two of HDF5, and folders of NumPy arrays.

``split``: ``audio_SPLIT``, ``visual_SPLIT`` and ``lab_SPLIT`` for train, test and perhaps val;
``flat``: ``audio_feat``, ``visual_feat``, ``Label_ID`` and ``Train_test`` or ``Split`` (1 is train,
0 test); ``numpy``: ``NAME_vggish.npy`` beside ``NAME_KEY.npy``, as the project video_features
writes them. ``docs/features.md`` describes each.
"""

from collections.abc import Sequence
from pathlib import Path

from preprocessing.clips import Clip
from preprocessing.errors import NotFoundError, SetupError, UsageError
from preprocessing.interchange.export import export, import_features
from preprocessing.interchange.features import Layout, PublishedFeatures
from preprocessing.interchange.hdf5 import hdf5_layout, read_hdf5
from preprocessing.interchange.numpy_folder import has_arrays, read_folder

__all__ = [
    "Layout",
    "PublishedFeatures",
    "export",
    "import_features",
    "layout_of",
    "read_published",
]


def layout_of(path: Path) -> Layout | None:
    """How a file or folder is laid out; None where it is in none of the published layouts."""
    if path.is_dir():
        return "numpy" if has_arrays(path) else None
    return hdf5_layout(path)


def read_published(
    path: Path, *, manifest: Sequence[Clip] | None = None, visual_key: str | None = None
) -> PublishedFeatures:
    """Read a file or folder in any of the published layouts.

    Args:
        path: the file or folder.
        manifest: for ``numpy``: id, label and split of each clip, found by the stem of its path.
            Without it the folder that holds a clip's arrays is its label.
        visual_key: for ``numpy``: the KEY of the visual arrays, where there are several.

    Raises:
        AvcmrError: it is in none of the layouts, incomplete, or contradicts itself.
    """
    if not path.exists():
        raise NotFoundError(
            f"{path}: does not exist; give a file of features, or a folder of arrays"
        )
    layout = layout_of(path)
    if not path.is_dir() and (manifest is not None or visual_key is not None):
        raise UsageError(
            f"{path}: has labels and splits of its own; "
            "a manifest or a visual key is for folders of NumPy arrays, leave it out"
        )
    if layout is None:
        raise SetupError(
            f"{path}: neither HDF5 with audio_train, visual_train, lab_train, … or with "
            "audio_feat, visual_feat, Label_ID, Train_test, nor a folder with NAME_vggish.npy "
            "in it; docs/features.md describes the layouts"
        )
    if layout == "numpy":
        return read_folder(path, manifest, visual_key)
    return read_hdf5(path, layout)
