"""`headweights report`: one HTML page with the settings and results of one training run, or of several side by side.

It reads only the files that a run writes, without torch or mmdetection. The modules: `log` reads the curves from `scalars.json`,
`record` the data sets, heads and weights from `headweights.json`, and `settings` the dumped config; `run` combines the three;
`words`, `pictures`, `charts` and `tables` prepare what the page shows; `page` writes it (`write_report`). An adapter for another
framework writes the same two files or creates a `Run` itself.
"""
