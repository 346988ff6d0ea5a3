"""The trained network of a run, which needs no data set, and the data set it was trained on."""

import torch

from avcmr.features.dataset import Dataset, load_dataset
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.run_folder import RunFolder
from preprocessing.errors import SetupError


def training_data(run: RunFolder) -> Dataset:
    """The data set that a run was trained on, all splits.

    Raises:
        AvcmrError: not a trained run, or its features are gone or have changed.
    """
    config = run.config()
    best = run.load("best")
    if config.features is None:
        raise SetupError(f"{run.config_file}: names no features")
    dataset = load_dataset(config.features, config.data)
    if dataset.fingerprint != best.metadata["fingerprint"]:
        raise SetupError(
            f"{run.path}: {config.features} has changed since the run was trained, so its test "
            "clips may have been trained on; train again under another --run"
        )
    return dataset


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
