"""Reads a run of mmengine from its work_dir, `<work_dir>/<timestamp>/vis_data/`, or from one session's folder in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headweights.report.runs.mmengine_config import read_settings
from headweights.report.runs.mmengine_log import SCALARS, read_log
from headweights.report.runs.run import Run, RunReader
from headweights.run_record.schema import RECORD

VIS_DATA = "vis_data"
# The main settings, by their paths in a config.
_MAIN = {
    "model": "model.type",
    "optimizer": "optim_wrapper.optimizer.type",
    "learning rate": "optim_wrapper.optimizer.lr",
    "iterations": "train_cfg.max_iters",
    "epochs": "train_cfg.max_epochs",
    "batch size": "train_dataloader.batch_size",
    "seed": "randomness.seed",
    "initial checkpoint": "load_from",
}


class MMEngineReader(RunReader):
    """Reads the log, the record and the dump of the config."""

    log = f"<timestamp>/{VIS_DATA}/{SCALARS} of mmengine's LocalVisBackend"

    def owns(self, folder: Path) -> bool:
        """Whether a session's `vis_data` has a log or a record."""
        return bool(_sessions(folder))

    def read(self, folder: Path) -> Run:
        """Reads the run. Later sessions replace what they trained anew."""
        sessions = _sessions(folder)
        run = Run(folder.name, folder, read_log(sessions), framework="mmengine", sessions=[path.parent.name for path in sessions])
        run.notes += run.log.notes
        run.read_record(sessions[::-1])
        _read_config(run, sessions)
        _note_end(run)
        return run


def _sessions(work_dir: Path) -> list[Path]:
    if (work_dir / SCALARS).is_file():
        return [work_dir]
    candidates = [work_dir / VIS_DATA, *(folder / VIS_DATA for folder in sorted(work_dir.iterdir()) if folder.is_dir())]
    return [folder for folder in candidates if (folder / SCALARS).is_file() or (folder / RECORD).is_file()]


def _read_config(run: Run, sessions: Sequence[Path]) -> None:
    """Reads the last session's dump of the config, else the newest one in the work directory."""
    candidates = [folder / "config.py" for folder in reversed(sessions)]
    try:
        candidates += sorted(run.path.glob("*.py"), key=lambda path: path.stat().st_mtime, reverse=True)
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            run.notes.append("no dump of the config: its settings are unknown.")
        else:
            settings = read_settings(path)
            run.main = {name: settings.pop(setting, "") for name, setting in _MAIN.items()}
            run.settings = settings
    except OSError as error:
        run.notes.append(f"the config could not be read ({error.strerror}): its settings are unknown.")
    except ValueError as error:
        run.notes.append(f"the config {error}: its settings are unknown.")


def _note_end(run: Run) -> None:
    """Notes that the log ends early: by at least an interval of the logger, since mmengine does not log every last iteration."""
    steps = next((curve.steps for curve in run.log.training.values()), [0])
    interval = steps[-1] - (steps[-2] if len(steps) > 1 else 0)
    for name, reached, least in (("iterations", run.log.last_step, interval), ("epochs", run.log.epoch, 1)):
        planned = run.main.get(name, "")
        if planned.isdecimal() and reached and int(planned) - reached >= max(least, 1):
            run.note_end(f"{reached:,} of {int(planned):,} {name}")
