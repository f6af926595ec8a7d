"""`headweights report`: one HTML page with the settings and results of one training run, or of several side by side.

It reads only the files that a run writes, without torch or mmdetection. The modules: `log` reads the curves from `scalars.json`;
`run` combines them with the record, `headweights.json`, and the settings in the dumped config; `words`, `pictures`, `charts` and
`tables` prepare what the page shows; `page` writes it (`write_report`). An adapter for another framework writes the same files or
creates a `Run` itself.
"""
