"""Makes `.venv`: what `make demo` and `make test` run in. Standard library only; runs on any Python 3.

    python3 scripts/setup_env.py [transformers | upstream | oldest]

With `transformers` it makes `.venv-transformers`, without mmdetection: what `make demo FRAMEWORK=transformers` runs in.
With `upstream` it makes `.venv-upstream`, with upstream's mmdetection, mmcv and mmengine: what `make test-upstream` runs in.
With `oldest` it makes `.venv-oldest`, with the last transformers 4 and without mmdetection: what `make test-oldest` runs in.

The environment is complete or it is not: a stamp, written last, holds the checksum of everything that went into it. Where
the stamp is missing or differs (an interrupted set-up, other pins, a moved checkout) the environment is made anew. That is
cheap, because the one slow thing, the wheel of mmcv's compiled ops, is kept by pip for every later environment.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# The frameworks of each environment, and what only it has: files of requirements/. `.venv` is the one without a word.
FRAMEWORKS = {
    "": ("mmdet.txt", "transformers.txt", "site.txt"),
    "transformers": ("transformers.txt",),
    "upstream": ("mmdet-upstream.txt",),
    "oldest": ("transformers-oldest.txt",),
}
WORD = next((word for word in sys.argv[1:] if word in FRAMEWORKS), "")
VENV = os.path.join(ROOT, ".venv" + (WORD and "-" + WORD))
VENV_PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "setup-complete")
LOG = VENV + ".log"
LOCK = VENV + ".lock"
SPEAKER = "[set-up] "

PYTHONS = ((3, 10), (3, 11), (3, 12))
HEARTBEAT_SECONDS = 15
MEMORY_PER_COMPILER = 1.5 * 2**30

INPUTS = (
    "pyproject.toml",
    *("requirements/" + name for name in sorted(os.listdir(os.path.join(ROOT, "requirements")))),
    "scripts/setup_env.py",
    "scripts/cxx_with_torch_pch.sh",
)

# The compiled ops are there and were compiled against this torch: otherwise the import or the call fails.
OPS_WORK = """
import torch
from mmcv.ops import RoIAlign, nms
boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 10., 10.], [20., 20., 30., 30.]])
assert nms(boxes, torch.tensor([.9, .8, .7]), 0.5)[1].tolist() == [0, 2]
assert RoIAlign(2)(torch.ones(1, 1, 8, 8), torch.tensor([[0., 0., 0., 4., 4.]])).shape == (1, 1, 2, 2)
"""


class SetupError(Exception):
    """Set-up cannot go on; the message says what the reader can do."""


def say(text):
    print(SPEAKER + text, flush=True)


def duration(seconds):
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def requirements(name):
    """The pins in a file of requirements/."""
    with open(os.path.join(ROOT, "requirements", name)) as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def frameworks():
    """The pins of this environment's frameworks."""
    return [pin for name in FRAMEWORKS[WORD] for pin in requirements(name)]


def mmcv_requirement():
    """The pin of mmcv, e.g. 'onedl-mmcv==2.3.6'; None in an environment without it."""
    return next((pin for pin in frameworks() if "mmcv" in pin), None)


def mmcv_project():
    """Its name, e.g. 'onedl-mmcv'."""
    return mmcv_requirement().split("==")[0]


def version_of(python):
    """(major, minor) of a Python command, None where there is no such command."""
    try:
        out = subprocess.check_output([python, "-c", "import sys; print(*sys.version_info[:2])"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = out.split()
    return int(major), int(minor)


def find_python():
    """The Python to build on: $PYTHON, else the first supported one of python3, python3.12, python3.11, python3.10."""
    wanted = os.environ.get("PYTHON")
    candidates = [wanted] if wanted else ["python3", "python3.12", "python3.11", "python3.10"]
    for candidate in candidates:
        if version_of(candidate) in PYTHONS:
            return shutil.which(candidate) or candidate
    found = ", ".join(f"{c} is {version_of(c) or 'missing'}" for c in candidates)
    raise SetupError(f"Python 3.10, 3.11 or 3.12 is needed ({found}). Install one, or name it: make PYTHON=/path/to/python3.11")


def fingerprint(python):
    digest = hashlib.sha256(repr((ROOT, python, version_of(python))).encode())
    for name in INPUTS:
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def is_complete(expected):
    try:
        with open(STAMP) as file:
            return file.read() == expected
    except OSError:
        return False


class Progress:
    """Prints a line every HEARTBEAT_SECONDS while a step runs, so that no step is ever silent."""

    def __init__(self, step):
        self.step = step
        self.state = ""
        self.began = time.time()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self):
        while not self._over.wait(HEARTBEAT_SECONDS):
            state = self.state and self.state + ", "
            say(f"  {self.step}: {state}{duration(time.time() - self.began)}")

    def __enter__(self):
        say(self.step + " ...")
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._over.set()
        if kind is None:
            say(f"{self.step}: done in {duration(time.time() - self.began)}")


def run(step, command, env=None):
    """Runs a command with its output in the log, and shows how far it is; a failure shows the end of the log."""
    with Progress(step) as progress, open(LOG, "a") as log:
        log.write("\n$ " + " ".join(command) + "\n")
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env or os.environ.copy(),
            universal_newlines=True,
            errors="replace",
        )
        tail = []
        try:
            for line in process.stdout:
                log.write(line)
                log.flush()
                tail = ([*tail, line])[-25:]
                compiled = re.match(r"\s*\[(\d+)/(\d+)\]", line)  # ninja's own count
                if compiled:
                    progress.state = " of ".join(compiled.groups()) + " files"
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code:
            sys.stderr.write("".join(tail))
            raise SetupError(f"{step} failed (exit {code}). The whole output is in {LOG}")


def pip(*arguments):
    return [VENV_PYTHON, "-m", "pip", *arguments]


def install(step, *arguments, env=None):
    run(step, pip("install", "--no-input", "--progress-bar", "off", "--disable-pip-version-check", *arguments), env)


def cached_mmcv_wheels():
    """pip's own wheels of mmcv that fit this Python and the pinned version."""
    name = mmcv_requirement().replace("-", "_").replace("==", "-")
    project = mmcv_project().replace("-", "_")
    listing = subprocess.run(
        pip("cache", "list", project, "--format", "abspath"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    tag = "cp" + "".join(map(str, version_of(VENV_PYTHON)))
    return [p for p in listing.stdout.decode().split("\n") if os.path.basename(p).startswith(name + "-" + tag)]


def need_compiler():
    """A C++ compiler and Python's headers, tried on one tiny file: one clear line where they are missing."""
    cxx = os.environ.get("CXX", "c++")
    if shutil.which(cxx.split()[0]) is None:
        raise SetupError(
            f"no C++ compiler ({cxx}) to build mmcv's ops with. Install one: apt-get install g++ (Debian, Ubuntu) "
            "or dnf install gcc-c++ (Fedora). Or begin with transformers, which needs none: make demo FRAMEWORK=transformers"
        )
    include = subprocess.check_output(
        [VENV_PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('include'))"], universal_newlines=True
    ).strip()
    attempt = subprocess.run(
        [*cxx.split(), "-std=c++17", "-I" + include, "-fsyntax-only", "-x", "c++", "-"],
        input=b"#include <vector>\n#include <Python.h>\n",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if attempt.returncode:
        version = ".".join(map(str, version_of(VENV_PYTHON)))
        reason = attempt.stderr.decode(errors="replace")
        if "Python.h" in reason:
            raise SetupError(
                f"Python's headers (Python.h) are missing. Install them: apt-get install python{version}-dev (Debian, "
                f"Ubuntu) or dnf install python{version}-devel (Fedora). Or begin with transformers, which needs none: "
                "make demo FRAMEWORK=transformers"
            )
        first_line = reason.strip().split("\n")[0]
        raise SetupError(f"the C++ compiler {cxx} does not work: {first_line}")


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compile_jobs():
    """All cores, as far as memory goes."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return cores()
    return max(1, min(cores(), int(memory / MEMORY_PER_COMPILER)))


@contextlib.contextmanager
def compiler_environment():
    """The variables to compile mmcv's ops with: optimised, no debug info, CPU only, torch's headers parsed once."""
    with tempfile.TemporaryDirectory(prefix="headweights-pch-") as pch_dir:
        env = dict(os.environ)
        env["MAX_JOBS"] = str(compile_jobs())
        # Replaces Python's own flags, so the optimisation level has to be named.
        env["CFLAGS"] = "-O2 -g0 -DNDEBUG"
        # Without a CUDA compiler a visible GPU would stop the build; the demo and the tests run on the CPU.
        if not shutil.which("nvcc"):
            env["CUDA_VISIBLE_DEVICES"] = ""
        env["HEADWEIGHTS_CXX"] = os.environ.get("CXX", "c++")
        env["HEADWEIGHTS_PCH_DIR"] = pch_dir
        env["MMCV_WITH_OPS"] = "1"
        env["CXX"] = os.path.join(ROOT, "scripts", "cxx_with_torch_pch.sh")
        yield env


def install_mmcv():
    requirement = mmcv_requirement()
    arguments = ("-v", "--no-build-isolation", "--no-deps", requirement)
    if cached_mmcv_wheels():
        install("mmcv (pip holds its compiled wheel)", *arguments)
        if ops_work():
            return
        # pip's cache does not know which torch a wheel was compiled against.
        say("pip's wheel of mmcv does not fit this torch: compiling it anew")
        subprocess.run(pip("cache", "remove", mmcv_project().replace("-", "_")), stdout=subprocess.DEVNULL)
        subprocess.run(pip("uninstall", "-y", mmcv_project()), stdout=subprocess.DEVNULL)
    need_compiler()
    with compiler_environment() as env:
        install(f"compiling mmcv's ops on {env['MAX_JOBS']} cores, once for this machine", *arguments, env=env)
    if not ops_work():
        raise SetupError(f"mmcv was compiled but its ops do not run; see {LOG}")


def ops_work():
    with open(LOG, "a") as log:
        return subprocess.run([VENV_PYTHON, "-c", OPS_WORK], stdout=log, stderr=log).returncode == 0


def make_venv(python):
    if os.path.exists(VENV):
        shutil.rmtree(VENV)
    with open(LOG, "w") as log:
        made = subprocess.run([python, "-m", "venv", VENV], stdout=log, stderr=log)
    if made.returncode or subprocess.run(pip("--version"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        version = ".".join(map(str, version_of(python)))
        raise SetupError(
            f"{python} cannot make virtual environments. Install its venv module: "
            f"apt-get install python{version}-venv (Debian, Ubuntu)"
        )


def install_frameworks(pinned, mmcv):
    """All that the demo and the tests need."""
    others = [pin for pin in frameworks() if pin != mmcv]
    how = ("--no-build-isolation", "--no-deps", "--no-compile")
    install("the frameworks, the command line, the test tools", *how, "-r", pinned, *others)
    if mmcv:
        install_mmcv()
    if not WORD:  # read by tests/unit/mmdet/test_upstream.py
        wheel = requirements("mmdet-upstream.txt")[-1]
        run(
            "the wheel of upstream's mmdetection", pip("download", "-q", "--no-deps", "-d", os.path.join(VENV, "upstream"), wheel)
        )
    install("headweights", "--no-build-isolation", "--no-deps", "-e", ROOT)


def install_example(pinned):
    """What the example for transformers needs, and no test tools."""
    limits = ("-c", pinned, "-c", os.path.join(ROOT, "requirements", FRAMEWORKS[WORD][0]))
    wanted = ("-e", ROOT + "[transformers]", "scikit-learn", "pycocotools")
    install("transformers and headweights", "--no-build-isolation", "--no-compile", *limits, *wanted)


def set_up(python, expected):
    began = time.time()
    make_venv(python)
    mmcv = mmcv_requirement()
    if mmcv and not cached_mmcv_wheels():
        need_compiler()  # now, and not after the downloads
    pinned, torch, build = (os.path.join(ROOT, "requirements", name + ".txt") for name in ("pinned", "torch", "build"))
    # Most of what is installed is never imported: its bytecode can wait.
    install("torch", "--no-compile", "-c", pinned, "-r", torch)
    install("build tools", "--no-compile", "-r", build)
    if WORD == "transformers":
        install_example(pinned)
    else:
        install_frameworks(pinned, mmcv)
    with open(STAMP, "w") as file:
        file.write(expected)
    say(f"complete in {duration(time.time() - began)}")


def main():
    unknown = set(sys.argv[1:]) - set(FRAMEWORKS)
    if unknown:
        raise SetupError(f"no such environment: {', '.join(sorted(unknown))}")
    python = find_python()
    expected = fingerprint(python)
    with open(LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_complete(expected):
            set_up(python, expected)


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit("[set-up] " + str(error))
    except KeyboardInterrupt:
        sys.exit("\n[set-up] interrupted; the next run starts over")
