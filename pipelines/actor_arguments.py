"""What actors are made of travels with the order to make them, which the cluster's head keeps.

Ray Data puts it into the object store instead, from where an actor that is started again takes it
anew: it cannot start where the object is lost or the driver has dropped it. Ray warns of that by a
line of level E in every run (ray-project/ray 53727).
"""

from typing import Any
from uuid import uuid4

import ray
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator


def send_with_actors() -> None:
    """Have it so in this process; what is larger than 100 kB Ray puts away as before."""
    operator: Any = ActorPoolMapOperator
    operator._map_transformer_ref = property(lambda self: self._map_transformer)
    operator._data_context_ref = property(lambda self: self.data_context)


def kept_actor(kind: Any, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    """An actor of a remote class: its handle, which keeps it alive, and one that does not.

    The second may be what other actors are made of: nothing in the object store goes with it.
    """
    name = f"geoclip-{uuid4().hex}"
    kept = kind.options(name=name, **options).remote(*arguments)
    return kept, ray.get_actor(name)
