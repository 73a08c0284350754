"""Run Snakemake's command line in a process that has imported it: a dry run in half the time.

``python planner.py`` reads a JSON line for each command (``argv``, ``cwd``, ``env``) and runs
``snakemake.cli.main`` in a fork of itself, so that plans are independent. It responds with a line
of JSON: exit code and both outputs.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback


class Planner:
    """The process, started at the first command."""

    def __init__(self):
        self._process = None

    def run(self, argv, cwd, env):
        """Return exit code, stdout and stderr of ``snakemake ARGV``."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        print(json.dumps({"argv": argv, "cwd": str(cwd), "env": env}), file=self._process.stdin)
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()


def import_anew(paths):
    """Replace ``witw`` by that of another PYTHONPATH."""
    sys.path[1:1] = paths.split(os.pathsep)
    for name in [name for name in sys.modules if name.split(".")[0] == "witw"]:
        del sys.modules[name]


def plan(argv, cwd, env, outputs):
    """In the fork: become that command."""
    if env.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):
        import_anew(env.get("PYTHONPATH", ""))
    for number, file in enumerate(outputs, start=1):
        os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["snakemake", *argv]
    try:
        snakemake.cli.main(argv)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main():
    for line in sys.stdin:
        task = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                code = plan(task["argv"], task["cwd"], task["env"], (out, err))
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        print(json.dumps([code, *texts]), flush=True)


if __name__ == "__main__":
    import snakemake.cli

    import witw.config
    import witw.preflight
    import witw.spec  # noqa: F401

    main()
