"""What `headweights report` shows: one page of what was set and what came out, of one training run or several side by side.

It reads the files that a run leaves and nothing else, without torch or mmdetection. From the files to the page: `log` (curves,
of `scalars.json`), `record` (data sets, heads and weights, of `headweights.json`), `settings` (of the config's dump), `run` (the
three together), `words`, `pictures`, `charts`, `tables` (what is shown of them) and `page` (the HTML file: `write_report`).
Another framework's adapter writes the same two files or makes a `Run` of its own.
"""
