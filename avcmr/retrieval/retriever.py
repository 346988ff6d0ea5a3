"""A trained run in use: what sounds like this picture, and what looks like this sound?"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avcmr.modality import Find
from avcmr.model.network import TwoBranchNetwork
from avcmr.retrieval.collection import Collection
from avcmr.retrieval.index import load_index
from avcmr.retrieval.query import Attempt, QueryExtractor
from avcmr.retrieval.top_k import top_k
from avcmr.training.run_folder import RunFolder
from avcmr.training.trained import trained_network
from preprocessing.errors import NotFoundError, SetupError, UsageError
from preprocessing.media.outcome import try_file
from preprocessing.media.sampling import MAX_SECONDS
from preprocessing.remote import MediaPath


@dataclass(frozen=True, slots=True)
class Hit:
    """One clip that was found.

    Attributes:
        rank: 1 is the best.
        id: of the clip.
        score: inner product with the query: the chance that both are of one class, or where the
            run has no class posteriors, their cosine.
        label: name of its class.
        split: train, val, test or empty.
        path: its media file, which may be gone; ``Path()`` where none is known.
        start: second of the file at which the clip begins; None is its beginning.
        end: at which it ends; None is the file's end.
    """

    rank: int
    id: str
    score: float
    label: str
    split: str
    path: MediaPath
    start: float | None
    end: float | None


class Retriever:
    """The clips of a run, and what is needed to find them. Several threads may use it at once.

    Attributes:
        collection: the clips that can be found.
        warnings: what a reader of any result must know, such as untrained networks.
    """

    def __init__(
        self,
        collection: Collection,
        network: TwoBranchNetwork,
        extractor: QueryExtractor,
        warnings: Sequence[str] = (),
    ) -> None:
        self.collection = collection
        self.warnings = tuple(warnings)
        self._network = network
        self._extractor = extractor
        self._row_of = {id_: row for row, id_ in enumerate(collection.ids)}
        self._labels = np.array(collection.labels)
        self._splits = np.array(collection.splits)

    @classmethod
    def load(
        cls,
        run: Path | str,
        *,
        features: Path | None = None,
        weights: Path | None = None,
        device: str = "auto",
        decoding: Attempt = try_file,
        max_seconds: float = MAX_SECONDS,
    ) -> Self:
        """Open a run, and index its clips first if that has not been done or they have changed.

        Args:
            run: folder of the run, such as ``runs/NAME``.
            features: whose clips to search, made by the same networks; by default those of the
                index, or else the run's own.
            weights: folder of pretrained weights, searched first.
            device: where queries are computed: cpu, cuda, or auto for a GPU if there is one.
            decoding: where query files are decoded; by default in this process.
            max_seconds: longer query files are refused.

        Raises:
            AvcmrError: not a finished run, its features are gone or have changed, or there is no
                such device.
        """
        folder = RunFolder(Path(run))
        computing = _device(device)
        index = load_index(folder, features)
        return cls(
            index.collection,
            trained_network(folder),
            QueryExtractor(
                index.origin.features,
                index.origin.made,
                weights,
                computing,
                decoding=decoding,
                max_seconds=max_seconds,
            ),
            index.origin.warnings,
        )

    def warm_up(self) -> None:
        """Load the networks now, and not at the first query with a file.

        Raises:
            SetupError: the collection's networks are not to be had.
        """
        self._extractor.load()

    def search(
        self,
        *,
        audio: Path | str | None = None,
        video: Path | str | None = None,
        image: Path | str | None = None,
        id: str | None = None,  # noqa: A002
        find: Find | None = None,
        top: int = 10,
        label: str | None = None,
        split: str | None = None,
    ) -> list[Hit]:
        """The clips that fit best, best first; equal ones in the collection's order.

        A query is one of four. Of a video of any length the mean is searched for, as of the clips.

        Args:
            audio: a sound file, or a video for its sound; finds pictures.
            video: finds sounds by its pictures, or pictures by its sound.
            image: finds sounds.
            id: of a clip in the collection; its sound finds pictures, or its pictures find sounds.
            find: what to find; by default sounds for a video and pictures for an id.
            top: how many.
            label: only clips of this class.
            split: only clips of this split.

        Raises:
            UsageError: not exactly one query, or one that cannot find what is wanted.
            NotFoundError: no such id, class or split.
            SetupError: the networks that made the features are not available here.
            ClipError: the file cannot be used.
        """
        given: dict[str, tuple[Path | str | None, Find, bool]] = {
            "audio": (audio, "picture", False),
            "video": (video, "sound", True),
            "image": (image, "sound", False),
            "id": (id, "picture", True),
        }
        queries = [kind for kind, (value, _, _) in given.items() if value is not None]
        if len(queries) != 1:
            raise UsageError(
                f"a search needs one query, and there are {len(queries)}; give a sound (audio), a "
                "video, an image or the id of a clip"
            )
        kind = queries[0]
        value, usual, either = given[kind]
        assert value is not None
        find = find or usual
        if find != usual and not either:
            raise UsageError(
                f"an {kind} query finds {usual}s, not {find}s; a video or an id can find both"
            )
        query = self._embed(kind, value, find)
        return self.search_embedding(query, find=find, top=top, label=label, split=split)

    def search_embedding(
        self,
        query: Tensor,
        *,
        find: Find,
        top: int = 10,
        label: str | None = None,
        split: str | None = None,
    ) -> list[Hit]:
        """As :meth:`search`, for an embedding (D,) of the other modality than ``find``.

        Raises:
            NotFoundError: no such class or split.
        """
        if top < 1:
            raise UsageError(f"the best {top} clips cannot be found; ask for 1 or more (top)")
        gallery = self.collection.visual if find == "picture" else self.collection.audio
        best = top_k(query, gallery, top, allowed=self._allowed(label, split))
        return [
            self._hit(rank, row, score)
            for rank, (row, score) in enumerate(
                zip(best.rows.tolist(), best.scores.tolist(), strict=True), start=1
            )
        ]

    def embed_audio_file(self, path: Path | str) -> Tensor:
        """The embedding (D,) of a sound file, or of a video's sound.

        Raises:
            ClipError: the file cannot be used.
            SetupError: the networks that made the collection's features are not to be had.
        """
        return self._through(self._network.embed_audio, self._extractor.sound(Path(path)))

    def embed_video_file(self, path: Path | str) -> Tensor:
        """The embedding (D,) of a video's pictures, which need no sound.

        Raises:
            ClipError, SetupError: as for :meth:`embed_audio_file`.
        """
        return self._through(self._network.embed_visual, self._extractor.pictures(Path(path)))

    def embed_image_file(self, path: Path | str) -> Tensor:
        """The embedding (D,) of a still picture.

        Raises:
            ClipError, SetupError: as for :meth:`embed_audio_file`.
        """
        return self._through(self._network.embed_visual, self._extractor.image(Path(path)))

    def row(self, id: str) -> int:  # noqa: A002
        """The row of a clip in the collection.

        Raises:
            NotFoundError: there is none of this id; the nearest are named.
        """
        if id not in self._row_of:
            raise NotFoundError(f"no clip {id!r} in the collection{_nearest(id, self._row_of)}")
        return self._row_of[id]

    def _embed(self, kind: str, value: Path | str, find: Find) -> Tensor:
        if kind == "id":
            queries = self.collection.audio if find == "picture" else self.collection.visual
            return queries[self.row(str(value))]
        if kind == "image":
            return self.embed_image_file(value)
        return self.embed_audio_file(value) if find == "picture" else self.embed_video_file(value)

    @torch.no_grad()
    def _through(self, branch: Callable[[Tensor], Tensor], features: NDArray[np.float32]) -> Tensor:
        return branch(torch.from_numpy(features)[None])[0]

    def _allowed(self, label: str | None, split: str | None) -> Tensor | None:
        """(N,) bool, the clips of a class and a split; None where all are."""
        if label is None and split is None:
            return None
        allowed = np.ones(len(self.collection), dtype=bool)
        for what, wanted, of_clips in (
            ("class", label, self._labels),
            ("split", split, self._splits),
        ):
            if wanted is not None:
                fitting = of_clips == wanted
                if not fitting.any():
                    known = sorted(set(of_clips.tolist()))
                    raise NotFoundError(
                        f"no clips of {what} {wanted!r} in the collection{_nearest(wanted, known)}"
                    )
                allowed &= fitting
        return torch.from_numpy(allowed)

    def _hit(self, rank: int, row: int, score: float) -> Hit:
        clip = self.collection.clip(row)
        return Hit(
            rank=rank,
            id=clip.id,
            score=score,
            label=clip.label,
            split=self.collection.splits[row],
            path=clip.path,
            start=clip.start,
            end=clip.end,
        )


def _device(name: str) -> torch.device:
    gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if gpu else "cpu")
    if name.startswith("cuda") and not gpu:
        raise SetupError(f"{name}: torch sees no GPU (avcmr doctor tells why); use cpu, or auto")
    return torch.device(name)


def _nearest(name: str, known: Iterable[str]) -> str:
    containing = [one for one in known if name in one]
    near = containing[:3] or difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f"; one is {next(iter(known))}"
