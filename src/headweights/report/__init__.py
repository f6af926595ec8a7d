"""`headweights report`: one HTML page with the settings and results of one training run, or of several side by side.

It reads only the files that a run writes, without torch, mmdetection or transformers. `runs` reads the folders of mmengine and of
transformers' Trainer; `words`, `pictures`, `charts`, `tables` and `same` prepare what the page shows; `page` writes it
(`write_report`).
"""
