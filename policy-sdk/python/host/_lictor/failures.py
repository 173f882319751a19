"""From an exception to the `failure` that the caller sees."""

import json
import traceback

from componentize_py_types import Err
from wit_world.imports.lictor_policy_types import Failure

from . import files

# The host passes on details of 4096 bytes at most.
MAX_TRACEBACK = 3000
MAX_TEXT = 500


def failure(code: str, message: str, details: object = None) -> Err:
    text = None if details is None else json.dumps(details)
    return Err(Failure(code, message, text))


def of_exception(error: BaseException) -> Err:
    """What becomes of an exception that a policy let out.

    The codes `out_of_memory` and `stack_overflow` are outcomes of their own to the host.
    """
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        return failure("out_of_memory", f"the policy needed more memory than it has{where(error)}")
    if isinstance(error, RecursionError):
        return failure("stack_overflow", f"the policy recursed too deeply{where(error)}")
    if isinstance(error, SystemExit):
        return failure(kind, f"the policy called sys.exit({error.code!r}){where(error)}")
    text = cut(str(error), MAX_TEXT)
    details = {"type": kind, "message": text, "traceback": cut(own_traceback(error), MAX_TRACEBACK)}
    return failure(kind, f"{kind}: {text}" if text else kind, details)


def where(error: BaseException) -> str:
    frames = own_frames(traceback.extract_tb(error.__traceback__))
    return f" ({files.shown(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""


def own_traceback(error: BaseException) -> str:
    """The traceback with the policy's own lines only."""
    whole = traceback.TracebackException.from_exception(error, compact=True)
    link: traceback.TracebackException | None = whole
    seen = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.stack = traceback.StackSummary.from_list(own_frames(link.stack))
        link = link.__cause__ or link.__context__
    return "".join(whole.format()).replace(f'File "{files.ROOT}/', 'File "code/')


def own_frames(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    return [frame for frame in frames if files.is_own(frame.filename)]


def cut(text: str, most: int) -> str:
    """The text, or where it is longer its beginning and its end."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
