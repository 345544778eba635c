"""The networks that the papers use."""

from automc.models.cifar_resnet import CifarResNet

__all__ = ["CifarResNet"]
