"""Send actors' arguments inside their creation tasks, which the cluster's head keeps.

Ray Data puts them into the object store instead, and a restarted actor reads them there: it cannot
start if the object is lost or the driver has dropped it. Ray warns of this with a line of level E
in every run (ray-project/ray 53727).
"""

from typing import Any
from uuid import uuid4

import ray
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator


def send_with_actors() -> None:
    """Switch this on in this process; Ray still stores arguments above 100 kB."""
    operator: Any = ActorPoolMapOperator
    operator._map_transformer_ref = property(lambda self: self._map_transformer)
    operator._data_context_ref = property(lambda self: self.data_context)


def kept_actor(kind: Any, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    """An actor of a remote class: its handle, which keeps it alive, and one that does not.

    The second may be an argument of other actors: nothing in the object store goes with it.
    """
    name = f"geoclip-{uuid4().hex}"
    kept = kind.options(name=name, **options).remote(*arguments)
    return kept, ray.get_actor(name)
