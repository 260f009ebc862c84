"""One tensor for every expert, travelling through a pipeline as one: prompts that experts encode differently.

A pipeline encodes its prompt once, before the loop, then repeats, joins and moves the embeddings. An
:class:`Alternatives` is a tensor that carries one value for each expert through all of that: every operation is done to
each of them. The hook hands each expert its own.
"""

from collections.abc import Callable
from typing import Any, final

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map


@final
class Alternatives(Tensor):
    """A tensor with one value for each of k experts; itself equal to the first."""

    each: tuple[Tensor, ...]

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do to every value what is asked of the tensor."""
        named = kwargs or {}
        return join([func(*pick(args, i), **pick(named, i)) for i in range(count((args, named)))])


def join(results: list[Any]) -> Any:
    """One thing out of k: tensors become alternatives, sequences of them are joined entry by entry."""
    first = results[0]
    if isinstance(first, Tensor):
        joined = first.as_subclass(Alternatives)
        joined.each = tuple(results)
        return joined
    if isinstance(first, tuple | list):
        return type(first)([join([result[j] for result in results]) for j in range(len(first))])
    return first


def pick(tree: Any, i: int) -> Any:
    """The same nest of tuples, lists and dicts with the i-th value of every alternative."""
    return tree_map(lambda leaf: leaf.each[i] if isinstance(leaf, Alternatives) else leaf, tree)


def count(tree: Any) -> int:
    """How many alternatives a nest carries; 0 for none."""
    return max((len(leaf.each) for leaf in tree_leaves(tree) if isinstance(leaf, Alternatives)), default=0)
