"""What the processes of suspects are forked from (worker/suspects.py): the project, set up, and nothing else.

The standard library imports this in its fork server. It holds no thread, no loop and no connection, so that a
fork of it is in order. Should it fail here, each child sets the project up for itself and says what is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback


def _set_up() -> None:
    # The worker decides when its children end; a signal to the whole group is its affair. Before all else.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    from ardiq import isolated

    places = os.environ.get(isolated.NURSERY_PATH, "").split(os.pathsep)
    sys.path[:] = [place for place in places if place] or sys.path
    try:
        if isolated.set_up():
            from django.db import connections

            connections.close_all()
    except Exception:
        traceback.print_exc()


_set_up()
