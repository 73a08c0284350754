"""Run a stage over truncated or bit-flipped inputs, and report how each run ended.

The worker is a separate process, because a crash in C code ends it: ``python damage_worker.py`` in
a run folder, with the task as JSON on stdin and a line of JSON for each run on stdout.
"""

import hashlib
import importlib
import json
import random
import shutil
import sys
import traceback
from pathlib import Path

from witw.errors import UserError


def damaged(body, rng, how):
    """Return the bytes truncated somewhere, or with one bit flipped."""
    if how == "cut":
        # Mostly near the ends, because formats check heads and tails.
        at = rng.choice((0, 1, rng.randrange(len(body)), rng.randrange(len(body)), len(body) - 1))
        return body[:at], f"cut at {at} of {len(body)}"
    at, bit = rng.randrange(len(body)), rng.randrange(8)
    return body[:at] + bytes([body[at] ^ (1 << bit)]) + body[at + 1 :], f"bit {bit} of byte {at}"


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def digest(outputs):
    files = [f for out in outputs for f in ([out] if out.is_file() else sorted(out.rglob("*")))]
    # Snakemake records the time of a folder in a hidden file.
    shown = (f for f in files if f.is_file() and not f.name.startswith("."))
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in shown}


def attempt(module, argv):
    """Return how a stage ended: `done`, `told` with its sentence, or `broke` with its traceback."""
    try:
        module.main(argv)
    except UserError as error:
        return "told", str(error)
    except BaseException:
        return "broke", traceback.format_exc()
    return "done", ""


def main():
    task = json.load(sys.stdin)
    module = importlib.import_module(task["module"])
    if hasattr(module, "__path__"):  # a package: `python -m` runs its __main__
        module = importlib.import_module(f"{task['module']}.__main__")
    outputs = [Path(path) for path in task["outputs"]]
    for name in task["inputs"]:
        path = Path(name)
        whole = path.read_bytes()
        for number, how in enumerate(task["hows"]):
            rng = random.Random(f"{task['seed']} {name} {number}")
            body, what = damaged(whole, rng, how)
            for out in outputs:
                remove(out)
            path.write_bytes(body)
            end, said = attempt(module, task["argv"])
            path.unlink(missing_ok=True)
            path.write_bytes(whole)
            line = {"file": name, "how": how, "what": what, "end": end, "said": said}
            print(json.dumps(line | {"digest": digest(outputs)}), flush=True)


if __name__ == "__main__":
    main()
