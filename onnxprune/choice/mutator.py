"""ChannelMutator: the choices of all units of a model by name, and their configs."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxprune.choice.choices import Choice, Choices, read_choices
from onnxprune.errors import ChoiceError
from onnxprune.units import UNIT_KINDS, MutableChannelUnit, SlimmableChannelUnit, Units, find_units
from onnxprune.units.config import UnitConfig, match, parse_config, remade
from onnxprune.units.framework import framework_of, graph_of

__all__ = ["ChannelMutator"]


class UnitsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How units are made.

    Attributes:
        type: The name of a kind of unit.
        default_args: What every unit is made with.
        units: The config of single units by name, or a JSON file that holds them.
    """

    type: str = "SequentialMutableChannelUnit"
    default_args: dict[str, Any] = {}
    units: dict[str, UnitConfig] | str = {}


class ParseConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Where units come from.

    Attributes:
        type: ``ChannelAnalyzer`` (all that the graph has), ``Config`` (those of the config, whose
            channels are checked against the graph) or ``Predefined`` (those that the model comes
            with).
        demo_input: The size of an image, or the inputs, that a torch module is traced with.
        tracer_type: Taken, and without effect: there is one tracer.
        from_cfg: The config's units only, as ``Config``.
    """

    type: str = "ChannelAnalyzer"
    demo_input: Any = None
    tracer_type: str = "BackwardTracer"
    from_cfg: bool = False


class ChannelMutator:
    """Holds the choices of all units of a model.

    Args:
        channel_unit_cfg: A kind of unit (its class or name), or a dict of ``type``,
            ``default_args`` and ``units`` (config by unit name, or the JSON file that holds them).
        parse_cfg: A dict of ``type`` (``ChannelAnalyzer``, ``Config``, ``Predefined``) and
            ``demo_input``. `config_template` writes both.

    Attributes:
        units: The units, after `prepare_from_supernet`.

    Raises:
        ChoiceError: If a config is malformed.
        OnnxPruneError: If there is no such kind of unit.

    Example::

        mutator = ChannelMutator("l1")
        mutator.prepare_from_supernet("resnet18.onnx")
        mutator.set_choices(mutator.sample_choices(seed=0))
        mutator.export_structure().to_json()
    """

    def __init__(
        self,
        channel_unit_cfg: str | type[MutableChannelUnit] | Mapping[str, Any] | None = None,
        parse_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(channel_unit_cfg, type):
            self._cfg, self._kind = UnitsConfig(_name(channel_unit_cfg)), channel_unit_cfg
        else:
            given = {"type": channel_unit_cfg} if isinstance(channel_unit_cfg, str) else None
            self._cfg = _converted(given or channel_unit_cfg or {}, UnitsConfig)
            self._kind = UNIT_KINDS.get(self._cfg.type)
        self._parse = _converted(parse_cfg or {}, ParseConfig)
        if self._parse.type not in ("ChannelAnalyzer", "Config", "Predefined"):
            raise ChoiceError(
                f"A parse_cfg has the type 'ChannelAnalyzer', 'Config' or 'Predefined', not "
                f"'{self._parse.type}'."
            )
        self._configs = _unit_configs(self._cfg.units)
        self._graph_units: Units | None = None
        self.units: Sequence[MutableChannelUnit] = ()
        self.named: dict[str, dict[str, Choice]] = {}

    def prepare_from_supernet(self, model: Any, example: Any = None) -> None:
        """Find the units of a model; the layers of a torch module follow them from then on.

        Args:
            model: A model in any form. A torch module is changed in place.
            example: The inputs that a torch module is traced with, instead of ``demo_input``.

        Raises:
            ChoiceError: If the config names a unit or a module that the model does not have, or
                leaves out places that depend on those that it names.
        """
        if self._parse.type == "Predefined":
            self.units = self._kind.init_from_predefined_model(model)
            self._graph_units = self.units if isinstance(self.units, Units) else None
            return
        inputs = self._parse.demo_input if example is None else example
        graph = graph_of(model, inputs)
        found = find_units(graph, self._kind, **self._cfg.default_args)
        configured = [self._configured(found, name, cfg) for name, cfg in self._configs.items()]
        only = self._parse.type == "Config" or self._parse.from_cfg
        self._graph_units = found
        self.units = configured if only else found
        framework = framework_of(model)
        if framework is not None:
            framework.follow(found, model, inputs)

    prepare = prepare_from_supernet

    def _configured(self, found: Units, name: str, config: UnitConfig) -> MutableChannelUnit:
        """The unit of a config, made as it says, in the place of the one that was found."""
        named = found[name] if config.channels is None else match(found, config)
        args = {**self._cfg.default_args, **config.init_args}
        size = args.get("num_channels", named.num_channels)
        if size != named.num_channels:
            raise ChoiceError(
                f"The unit '{name}' has {named.num_channels} channels; its config says {size}."
            )
        unit = remade(named, self._kind, UnitConfig(args, config.channels, config.choice))
        found.replace(unit)
        return unit

    @property
    def mutable_units(self) -> list[MutableChannelUnit]:
        """The units that may lose channels."""
        return [unit for unit in self.units if unit.is_mutable]

    @property
    def current_choices(self) -> dict[str, Any]:
        """What every mutable unit keeps, as its mode tells it."""
        return {unit.name: unit.current_choice for unit in self.mutable_units}

    @property
    def choice_template(self) -> dict[str, Any]:
        """The form of a choice for all units: the current one."""
        return self.current_choices

    def sample_choices(self, kind: str = "random", seed: int | None = None) -> dict[str, Any]:
        """A choice for every mutable unit.

        Args:
            kind: ``random``; or ``max`` or ``min``, the most or the fewest channels.
            seed: Decides the random ones.

        Raises:
            ChoiceError: If there is no such kind.
        """
        if kind == "random":
            seeds = np.random.SeedSequence(seed).generate_state(len(self.mutable_units))
            units = zip(self.mutable_units, seeds, strict=True)
            return {unit.name: unit.sample_choice(int(seed)) for unit, seed in units}
        if kind in ("max", "min"):
            return {unit.name: unit.extreme_choice(kind == "max") for unit in self.mutable_units}
        raise ChoiceError(f"Choices are sampled 'random', 'max' or 'min', not '{kind}'.")

    def set_choices(self, choices: Mapping[str, Any]) -> None:
        """Set what units keep; those that are not named stay as they are.

        Args:
            choices: Unit -> a count, a ratio, a mask or indices.

        Raises:
            ChoiceError: If there is no such unit, or a choice does not fit; nothing is changed
                then.
        """
        masks = self._chosen(choices)
        for unit, mask in masks:
            unit.check_mask(mask)
        for unit, mask in masks:
            unit.set_mask(mask)

    def _chosen(self, choices: Mapping[str, Any]) -> list[tuple[MutableChannelUnit, Any]]:
        names = {unit.name: unit for unit in self.units}
        masks = []
        for name, choice in choices.items():
            if name not in names:
                near = difflib.get_close_matches(str(name), names, 3, 0.3)
                hint = f"; near are: {', '.join(near)}" if near else ""
                raise ChoiceError(f"The model has no unit '{name}'{hint}.")
            masks.append((names[name], names[name].mask_of(choice)))
        return masks

    def fix_channel_mutables(self) -> None:
        """Let nobody change the choices any more."""
        for unit in self.mutable_units:
            unit.fix_chosen()

    def config_template(
        self,
        only_mutable_units: bool = False,
        with_unit_init_args: bool = False,
        with_channels: bool = False,
    ) -> dict[str, Any]:
        """The configs that this mutator can be made of again, as plain data.

        Args:
            only_mutable_units: Leave out the units that must stay whole.
            with_unit_init_args: Say what every unit was made with.
            with_channels: Say where the channels of every unit stand.

        Returns:
            ``type``, ``channel_unit_cfg`` and ``parse_cfg``.
        """
        units = self.mutable_units if only_mutable_units else self.units
        cfg = {
            "type": self._cfg.type,
            "default_args": self._cfg.default_args,
            "units": {u.name: u.config_template(with_unit_init_args, with_channels) for u in units},
        }
        demo = self._parse.demo_input
        return {
            "type": type(self).__name__,
            "channel_unit_cfg": cfg,
            "parse_cfg": {
                "type": self._parse.type,
                "demo_input": list(demo) if isinstance(demo, Sequence) else None,
                "tracer_type": self._parse.tracer_type,
            },
        }

    @classmethod
    def init_from_config(cls, config: Mapping[str, Any] | str | os.PathLike[str]) -> ChannelMutator:
        """A mutator out of what `config_template` gave, or a JSON file of it.

        Raises:
            ChoiceError: If it is malformed.
        """
        if isinstance(config, str | os.PathLike):
            config = _read_json(config)
        if config.get("type", cls.__name__) != cls.__name__:
            raise ChoiceError(f"The config is of a {config['type']}, not of a {cls.__name__}.")
        return cls(config.get("channel_unit_cfg"), config.get("parse_cfg"))

    @property
    def subnets(self) -> list[dict[str, Any]]:
        """The networks of slimmable units: the i-th candidates of all of them are the i-th.

        Raises:
            ChoiceError: If the units have no candidates, or not equally many.
        """
        units = self.mutable_units
        slimmable = [unit for unit in units if isinstance(unit, SlimmableChannelUnit)]
        counts = {len(unit.candidate_choices) for unit in slimmable}
        if len(slimmable) < len(units) or len(counts) > 1:
            raise ChoiceError(
                "Subnets need slimmable units with equally many candidates each; these have "
                f"{', '.join(map(str, sorted(counts))) or 'none'}."
            )
        number = counts.pop() if counts else 0
        return [{u.name: u.candidate_choices[i] for u in slimmable} for i in range(number)]

    def name_subnet(self, name: str) -> None:
        """Keep the current choices under a name; `export_structure` writes them too."""
        self.named[name] = self._structure().units

    def set_subnet(self, name: str) -> None:
        """Set the choices that were kept under a name.

        Raises:
            ChoiceError: If there is no such name.
        """
        Choices({}, subnets=self.named).subnet(name).apply(self.graph_units)

    def export_structure(self) -> Choices:
        """The current choices and the named ones, as counts and indices, for a file.

        Raises:
            ChoiceError: If the units do not come from a graph.
        """
        structure = self._structure()
        structure.subnets = dict(self.named)
        return structure

    def load_structure(self, structure: Choices | str | os.PathLike[str]) -> None:
        """Set the choices, and the named ones, that `export_structure` gave.

        Raises:
            ChoiceError: If they are for another model, or the file is malformed.
        """
        choices = structure if isinstance(structure, Choices) else read_choices(structure)
        choices.apply(self.graph_units)
        self.named = dict(choices.subnets)

    def _structure(self) -> Choices:
        return Choices.of(self.graph_units)

    @property
    def graph_units(self) -> Units:
        """All units of the graph, to prune and verify by.

        Raises:
            ChoiceError: If the units do not come from a graph.
        """
        if self._graph_units is None:
            raise ChoiceError(
                "A structure needs the units of a graph; call prepare_from_supernet, and not for "
                "a predefined torch module."
            )
        return self._graph_units


def _name(kind: type[MutableChannelUnit]) -> str:
    """The name under which a kind is registered; its own if it is not."""
    names = [name for name in UNIT_KINDS if UNIT_KINDS.get(name) is kind]
    return names[0] if names and kind.__name__ not in names else kind.__name__


def _converted(config: Any, form: Any) -> Any:
    try:
        return msgspec.convert(config, form)
    except msgspec.ValidationError as error:
        raise ChoiceError(f"The config of a ChannelMutator is malformed ({error}).") from None


def _unit_configs(units: Mapping[str, UnitConfig] | str) -> dict[str, UnitConfig]:
    """The config of each unit."""
    if not isinstance(units, str):
        return dict(units)
    return {name: parse_config(config, units) for name, config in _read_json(units).items()}


def _read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ChoiceError(f"{path}: the config cannot be read ({error.strerror}).") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ChoiceError(f"{path}: the file does not hold a config ({error}).") from error
