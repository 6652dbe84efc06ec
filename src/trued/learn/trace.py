"""Reading the inside of modules that stay as they are.

Knows modules and their hooks. Knows nothing of what the modules compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from trued.errors import InputError


class _Reached(BaseException):
    pass


def output_of(module: nn.Module, call: Callable[[], Any]) -> Tensor:
    """Return what `module` puts out during `call`, which is cut off there: what comes after it is not computed.

    The output keeps its gradient. Where the module puts out a tuple, as decoder layers of some families do, its first
    part is returned.

    Args:
        module: a part of the model that `call` runs.
        call: runs the model.

    Raises:
        InputError: the call ends without the module having run.
    """
    outputs: list[Any] = []

    def leave(_module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs.append(output)
        raise _Reached

    handle = module.register_forward_hook(leave)
    try:
        call()
    except _Reached:
        return outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]
    finally:
        handle.remove()
    raise InputError(f"the {type(module).__name__} whose output is wanted took no part in the call")


def outputs_of(modules: Mapping[str, nn.Module], call: Callable[[], Any]) -> dict[str, Tensor]:
    """Return what each of several modules puts out during `call`, which runs to its end.

    Of a module that runs more than once, the last output is returned; of a tuple or a model's output, the first part.

    Args:
        modules: name → part of the model that `call` runs.
        call: runs the model.

    Raises:
        InputError: the call ends without one of the modules having run.
    """
    outputs: dict[str, Tensor] = {}

    def note(name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs[name] = output if isinstance(output, Tensor) else output[0]

        return keep

    handles = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    try:
        call()
    finally:
        for handle in handles:
            handle.remove()
    if missing := [name for name in modules if name not in outputs]:
        raise InputError(f"'{missing[0]}', whose output is wanted, took no part in the call")
    return {name: outputs[name] for name in modules}
