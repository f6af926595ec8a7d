"""The trainings: `trial` is one with mmengine's `Runner`, `worker` takes one after the other, `process` starts a worker."""
