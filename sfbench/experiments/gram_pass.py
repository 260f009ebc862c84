"""Another name of :mod:`sfbench.statistics.sharded`: by place, not by import, for experiments import no statistics."""

from .._lazy import lazy_names

_NAMES = ("ShardSpec", "map_reduce_gram", "shard_statistics", "stream_gram")
__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(_NAMES, "sfbench.statistics.sharded"))
