"""The demo's work directory: what it may overwrite there, and what not."""

import shutil
from pathlib import Path

# Written first, so that a run that was stopped can be recognised and replaced.
MARK = "made-by-headweights-demo.txt"


def claim(work_dir: Path, parts: tuple[str, ...]) -> bool:
    """Makes `work_dir` ready for a run: empty, except for what a user may have put beside an earlier run.

    Args:
        work_dir: Made if it is not there.
        parts: The files and folders that a run makes in it. Those of an earlier run are removed.

    Returns:
        Whether there was an earlier run.

    Raises:
        FileExistsError: `work_dir` is a file, or holds files but no earlier run: nothing of it was touched.
    """
    if work_dir.exists() and not work_dir.is_dir():
        raise FileExistsError(f"{work_dir} is a file; name a folder")
    mark = work_dir / MARK
    earlier = mark.exists()
    if not earlier and work_dir.is_dir() and any(work_dir.iterdir()):
        raise FileExistsError(f"{work_dir} holds files that no demo has made; name another folder")
    work_dir.mkdir(parents=True, exist_ok=True)
    mark.write_text("headweights demo made this folder and replaces what it has made in it.\n", encoding="utf-8")
    for part in (work_dir / name for name in parts):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    return earlier
