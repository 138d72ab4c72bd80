"""What `control.ts` does for the servers on Node, for those in Python."""

import gc
import os
import sys
import threading

# What the server is to do, "echo", "pieces" or "lines".
service = sys.argv[1]


def announce(port):
    print(port, flush=True)
    threading.Thread(target=_answer, daemon=True).start()


def _answer():
    for _ in sys.stdin:
        gc.collect()
        print("collected", flush=True)
    os._exit(0)
