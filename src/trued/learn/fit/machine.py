"""What a run stands on: processes and devices by accelerate, the random numbers, the modules' modes, the trackers.

Knows accelerate and the device. Knows nothing of losses, data or checkpoints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType, ProjectConfiguration, broadcast
from torch import nn

from trued.errors import InputError, MissingExtra, nearest
from trued.files import TRACKERS, mark_folder


def accelerator_for(trackers: tuple[str, ...], output: Path | None) -> Accelerator:
    """Return the accelerator of this process.

    Args:
        trackers: names that accelerate's `log_with` knows.
        output: folder for `trackers/`, which receives the trackers' files.

    Raises:
        InputError: a tracker is unknown, not installed or without a folder, or the launch shards the model.
    """
    known = sorted(str(name.value) for name in LoggerType if name != LoggerType.ALL)
    for name in trackers:
        if name not in known:
            raise InputError(f"unknown tracker {name!r}: choose from {', '.join(known)}{nearest(name, known)}")
        # accelerate leaves out a tracker that is not installed without a word.
        if name not in [str(tracker.value) for tracker in get_available_trackers()]:
            if name == "tensorboard":
                raise MissingExtra(name, "trackers")
            raise InputError(f"the tracker {name} is not installed: pip install {name}")
    if trackers and output is None:
        raise InputError(f"trackers ({', '.join(trackers)}) need a folder for their files: pass output")
    places = ProjectConfiguration()
    if output is not None:
        places = ProjectConfiguration(project_dir=str(output), logging_dir=str(output / TRACKERS))
    accelerator = Accelerator(log_with=list(trackers) or None, project_config=places)
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise InputError(
            f"fit was launched with {accelerator.distributed_type.value}: it trains whole models only, "
            "on one device or on several by `accelerate launch --multi_gpu`"
        )
    return accelerator


def place(model: nn.Module, params: Mapping[str, nn.Parameter], accelerator: Accelerator) -> torch.device:
    """Leave a single process's model where it is; give each of several its device and the same trainable weights.

    Returns:
        The device that batches go to.
    """
    if accelerator.num_processes == 1:
        return next(iter(params.values())).device
    model.to(accelerator.device)
    with torch.no_grad():
        for param in params.values():
            param.copy_(broadcast(param.detach().clone()))  # type: ignore[arg-type]
    return accelerator.device


@contextmanager
def lent(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Lend PyTorch's random numbers and the modules' training modes to the block, and put both back after it."""
    modes = {module: module.training for module in model.modules()}
    cuda = [device] if device.type == "cuda" else []
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    try:
        with torch.random.fork_rng(devices=cuda):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def tracked(accelerator: Accelerator, trackers: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[None]:
    """Open the trackers with the run's settings, and close them whatever happens."""
    if not trackers:
        yield
        return
    flat = {key: value if isinstance(value, int | float | str) else str(value) for key, value in settings.items()}
    if accelerator.is_main_process and accelerator.logging_dir is not None:
        # The output will be written by name: the mark says that these files belong to the run.
        mark_folder(accelerator.logging_dir, TRACKERS)
    accelerator.init_trackers("trued", config=flat)
    try:
        yield
    finally:
        accelerator.end_training()


def seed_everything(device: torch.device, seed: int) -> None:
    """Seed PyTorch's random numbers on the CPU and on `device`."""
    # torch.manual_seed would also reseed the GPUs that this run does not use.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes allocated on a GPU since `lent` began; on a CPU, the most the process ever used."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
