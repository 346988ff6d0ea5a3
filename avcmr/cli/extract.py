"""Extract the features of a folder of videos, on all cores and GPUs.

Run it again after an interruption, or with more clips: finished clips are not repeated.

Examples:

    avcmr extract --videos raw/ --out features.h5          (raw/CLASS/clip.mp4)

    avcmr extract --manifest clips.csv --out features.h5   (columns path,label[,id,split,start,end])
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from avcmr.cli.console import ProgressLine, console, warn
from avcmr.cli.options import AddressOption, FollowLinksOption, WeightsOption
from avcmr.cli.weights import report_download
from preprocessing.errors import UsageError

if TYPE_CHECKING:
    from preprocessing.clips import Clip
    from preprocessing.store import Failure
    from raytasks.extraction.summary import Summary
    from raytasks.monitoring.progress import Progress


def command(
    videos: Annotated[
        str | None,
        typer.Option(help="Folder with one folder of videos per class; also s3://bucket/folder."),
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV file that lists the clips, instead of --videos.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The feature store to write.")] = Path("features.h5"),
    weights: WeightsOption = None,
    visual: Annotated[
        Literal["inception_v3_2015", "inception_v3_imagenet"],
        typer.Option(help="2015: as in YouTube-8M and the paper. imagenet: torchvision's."),
    ] = "inception_v3_2015",
    vggish_relu: Annotated[
        bool, typer.Option(help="End VGGish in a ReLU, as AudioSet's and AVE's features; or not.")
    ] = True,
    audio_pca: Annotated[
        bool, typer.Option(help="VGGish's published PCA and 8-bit steps, or its plain output.")
    ] = True,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="bfloat16 is faster where the hardware has it, and good to 1 %."),
    ] = "float32",
    untrained_audio: Annotated[
        bool,
        typer.Option("--untrained-audio", help="Random VGGish weights, only to try the pipeline."),
    ] = False,
    fps: Annotated[float, typer.Option(help="Frames per second.", min=0.01, max=60)] = 1.0,
    decoder: Annotated[
        Literal["auto", "pyav", "decord", "decord-gpu", "torchcodec", "torchcodec-cuda"],
        typer.Option(help="Decoder. auto: the GPU if it can decode, besides the cores."),
    ] = "auto",
    frames: Annotated[
        Literal["shown", "key"],
        typer.Option(help="key: the nearest key frames, which is faster and up to seconds off."),
    ] = "shown",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry clips that failed before.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first clip that fails.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done.")
    ] = False,
    follow_links: FollowLinksOption = False,
    clip_timeout: Annotated[
        float,
        typer.Option(help="Seconds after which decoding a clip is aborted.", min=1, max=86_400),
    ] = 300.0,
    address: AddressOption = None,
) -> None:
    # Before the slow imports.
    clips, notes = _clips(videos, manifest, follow_links=follow_links)

    from preprocessing.media import DECODERS, Sampling, best_decoder
    from preprocessing.networks.extractor import FeatureExtractor, Networks
    from preprocessing.networks.loading import multiplies_bfloat16
    from preprocessing.store import FeatureWriter, Provenance
    from raytasks.cluster import connected
    from raytasks.extraction.decoding import Decoding, describe
    from raytasks.extraction.driver import Extraction
    from raytasks.extraction.layout import Layout

    sampling = Sampling(frames_per_second=fps, key_frames=frames == "key")
    networks = Networks(
        weights=weights,
        visual=visual,
        untrained_audio=untrained_audio,
        audio_pca=audio_pca,
        vggish_relu=vggish_relu,
        precision=precision,
    )
    auto = decoder == "auto"
    fast = sampling.key_frames  # then there is little left for a GPU to decode
    backend = DECODERS["pyav" if auto and fast else best_decoder() if auto else decoder]
    if fast and not backend.takes_key_frames:
        raise UsageError("--frames key needs --decoder pyav")
    provenance = Provenance(
        config=networks.describe(sampling),
        weights=networks.origins(report_download),
        decoder=describe(backend),
    )
    if provenance.untrained:
        warn(
            [
                "VGGish is UNTRAINED (random weights, --untrained-audio): "
                "its audio features are only for trying the pipeline"
            ]
        )
    if precision == "bfloat16" and not multiplies_bfloat16():
        warn(["this machine has no instructions for bfloat16; float32 is faster here"])
    with FeatureWriter(out, provenance) as writer:
        plan = writer.plan(clips, retry_failed=retry_failed)
        console.print("\n".join([f"plan: {plan.summary()}", *notes]), markup=False)
        if dry_run:
            return
        if plan.todo:
            console.print("starting Ray …")
            with connected(address) as cluster, ProgressLine("extract", len(plan.todo)) as line:
                line.say(f"Ray: {cluster}")
                summary = Extraction(
                    writer=writer,
                    sampling=sampling,
                    load=partial(FeatureExtractor.load, networks),
                    layout=Layout.fitting(cluster),
                    decoding=Decoding.fitting(backend, cluster, beside=auto),
                    clip_seconds=clip_timeout,
                    fail_fast=fail_fast,
                    on_progress=lambda progress: line.update(
                        progress.done + progress.failed, _state(progress)
                    ),
                ).run(plan.todo)
            _show(summary)
        writer.finish(clips)
        failures = writer.failures(clips)
    _list(failures, len(clips), out)
    if plan.todo and notes:
        console.print("\n".join(notes), markup=False)
    print(out)
    raise typer.Exit(1 if failures else 0)


def _clips(
    videos: str | None, manifest: Path | None, *, follow_links: bool
) -> "tuple[list[Clip], list[str]]":
    """The clips, and what the user should know of the folder."""
    from preprocessing.catalog.contents import contents
    from preprocessing.catalog.folders import scan_folder
    from preprocessing.catalog.manifest import read_manifest
    from preprocessing.catalog.splits import with_sources
    from preprocessing.remote import media_path

    notes: list[str] = []
    if videos and not manifest:
        root = media_path(videos)
        root = root.resolve() if isinstance(root, Path) else root
        scan = scan_folder(root, follow_links=follow_links)
        clips, notes = list(scan.clips), scan.notes()
    elif manifest and not videos:
        clips = read_manifest(manifest.resolve())
    else:
        raise UsageError("give either --videos FOLDER or --manifest FILE.csv")
    # Training divides clips without splits, and without val, and must not divide copies.
    return with_sources(clips, contents(clips)), notes


def _state(progress: "Progress") -> str:
    rate = progress.clips_per_second
    eta = (
        f", about {progress.left / rate:.0f} s left" if rate > 0 and not console.is_terminal else ""
    )
    return (
        f"{progress.done}/{progress.total} done, {progress.failed} failed, {rate:.2f} clips/s{eta}"
    )


def _show(summary: "Summary") -> None:
    table = Table(title="extraction", show_header=False)
    table.add_row("clips done", f"{summary.done:,}")
    table.add_row("clips failed", f"{summary.failed:,}")
    for reason, count in sorted(summary.reasons.items()):
        table.add_row(f"  {reason}", f"{count:,}")
    mended = summary.repairs["clips"]
    if mended:
        table.add_row("clips mended", f"{mended:,}")
        for way, count in sorted(summary.repairs.items()):
            if way != "clips":
                table.add_row(f"  {way}", f"{count:,}")
    table.add_row("frames", f"{summary.frames:,}")
    table.add_row("sound", f"{summary.audio_seconds / 60:.1f} min")
    table.add_row("time", f"{summary.seconds:.0f} s, of which start {summary.starting:.0f} s")
    table.add_row("speed", f"{(summary.done + summary.failed) / summary.seconds:.2f} clips/s")
    console.print(table)


def _list(failures: "Sequence[Failure]", clips: int, out: Path) -> None:
    for failure in failures[:10]:
        console.print(f"  {failure.clip.id}: {failure.reason}: {failure.message}", markup=False)
    if len(failures) > 10:
        console.print(f"  … and {len(failures) - 10} more")
    if failures:
        console.print(
            f"{len(failures)} of {clips} clips failed; listed with their reasons in {out} "
            "under /failures. Mend the files and run the same command again"
        )
