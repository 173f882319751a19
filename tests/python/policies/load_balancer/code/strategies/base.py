"""What all strategies have in common."""

from abc import ABC, abstractmethod

registry = {}


class NoInstanceError(RuntimeError):
    """Nothing can take the packet."""


class Strategy(ABC):
    """Chooses one of some instances for a packet. A subclass is registered by its `name`."""

    name = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.name:
            registry[cls.name] = cls

    def __init__(self, parameters):
        self.parameters = parameters

    @abstractmethod
    def choose(self, packet, instances, loads):
        """One of `instances`, which are never empty."""

    def forget(self, instance):
        """Drops what is remembered of an instance that is gone."""

    def __call__(self, packet, instances, loads):
        if not instances:
            raise NoInstanceError("there is no instance to balance to")
        return self.choose(packet, instances, loads)
