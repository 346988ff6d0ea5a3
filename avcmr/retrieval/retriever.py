"""Cross-modal search with a trained run: pictures by sound, and sounds by picture."""

import logging
from collections.abc import Sequence
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
from avcmr.retrieval.query import Decoding, QueryExtractor
from avcmr.retrieval.suggestions import suggestion
from avcmr.retrieval.top_k import top_k
from avcmr.training.run_folder import RunFolder
from avcmr.training.trained import trained_network
from preprocessing.errors import NotFoundError, SetupError, UsageError
from preprocessing.media import Kind
from preprocessing.media.outcome import try_file
from preprocessing.media.sampling import MAX_SECONDS
from preprocessing.networks.weights import Report
from preprocessing.remote import MediaPath

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hit:
    """One clip of a search result.

    Attributes:
        rank: 1 is the best.
        id: of the clip.
        score: inner product with the query: the probability that both have the same class or,
            where the run has no class posteriors, their cosine.
        label: name of its class.
        split: train, val, test or empty.
        path: its media file, which may be missing; ``Path()`` where none is known.
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
    """A trained run and its clips, ready to be searched. It is thread-safe.

    Attributes:
        collection: the gallery.
        warnings: caveats of every result, such as untrained networks.
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
        decoding: Decoding = try_file,
        max_seconds: float = MAX_SECONDS,
        report: Report = _logger.info,
    ) -> Self:
        """Open a run; its clips are indexed first if there is no index or they have changed.

        Args:
            run: folder of the run, such as ``runs/NAME``.
            features: of the clips to search, extracted by the same networks; by default those of
                the index, or else the run's own.
            weights: folder of pretrained weights, searched first.
            device: where queries are computed: cpu, cuda, or auto for a GPU if there is one.
            decoding: where query files are decoded; by default in this process.
            max_seconds: longer query files are refused.
            report: takes a line before clips are indexed.

        Raises:
            NotFoundError: not a run, or no such features.
            SetupError: the run is unfinished, its features are missing or have changed, or
                there is no such device.
        """
        folder = RunFolder(Path(run))
        computing = _device(device)
        index = load_index(folder, features, report=report)
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
        """Load the networks now instead of with the first query that is a file.

        Raises:
            SetupError: the networks that made the features are not available.
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
        """The best clips, best first; ties in the collection's order.

        Exactly one query is given. A file is represented by the mean of its features, as clips are.

        Args:
            audio: a sound file, or a video of which only the sound is used; finds pictures.
            video: finds sounds by its frames, or pictures by its sound.
            image: finds sounds.
            id: of a clip in the collection; its sound finds pictures, or its frames find sounds.
            find: what to find; by default sounds for a video and pictures for an id.
            top: how many.
            label: only clips of this class.
            split: only clips of this split.

        Raises:
            UsageError: not exactly one query, or one that cannot find what is wanted.
            NotFoundError: no such id, class or split.
            SetupError: the networks that made the features are not available.
            ClipError: the file is unusable.
        """
        given = {"audio": audio, "video": video, "image": image, "id": id}
        queries = [(kind, value) for kind, value in given.items() if value is not None]
        if len(queries) != 1:
            raise UsageError(
                f"a search needs one query, and there are {len(queries)}; give a sound (audio), a "
                "video, an image or the id of a clip"
            )
        ((kind, value),) = queries
        usual: Find = "sound" if kind in {"video", "image"} else "picture"
        find = find or usual
        if find != usual and kind in {"audio", "image"}:
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
        rows, scores = top_k(query, gallery, top, allowed=self._allowed(label, split))
        best = zip(rows.tolist(), scores.tolist(), strict=True)
        return [self._hit(rank, row, score) for rank, (row, score) in enumerate(best, start=1)]

    def embed_audio_file(self, path: Path | str) -> Tensor:
        """The audio embedding (D,) of a sound file or a video.

        Raises:
            ClipError: the file is unusable.
            SetupError: the networks that made the features are not available.
        """
        return self._embed_file("audio", path)

    def embed_video_file(self, path: Path | str) -> Tensor:
        """The visual embedding (D,) of a video, which needs no sound.

        Raises:
            ClipError, SetupError: as for :meth:`embed_audio_file`.
        """
        return self._embed_file("video", path)

    def embed_image_file(self, path: Path | str) -> Tensor:
        """The visual embedding (D,) of an image.

        Raises:
            ClipError, SetupError: as for :meth:`embed_audio_file`.
        """
        return self._embed_file("image", path)

    def row(self, id: str) -> int:  # noqa: A002
        """The row of a clip in the collection.

        Raises:
            NotFoundError: no such id; similar ones are named.
        """
        if id not in self._row_of:
            raise NotFoundError(f"no clip {id!r} in the collection{suggestion(id, self._row_of)}")
        return self._row_of[id]

    def _embed(self, kind: str, value: Path | str, find: Find) -> Tensor:
        if kind == "id":
            queries = self.collection.audio if find == "picture" else self.collection.visual
            return queries[self.row(str(value))]
        if kind == "image":
            return self.embed_image_file(value)
        return self.embed_audio_file(value) if find == "picture" else self.embed_video_file(value)

    @torch.no_grad()
    def _embed_file(self, kind: Kind, path: Path | str) -> Tensor:
        features = torch.from_numpy(self._extractor.features(kind, Path(path)))
        branch = self._network.embed_audio if kind == "audio" else self._network.embed_visual
        return branch(features[None])[0]

    def _allowed(self, label: str | None, split: str | None) -> Tensor | None:
        """(N,) bool, the clips of a class and a split; None allows all."""
        if label is None and split is None:
            return None
        allowed = np.ones(len(self.collection), dtype=bool)
        if label is not None:
            allowed &= _matching("class", label, self._labels)
        if split is not None:
            allowed &= _matching("split", split, self._splits)
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


def _matching(what: str, wanted: str, of_clips: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(N,), the clips of a class or split, of which there must be some."""
    matching: NDArray[np.bool_] = of_clips == wanted
    if not matching.any():
        hint = suggestion(wanted, sorted(set(of_clips.tolist())))
        raise NotFoundError(f"no clips of {what} {wanted!r} in the collection{hint}")
    return matching


def _device(name: str) -> torch.device:
    gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if gpu else "cpu")
    if name.startswith("cuda") and not gpu:
        raise SetupError(f"{name}: torch sees no GPU (avcmr doctor tells why); use cpu, or auto")
    return torch.device(name)
