"""What can fail where a network computes: its memory, its device, and the compiler that makes it faster."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from trm_cli.errors import TRMError, UsageError, first_line

logger = logging.getLogger("trm_cli")
NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")  # of CUDA, CPU, Windows, cuBLAS
LOST_DEVICE = ("CUDA error", "cuDNN error", "HIP error")  # how torch begins where it raises no AcceleratorError


class CompilerError(UsageError):
    """torch.compile cannot do its work here; says why, and what to install or to change."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def is_lost_device(error: BaseException) -> bool:
    """Whether a GPU failed, or went away; nothing of this process can use it again."""
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and str(error).startswith(LOST_DEVICE)
    )


@contextmanager
def faults_translated(kind: type[TRMError], less: str) -> Iterator[None]:
    """Turn a lack of memory, or the loss of the device, into an error that says what to do.

    less  how to use less memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise kind(f"out of memory; {less}") from error
        if is_lost_device(error):
            raise kind(f"the device failed ({first_line(error)}); start again, or add --device cpu") from error
        raise


def compile_module(module: nn.Module, **how: Any) -> None:
    """Have torch compile a module at its first call; raises CompilerError where it cannot even begin.

    how  of torch.compile.
    """
    try:
        module.compile(**how)  # imports what makes its cache
    except (OSError, RuntimeError) as error:
        raise _compiler_error(error) from error


@contextmanager
def compiler_translated() -> Iterator[None]:
    """Turn what a compiled module raises when it is to be compiled, at any call, into CompilerError."""
    try:
        yield
    except RuntimeError as error:
        if "torch._dynamo" in sys.modules and isinstance(error, torch._dynamo.exc.TorchDynamoException):
            raise _compiler_error(error) from error
        raise


def stop_compiling() -> None:
    """Let all modules of this process compute as they are written, whatever was to be compiled."""
    torch.compiler.set_stance("force_eager")


def _compiler_error(error: BaseException) -> CompilerError:
    cause: BaseException = error
    while (inner := cause.__cause__) is not None:
        cause = inner
    if isinstance(cause, OSError):
        reason, todo = f"its cache cannot be written ({cause.strerror or cause})", "set TORCHINDUCTOR_CACHE_DIR"
    elif "No working C++ compiler" in str(cause):
        reason, todo = "there is no working C++ compiler", "install g++ or clang"
    else:
        reason, todo = f"the compiler failed ({first_line(cause)})", "see to it"
    return CompilerError(f"torch.compile: {reason}; {todo}")
