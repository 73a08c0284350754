"""Check every locked version for known vulnerabilities: ``make audit``.

Exit 0: none is known for the packages checked; 1: some are known; 2: no package could be checked.

The check is not part of CI: it needs the network, and its result changes with the day, not the
code.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCKS = ("requirements.lock", "docs/site.lock", "tests/browser.lock", "tests/s3.lock")
SERVICES = ("pypi", "osv")  # the second is queried if the first has no answer


def ask(uv: str, lock: str, service: str) -> list[dict]:
    """Return a service's report on each locked package; an empty list if it does not answer."""
    command = [uv, "tool", "run", "--quiet", "--python", sys.executable, "pip-audit"]
    command += ["--requirement", lock, "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--vulnerability-service", service]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        return json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return []


def main() -> int:
    """Print the findings of each lock file."""
    worst = 0
    for lock in LOCKS:
        if not Path(lock).is_file():
            continue
        for service in SERVICES:
            told = ask(sys.argv[1], lock, service)
            asked = [one for one in told if "skip_reason" not in one]
            if asked:
                break
        else:
            print(
                f"{lock}: NOT AUDITED: no network, or an index that knows no vulnerabilities "
                f"(asked: {', '.join(SERVICES)}); run it where pypi.org or osv.dev answers."
            )
            worst = worst or 2
            continue
        known = [(one["name"], one["version"], v) for one in asked for v in one["vulns"]]
        print(f"{lock}: {len(asked)} versions asked for at {service}, {len(told) - len(asked)} not")
        for name, version, flaw in known:
            fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
            print(f"  {name} {version}: {flaw['id']}, mended in {fixed}")
        worst = 1 if known else worst
    return worst


if __name__ == "__main__":
    sys.exit(main())
