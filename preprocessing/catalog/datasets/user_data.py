"""Listings of the user's own data: class folders, with or without split folders, or a CSV file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preprocessing.catalog.datasets.listing import Listing
from preprocessing.catalog.folders import FolderScan, is_hidden, scan_folder
from preprocessing.catalog.manifest import read_manifest
from preprocessing.clips import SPLITS, Clip, Split
from preprocessing.errors import NotFoundError, SetupError


def list_folder(root: Path, *, follow_links: bool = False) -> Listing:
    """Clips of ``root/CLASS/clip.mp4``, or of ``root/train/CLASS/clip.mp4``, ``val`` and ``test``.

    Raises:
        AvcmrError: as :func:`scan_folder`; or split folders and class folders are mixed.
    """
    names = _folders(root)
    splits: list[Split] = [split for split in SPLITS if split in names]
    others = sorted(names - set(splits))
    if splits and others:
        raise SetupError(
            f"{root}: folders of splits ({', '.join(splits)}) beside others ({others[0]}"
            f"{' and so on' if len(others) > 1 else ''}); use root/CLASS or root/SPLIT/CLASS"
        )
    scans: dict[Split, FolderScan] = {
        split: scan_folder(root / split if split else root, follow_links=follow_links)
        for split in splits or [""]
    }
    clips = [
        replace(clip, id=f"{split}/{clip.id}", split=split) if split else clip
        for split, scan in scans.items()
        for clip in scan.clips
    ]
    whole = FolderScan(
        clips=tuple(clips),
        passed_over=sum((Counter(scan.passed_over) for scan in scans.values()), Counter()),
        links=sum(scan.links for scan in scans.values()),
    )
    return replace(_listing(clips), notes=tuple(whole.notes()))


def list_csv(path: Path) -> Listing:
    """Clips of a manifest; those whose file does not exist are missing.

    Raises:
        AvcmrError: as :func:`read_manifest`; some rows have a split and others do not, or no
            file exists.
    """
    clips = read_manifest(path)
    remote = [clip for clip in clips if not isinstance(clip.path, Path)]
    if remote:
        raise SetupError(
            f"{path}: lists URLs, such as {remote[0].path}; the files of a data set are examined "
            "on disk, so fetch them first, or give the manifest to avcmr extract"
        )
    unsplit = sum(not clip.split for clip in clips)
    if 0 < unsplit < len(clips):
        raise SetupError(
            f"{path}: {unsplit:,} of {len(clips):,} rows have no split; give every row one, or none"
        )
    listing = _listing(clips)
    if not listing.clips:
        raise SetupError(
            f"{path}: none of the {len(clips):,} files exists, such as {clips[0].path}; "
            "paths are relative to the CSV file"
        )
    return listing


def _folders(root: Path) -> set[str]:
    if not root.is_dir():
        raise NotFoundError(f"{root}: no such folder of videos; check the path")
    return {path.name for path in root.iterdir() if path.is_dir() and not is_hidden(path, root)}


def _listing(clips: Sequence[Clip]) -> Listing:
    return Listing(
        clips=tuple(clip for clip in clips if clip.path.is_file()),
        missing=tuple(clip for clip in clips if not clip.path.is_file()),
        classes=tuple(sorted({clip.label for clip in clips})),
    )
