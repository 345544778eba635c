"""The configuration of a search: the file that a user writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from automc import files
from automc.agents import AGENTS, agent_class, check_metrics
from automc.compression import Methods
from automc.costs import Budget
from automc.docstrings import Described
from automc.errors import AutoMCError, ConfigError, nearest
from automc.evaluation import Fidelity
from automc.latency_tables import Target, open_target
from automc.search_spaces import SpaceConfig, load_preset
from automc.tasks.training import FINE_TUNING_RATE, Training


class DeviceConfig(Described):
    """What the model will run on.

    Attributes:
        target: ``local`` for this machine, ``http://host:port`` for one far away (``automc device serve``), or the name
            of an accelerator on paper, such as ``bismo-cloud``.
        threads: threads of one inference.
        batch: examples in one inference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = "local"
    threads: int = Field(default=1, ge=1, le=256)
    batch: int = Field(default=1, ge=1)

    def open(self) -> Target:
        """Returns the device; raises AutoMCError where there is none of that name, or it does not answer."""
        return open_target(self.target, self.threads, self.batch)


class FineTune(Training):
    """How finalists are trained after the search, with the original as their teacher.

    Attributes:
        epochs: passes over the training split; 0 leaves everything as the search made it.
        finalists: how many of the agent's best measured policies are trained before one is chosen.
        controls: whether each control's choice is trained likewise; if not, agent and controls are compared as they
            were before.
        quantized: whether networks with fewer bits are trained through their quantizers; if not, they are trained in
            float and quantized afterwards.
        tolerance: how much worse than before a trained network may score on search images, as a share of the score
            before; beyond it the network stays as it was. An original that has seen the search images passes on
            what it knows by heart about them, which training on other images takes away.
    """

    epochs: int = Field(default=0, ge=0)
    rate: float = Field(default=FINE_TUNING_RATE, gt=0)
    finalists: int = Field(default=3, ge=1)
    controls: bool = False
    quantized: bool = False
    tolerance: float = Field(default=0.02, ge=0, le=1)


class Compute(Described):
    """Who evaluates. No score depends on it.

    Attributes:
        workers: evaluations that run at once. One needs no Ray: it is the process that searches.
        ray_address: the Ray cluster to run on, such as ``10.0.0.5:6379``; None starts one on this machine, where there
            is more than one worker.
        cpus: processors, and so threads, of each worker.
        gpus: share of a GPU that each worker has; 0 for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: int = Field(default=1, ge=1)
    ray_address: str | None = None
    cpus: int = Field(default=1, ge=1)
    gpus: float = Field(default=0.0, ge=0.0)

    @property
    def on_ray(self) -> bool:
        """Whether the workers are Ray's."""
        return self.workers > 1 or self.ray_address is not None or self.gpus > 0


class Limits(Described):
    """What ends a search before it had all its evaluations; what it found until then is finished as usual.

    Attributes:
        minutes: that drivers have run, all sessions together.
        worker_hours: spent on evaluations, all workers and sessions together.
        patience: evaluations of the agent in a row after which the front has not moved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float | None = Field(default=None, gt=0)
    worker_hours: float | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, ge=1)


class Rung(Described):
    """What an agent's best are promoted to after the search (successive halving).

    Attributes:
        fidelity: how much an evaluation looks at and does there: keys, or a name.
        keep: how many of each agent's best come up to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fidelity: Fidelity
    keep: int = Field(ge=1)


class SearchConfig(Described):
    """One search.

    Attributes:
        task: a built-in task, or ``path.py:Class``, relative to the configuration file.
        task_args: keyword arguments of the task's class.
        agent: who searches; the controls always run beside it.
        agent_args: its settings (``automc agents NAME``); controls have their defaults.
        budget: one budget or several, such as ``latency<=60%``; all are kept.
        evaluations: policies that the agent may try; each control gets as many, or its only one.
        space: the name of a preset, or its keys.
        fidelity: how much each evaluation of the search looks at and does: keys, or a name such as ``few``.
        rungs: what the best of each agent and control are promoted to, one after the other; the last chooses.
        methods: how a policy is applied: which channels stay, recovery, quantization.
        device: what the model will run on.
        latency_table: a table to use as it is; by default the user's own for this device, measured where needed.
        force_table: use `latency_table` though it was measured on another device; whatever rests on it says so.
        sensitivities: a file of them to use (``automc sensitivity --save``); by default the user's own, measured where
            an agent needs them and they are not there.
        finalists: best policies that are exported and measured before one is chosen.
        finetune: how the best of these are trained after that.
        tensorboard: write events for TensorBoard while the search runs, into ``tensorboard`` in its folder.
        compute: who evaluates.
        limits: what ends the search early.
        ahead: proposals that an agent may make before the oldest of them is learned; proposals depend on it, and not on
            how many workers there are. None for 1 with one worker, and else twice as many as workers; a search that is
            resumed keeps what it began with.
        seed: seeds everything random.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    task_args: dict[str, Any] = Field(default_factory=dict)
    agent: str = "auto"
    agent_args: dict[str, Any] = Field(default_factory=dict)
    budget: tuple[str, ...] = Field(min_length=1)
    evaluations: int = Field(default=40, ge=1)
    space: SpaceConfig = Field(default_factory=lambda: load_preset("all"))
    fidelity: Fidelity = Field(default_factory=Fidelity)
    rungs: tuple[Rung, ...] = ()
    methods: Methods = Field(default_factory=Methods)
    device: DeviceConfig = Field(default_factory=DeviceConfig)
    latency_table: Path | None = None
    force_table: bool = False
    sensitivities: Path | None = None
    finalists: int = Field(default=5, ge=1)
    finetune: FineTune = Field(default_factory=FineTune)
    tensorboard: bool = False
    compute: Compute = Field(default_factory=Compute)
    limits: Limits = Field(default_factory=Limits)
    ahead: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)

    @field_validator("budget", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("budget")
    @classmethod
    def _makes_sense(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _as_value_error(lambda: [Budget.parse(text) for text in value])
        return value

    @field_validator("agent")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in AGENTS:
            raise ValueError(f"unknown agent '{value}'{nearest(value, AGENTS)}")
        return value

    @field_validator("agent_args")
    @classmethod
    def _agent_has_them(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if (agent := info.data.get("agent")) is not None:  # else there is an error already
            settings = agent_class(agent).Settings
            for key in value:
                if key not in settings.model_fields:
                    rest = nearest(key, settings.model_fields) if settings.model_fields else ""
                    raise _at(f"{agent} has no such setting{rest}", key)
            settings.model_validate(value)  # pydantic puts the field's name before the keys of these errors
        return value

    @field_validator("space", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        return _as_value_error(lambda: load_preset(value)) if isinstance(value, str) else value

    @field_validator("rungs")
    @classmethod
    def _go_up(cls, value: tuple[Rung, ...], info: ValidationInfo) -> tuple[Rung, ...]:
        below = info.data.get("fidelity")
        for place, rung in enumerate(value):
            if place and rung.keep > (most := value[place - 1].keep):
                raise _at(f"{rung.keep} come up from a rung that has {most}; keep at most these", place, "keep")
            if rung.fidelity == below:
                raise _at(
                    "the same as one rung below, where nothing new would be seen; leave it out", place, "fidelity"
                )
            below = rung.fidelity
        return value

    @model_validator(mode="after")
    def _result_is_recovered(self) -> SearchConfig:
        place = ("rungs", len(self.rungs) - 1, "fidelity") if self.rungs else ("fidelity",)
        built = self.rungs[-1].fidelity if self.rungs else self.fidelity
        if self.methods.recovery and not built.recovery:
            raise _at(
                "the result would not be recovered, as it is built as the last rung builds it; add a rung "
                "that does, such as {fidelity: normal, keep: 8}, or, if that is meant, methods: {recovery: []}",
                *place,
            )
        return self

    @model_validator(mode="after")
    def _agent_can(self) -> SearchConfig:
        _as_value_error(lambda: check_metrics(self.agent, [budget.metric for budget in self.budgets]))
        return self

    @model_validator(mode="after")
    def _forces_what_was_named(self) -> SearchConfig:
        if self.force_table and self.latency_table is None:
            raise _at("names no table by itself; say which: latency_table", "force_table")
        return self

    def deciding(self) -> dict[str, Any]:
        """Returns, as plain data, what evaluations and proposals depend on.

        Not on who evaluates, how finalists are tuned, when to stop or who watches: these may be changed before a search
        is resumed.
        """
        return self.model_dump(mode="json", exclude={"finetune", "tensorboard", "compute", "limits"})

    @property
    def subject(self) -> str:
        """What is compressed: the task and its arguments."""
        return " ".join([self.task, *(f"{key}={value}" for key, value in self.task_args.items())])

    @property
    def objectives(self) -> tuple[str, ...]:
        """What fronts are over beside the score: what the agent is to make small, or the first budget's metric."""
        return tuple(self.agent_args.get("objectives") or (self.budgets[0].metric,))

    @property
    def budgets(self) -> list[Budget]:
        """The budgets, parsed."""
        return [Budget.parse(text) for text in self.budget]


def load_config(path: Path) -> SearchConfig:
    """Reads a configuration file.

    Raises:
        ConfigError: it is missing, no YAML, or does not make sense; a misspelt key is named with the nearest.
    """
    return files.read_yaml(path, SearchConfig, ConfigError)


def _at(what: str, *place: int | str) -> ValidationError:
    """Returns an error about a key below what is validated; pydantic puts the name of that before it."""
    problem = PydanticCustomError("wrong", "{what}", {"what": what})
    return ValidationError.from_exception_data("", [{"type": problem, "loc": place, "input": None}])


def _as_value_error(check: Any) -> Any:
    """Pydantic reports ValueErrors with the key that they belong to."""
    try:
        return check()
    except AutoMCError as error:
        raise ValueError(str(error)) from None
