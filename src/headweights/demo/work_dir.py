"""The demo's work directory: what the demo may overwrite in it."""

import shutil
from pathlib import Path

# Written first, so that a stopped run can be recognised and replaced.
MARK = "made-by-headweights-demo.txt"


def claim(work_dir: Path, parts: tuple[str, ...]) -> bool:
    """Prepares `work_dir` for a run. Removes an earlier run, but no files that a user has put beside it.

    Args:
        work_dir: Created if it does not exist.
        parts: The files and folders that a run creates in it. Those of an earlier run are removed.

    Returns:
        Whether there was an earlier run.

    Raises:
        FileExistsError: `work_dir` is a file, or contains files but no earlier run. Nothing was changed.
    """
    if work_dir.exists() and not work_dir.is_dir():
        raise FileExistsError(f"{work_dir} is a file; name a folder")
    mark = work_dir / MARK
    earlier = mark.exists()
    if not earlier and work_dir.is_dir() and any(work_dir.iterdir()):
        raise FileExistsError(f"{work_dir} contains files that no demo has made; name another folder")
    work_dir.mkdir(parents=True, exist_ok=True)
    mark.write_text("headweights demo made this folder. It replaces its own files here.\n", encoding="utf-8")
    for part in (work_dir / name for name in parts):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    return earlier
