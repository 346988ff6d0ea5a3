"""The trained network of a run; its data set is not needed."""

import torch

from avcmr.model.network import TwoBranchNetwork
from avcmr.training.run_folder import RunFolder
from preprocessing.errors import SetupError


def trained_network(run: RunFolder) -> TwoBranchNetwork:
    """The best network of a run, frozen and in evaluation mode, on the CPU.

    Raises:
        AvcmrError: the run has not been trained yet, or by a version of avcmr with another network.
    """
    tensors = run.load("best").tensors
    try:
        visual = tensors.get("visual.pca.mean", tensors["visual.mean"])
        with torch.device("meta"):  # no random weights: they are read below
            network = TwoBranchNetwork(
                len(tensors["audio.mean"]),
                len(visual),
                run.config().model,
                classes=len(tensors.get("posterior.prototypes", ())),
            )
        network.load_state_dict(tensors, assign=True)
    except (KeyError, RuntimeError):
        raise SetupError(
            f"{run.path}: its weights are not of the network that its settings describe; another "
            "version of avcmr has trained it: train again under another --run"
        ) from None
    return network.eval().requires_grad_(False)
