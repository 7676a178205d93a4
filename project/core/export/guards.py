"""Lines of the net at which torch makes an assumption about the size of an input."""

import logging
import re
from pathlib import Path
from traceback import walk_stack
from types import TracebackType

from project.core.errors import is_library

_SHAPES = logging.getLogger("torch.fx.experimental.symbolic_shapes")
# Matched: torch logs `create_symbol s31 = 16 for L['tensors'][0].size()[2] ...`, `eval Eq(s31, 16) [guard added] ...`.
_CREATED = re.compile(r"create_symbol (\w+) = .* for L\['tensors'\]\[(\d+)\]\.size\(\)\[(\d+)\]")
_ADDED = re.compile(r"\w+ (Eq\(.*\)) \[guard added\]")


class GuardLog(logging.Handler):
    """Context manager that notes which line of the net is running when torch fixes the size of an input.

    Other messages of torch about sizes are hidden meanwhile.

    Example::

        with GuardLog() as guards:
            program = torch.export.export(...)
        guards.find_line(0, 2)  # "net.py:12", which fixes the height of the first input; empty if none does
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._symbols: dict[tuple[int, int], str] = {}  # of an input's dimension
        self._equations: list[tuple[str, str]] = []  # with the line of the net

    def __enter__(self) -> "GuardLog":
        self._before = _SHAPES.level, _SHAPES.propagate, _SHAPES.handlers
        _SHAPES.setLevel(logging.INFO)
        _SHAPES.propagate, _SHAPES.handlers = False, [self]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        level, _SHAPES.propagate, _SHAPES.handlers = self._before
        _SHAPES.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Note an equation."""
        text = record.getMessage()
        if created := _CREATED.match(text):
            self._symbols[int(created[2]), int(created[3])] = created[1]
        elif added := _ADDED.match(text):
            own = (frame for frame, _ in walk_stack(None) if not is_library(Path(frame.f_code.co_filename)))
            frame = next(own, None)
            if frame is not None:
                self._equations.append((added[1], f"{frame.f_code.co_filename}:{frame.f_lineno}"))

    def find_line(self, position: int, dimension: int) -> str:
        """Return `FILE:LINE` at which a dimension of an input is fixed; empty if it is unknown."""
        symbol = self._symbols.get((position, dimension))
        lines = [(equation, line) for equation, line in self._equations if re.search(rf"\b{symbol}\b", equation)]
        exact = [line for equation, line in lines if re.fullmatch(rf"Eq\({symbol}, \d+\)", equation)]
        return next(iter([*exact, *(line for _, line in lines)]), "")
