"""One worker of a gloo group: ``train_worker.py FEATURES CONFIG RUN RANK WORLD RENDEZVOUS``."""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist

from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder

if __name__ == "__main__":
    features, settings, folder, rank, world, rendezvous = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world)
    )
    config = load_config(Path(settings)).model_copy(update={"features": Path(features)})
    dataset = load_dataset(Path(features), config.data)
    run = RunFolder(Path(folder))
    with run.opened(config, dataset) if rank == "0" else nullcontext():
        dist.barrier()
        train(dataset, config, run)
    dist.destroy_process_group()
