"""Makes the virtual environment of the Python tests, once, and prints the path of its interpreter.

Usage: python3 python-environment.py DIRECTORY SECONDS REQUIREMENT... Exit code 3: it can't be made here; the last line of
standard error says why. Of two that start at the same time one makes it and the other waits for it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys

directory, seconds, requirements = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
wanted = " ".join(requirements)
# A name of its own for each interpreter and version: what an older one made is no use to a newer one.
place = os.path.join(directory, f"{'-'.join(requirements).replace('==', '-')}-python{sys.version_info[0]}.{sys.version_info[1]}")
python = os.path.join(place, "bin", "python")
# Written last: an environment without it was interrupted while it was made.
ready = os.path.join(place, "holt-ready")


def give_up(reason):
    print(reason, file=sys.stderr)
    sys.exit(3)


def out_of_time(_signal, _frame):
    raise TimeoutError


def run(what, *command):
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode != 0:
        lines = [line for line in made.stdout.splitlines() if line.strip()]
        give_up(f"{what}: {lines[-1] if lines else f'exit code {made.returncode}'}")


def make():
    shutil.rmtree(place, ignore_errors=True)
    run("python3 -m venv does not work here", sys.executable, "-m", "venv", place)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run(f"{wanted} can not be installed (is the package index within reach?)", *pip, "install", "--quiet", "--retries", "2", *requirements)
    with open(ready, "w") as file:
        file.write(wanted)


signal.signal(signal.SIGALRM, out_of_time)
signal.alarm(seconds)
os.makedirs(directory, exist_ok=True)
try:
    # The kernel takes the lock away from a process that dies.
    with open(os.path.join(directory, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(ready) or subprocess.run([python, "-c", "import openai"], capture_output=True).returncode:
            make()
except TimeoutError:
    give_up(f"{wanted} was not installed within {seconds} s")
print(python)
