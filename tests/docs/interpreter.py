"""Runs blocks of Python inside a Django project, one after the other, in one namespace.

A process of its own: it reads one JSON string (the code) a line from stdin and answers with one JSON
object a line. A block may await at its top level; all such blocks share one event loop.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import sys
import traceback


def main() -> None:
    import django

    django.setup()
    names: dict[str, object] = {"__name__": "__main__"}
    answers, sys.stdout = sys.stdout, sys.stderr
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            where, code = json.loads(line)
            printed, problem = io.StringIO(), ""
            try:
                compiled = compile(code, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                with contextlib.redirect_stdout(printed):
                    if compiled.co_flags & inspect.CO_COROUTINE:
                        runner.run(eval(compiled, names))  # type: ignore[arg-type]  # noqa: S307 - our own documents
                    else:
                        exec(compiled, names)  # noqa: S102
            except BaseException:
                problem = traceback.format_exc()
            print(json.dumps({"printed": printed.getvalue(), "problem": problem}), file=answers, flush=True)


if __name__ == "__main__":
    main()
