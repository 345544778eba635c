"""The networks that the papers use."""

from automc.models.cifar_resnet import CifarResNet
from automc.models.mobilenet_v1 import MobileNetV1
from automc.models.mobilenet_v2 import MobileNetV2
from automc.models.vgg import VGG16
from automc.models.weights import load_weights

__all__ = ["VGG16", "CifarResNet", "MobileNetV1", "MobileNetV2", "load_weights"]
