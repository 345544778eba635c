"""The problems on which agents are compared."""

from dataclasses import dataclass

from automc.compression import Methods
from automc.devices import LOCAL
from automc.errors import ConfigError, nearest
from automc.evaluation import Fidelity
from automc.search_spaces import SpaceConfig, load_preset

NORMAL = Fidelity(search_images=1000, calibration_images=256)
FINAL, METHODS = Fidelity(), Methods()
FEW_BITS = SpaceConfig(width=False, depth=False, bits=tuple(range(2, 9)), exclude=("conv1", "linear"))
WIDTHS = SpaceConfig(depth=False, channel_multiple=1)


@dataclass(frozen=True)
class Case:
    """A problem as it is written down.

    Attributes:
        title: what it is.
        network: the network on CIFAR-10; None for the digits, which need no files.
        space: what may be chosen.
        budget: what is to be kept; None for the latency of ``uniform`` bits.
        uniform: these bits in all layers have the latency that is the budget.
        device: where it is to run, and with how many examples at a time.
        batch: see ``device``.
        fidelity: how much a normal evaluation looks at.
        methods: how policies are applied in the search, and in the finals.
        final: how much is looked at when the best are built again.
        final_methods: with these the best are built once more, beside ``methods``; None for not.
        epochs: for how long the best are fine-tuned in the finals.
    """

    title: str
    network: str | None
    space: SpaceConfig
    budget: str | None
    uniform: int | None = None
    device: str = LOCAL
    batch: int = 1
    fidelity: Fidelity = NORMAL
    methods: Methods = METHODS
    final: Fidelity = FINAL
    final_methods: Methods | None = None
    epochs: int = 0

    @property
    def heading(self) -> str:
        """What it is and its budget, for tables and plots."""
        budget = self.budget or f"the latency of {self.uniform}/{self.uniform} bits"
        where = "" if self.device == LOCAL else f" on {self.device}"
        return f"{self.title}; {budget}{', measured on this machine' if self.measured else where}"

    @property
    def measured(self) -> bool:
        """Whether its latency is this machine's, and needs a table."""
        return self.device == LOCAL and (self.budget or "").startswith("latency")


def _bits(uniform: int) -> Case:
    return Case(
        "ResNet-56, CIFAR-10: 2 to 8 bits",
        "resnet56",
        FEW_BITS,
        None,
        uniform,
        device="bismo-cloud",
        batch=16,
        fidelity=Fidelity(search_images=1000, calibration_images=64),  # ranges of activations need no more
        methods=Methods(rounding="nearest"),  # as HAQ does
        final_methods=METHODS,
    )


PROBLEMS = {
    "macs56": Case("ResNet-56, CIFAR-10: widths", "resnet56", WIDTHS, "macs<=50%"),
    "latency20": Case(
        "ResNet-20, CIFAR-10: width, depth and int8",
        "resnet20",
        load_preset("all"),
        "latency<=30%",  # int8 everywhere needs about 52%
    ),
    "latencyvgg": Case(
        "VGG-16, a quarter wide, CIFAR-10: width and int8",
        "vgg16-quarter",
        SpaceConfig(depth=False, bits=(8,)),
        "latency<=43%",  # int8 everywhere needs about 49%, the cheapest network 36%
    ),
    "bits4": _bits(4),
    "bits5": _bits(5),
    "bits6": _bits(6),
    "plain20": Case("Plain-20, CIFAR-10: widths", "plain20", WIDTHS, "macs<=50%", epochs=4),
    "digits": Case("ResNet-14, digits: width and depth", None, SpaceConfig(), "macs<=4%", fidelity=Fidelity()),
    "digits40": Case(
        "ResNet-14, digits: width, depth and int8",
        None,
        load_preset("all"),
        "latency<=40%",
        fidelity=Fidelity(),
    ),
    "digits15": Case(
        "ResNet-14, digits: width, depth and int8",
        None,
        load_preset("all"),
        "latency<=15%",
        fidelity=Fidelity(),
    ),
}


def find_case(name: str) -> Case:
    """Returns a problem by its name; raises ConfigError when there is none."""
    if name not in PROBLEMS:
        raise ConfigError(f"unknown problem '{name}'{nearest(name, PROBLEMS)}")
    return PROBLEMS[name]
