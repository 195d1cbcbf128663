"""Run a command beside busy processes, as on a computer that is in use: `python -m benchmarks.busy 2 COMMAND`."""

from __future__ import annotations

import subprocess
import sys


def main(words: list[str]) -> int:
    """Run the command; its exit code."""
    count, command = int(words[0]), words[1:]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
