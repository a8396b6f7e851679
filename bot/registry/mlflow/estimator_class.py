"""Read the class of a model from its file's bytes, without loading, importing, or calling anything in it.

A pickle is a program for a small stack machine. This module executes its instructions on names instead of objects.
"""

from __future__ import annotations

import json
import pickletools
import re
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

MAX_OPCODES = 200_000  # of a pickle; a forest of 300 trees has 20,000, and 1,000,000 would take seconds
MAX_SCHEMA_BYTES = 4_000_000  # of a skops file's schema
MAX_NESTING = 10  # of pipelines in pipelines
_PIPELINE = "Pipeline"
_CLASS_NAME = re.compile(r"[^\W\d]\w{0,99}")
_FILL_OPCODES = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"})
_CONSTRUCT_OPCODES = frozenset({"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST"})
_MEMO_PUT_OPCODES = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_MEMO_GET_OPCODES = frozenset({"GET", "BINGET", "LONG_BINGET"})
_MARK = object()


@dataclass(slots=True, eq=False)
class _PickledObject:
    """An object that a pickle creates: the name of its class or function, and the parts that it's built from."""

    class_name: str = ""
    parts: list[Any] = field(default_factory=list)


def pickled_class_name(data: bytes) -> str | None:
    """Return the class name of a pickled model, or of a pipeline's last step; None if it can't be determined.

    `data` can be truncated, because a pickle starts with the class. Only a pipeline's last step needs the whole pickle.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for count, (opcode, arg, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                return _class_name_of(stack[-1], is_complete=True)
            if count == MAX_OPCODES:
                break
            _execute_opcode(opcode, arg, stack, memo)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError):
        pass  # truncated, or not a pickle
    return _class_name_of(stack[0], is_complete=False) if stack else None


def skops_class_name(data: bytes) -> str | None:
    """Return the class name of a model in a skops file, or of a pipeline's last step; None if there's none.

    A skops file is a ZIP archive with a JSON schema, so it can't be truncated.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive, archive.open("schema.json") as schema:
            document = json.loads(schema.read(MAX_SCHEMA_BYTES))
        for _ in range(MAX_NESTING):
            if document["__class__"] != _PIPELINE:
                return valid_class_name(document["__class__"])
            document = document["content"]["content"]["steps"]["content"][-1]["content"][1]
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
    ):
        return None
    return None


def _execute_opcode(opcode: pickletools.OpcodeInfo, arg: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """Execute one instruction on the stack, with names in place of objects."""
    name = opcode.name
    if name in _MEMO_PUT_OPCODES:
        memo[len(memo) if arg is None else int(arg)] = stack[-1]
    elif name in _MEMO_GET_OPCODES:
        stack.append(memo[int(arg)])
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "GLOBAL":
        stack.append(_PickledObject(str(arg).replace(" ", ".")))
    elif isinstance(arg, str) and not opcode.stack_before:
        stack.append(arg)
    else:
        operands = _pop_operands(opcode, stack)
        if name == "STACK_GLOBAL":
            stack.append(_PickledObject(f"{operands[0]}.{operands[1]}"))
        elif name in _FILL_OPCODES:
            operands[0].parts += operands[1:]
            stack.append(operands[0])
        elif name in _CONSTRUCT_OPCODES:
            stack.append(_construct(operands, arg))
        else:
            stack.extend(_PickledObject(parts=operands) for _ in opcode.stack_after)


def _pop_operands(opcode: pickletools.OpcodeInfo, stack: list[Any]) -> list[Any]:
    """Pop and return an instruction's operands: a fixed number and, if it uses a mark, all that's above the mark."""
    before = opcode.stack_before
    after_mark: list[Any] = []
    if pickletools.markobject in before:
        before = before[: before.index(pickletools.markobject)]
        while (operand := stack.pop()) is not _MARK:
            after_mark.append(operand)
    operands = [stack.pop() for _ in before]
    return operands[::-1] + after_mark[::-1]


def _construct(operands: list[Any], arg: Any) -> _PickledObject:
    if isinstance(arg, str):  # INST names its class
        return _PickledObject(arg.replace(" ", "."), operands)
    maker, *parts = operands
    if maker.class_name in {"copyreg._reconstructor", "copy_reg._reconstructor"}:  # its operand is the class
        maker = parts[0].parts[0]
    return _PickledObject(maker.class_name, parts)


def _class_name_of(top: Any, *, is_complete: bool) -> str | None:
    for _ in range(MAX_NESTING):
        name = top.class_name.rpartition(".")[2] if isinstance(top, _PickledObject) else ""
        if name != _PIPELINE:
            return valid_class_name(name)
        last = _last_step(top) if is_complete else None
        if last is None:
            return None
        top = last
    return None


def _last_step(pipeline: _PickledObject) -> Any:
    """Return the estimator of a pipeline's last step; each step is a name and an estimator."""
    try:
        state = pipeline.parts[-1].parts
        steps = next(value for key, value in zip(state[::2], state[1::2], strict=False) if key == "steps")
        return steps.parts[-1].parts[1]
    except (AttributeError, IndexError, TypeError, StopIteration):
        return None


def valid_class_name(name: object) -> str | None:
    """Return the name if it's a valid class name, else None."""
    return name if isinstance(name, str) and _CLASS_NAME.fullmatch(name) else None
