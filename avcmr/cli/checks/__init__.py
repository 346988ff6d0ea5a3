"""What the main job needs of a machine, each looked at by one small function.

The main job is ``avcmr extract``, ``train`` and ``evaluate`` with their defaults. A check returns
a row: ok, a warning (the job runs, but slower, or without an option), or an error (it cannot run).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from avcmr.cli.checks import decoders, gpu, machine, services
from avcmr.cli.checks.machine import Row

if TYPE_CHECKING:
    from preprocessing.networks.weights import WeightsName

__all__ = ["Row", "all_checks", "run"]


def all_checks(weights: Path | None = None) -> dict[str, Callable[[], Row]]:
    """Every check by its row's name, cheap ones first.

    Args:
        weights: the user's folder of weights, as ``--weights`` of ``avcmr extract``.
    """
    names: tuple[WeightsName, ...] = ("inception_v3_2015", "vggish", "vggish_pca")
    checks: dict[str, Callable[[], Row]] = {
        "Python": machine.python,
        "packages": machine.packages,
        "memory": machine.memory,
        "shared memory": machine.shared_memory,
        "disk": machine.working_folder,
        "temporary files": machine.temporary_files,
        "dashboard port": machine.dashboard_port,
        "torch": gpu.torch_libraries,
        "GPU": gpu.gpu,
        "PyAV": decoders.pyav,
        "decord": decoders.decord,
        "torchcodec": decoders.torchcodec,
        "decoding on GPU": decoders.nvdec,
        "Ray": services.ray,
    }
    return checks | {
        f"weights {name}": partial(services.weights_of, name, weights) for name in names
    }


def run(checks: dict[str, Callable[[], Row]]) -> Iterator[Row]:
    """Yield each check's row; a check that fails itself is an error too, and ends no other."""
    for name, check in checks.items():
        try:
            yield check()
        except Exception as error:
            reason = " ".join(str(error).split())
            yield Row(
                name,
                "error",
                f"cannot be checked ({type(error).__name__}: {reason})",
                "mend what is wrong above first; if nothing is, install avcmr anew",
            )
