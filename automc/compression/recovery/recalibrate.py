"""Recovery without training: BatchNorm's statistics taken anew (as in EagleEye, Li et al., ECCV 2020)."""

from __future__ import annotations

import torch
from torch import nn

from automc.compression.calibration import Calibration
from automc.tasks import call

_BATCH = 256


@torch.no_grad()
def recalibrate(model: nn.Module, calibration: Calibration) -> None:
    """Sets the mean and variance of every BatchNorm to those of calibration examples, in place, batch by batch.

    The statistics are averages over batches; all other modules stay in evaluation mode.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # an average over all batches
        norm.train()
    try:
        for inputs, _ in calibration.batches(_BATCH):
            call(model, inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
