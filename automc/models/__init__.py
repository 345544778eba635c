"""The networks that the papers use."""

from automc.models.cifar_resnet import CifarResNet
from automc.models.vgg import VGG16
from automc.models.weights import load_weights

__all__ = ["VGG16", "CifarResNet", "load_weights"]
