# The common part of all runs of the study: the loader of a mix, the held-out data and the schedule. `mixtures/run.py` adds the
# data sets, the weights, the seed and the folders.
load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="ConcatDataset", datasets=[]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        ann_file="annotations.json",
        data_prefix=dict(img="images/"),
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            # Changes nothing, but CocoMetric needs the `scale_factor` that Resize sets.
            dict(type="Resize", scale_factor=1.0),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
val_evaluator = dict(type="CocoMetric", metric="bbox")
train_cfg = dict(type="IterBasedTrainLoop", max_iters=300, val_interval=300)
val_cfg = dict(type="ValLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.01), clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, eta_min_ratio=0.02),
]
# Everything is kept except the parameters: the config and the log document a run and its results.
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=-1, save_last=False),
)
log_processor = dict(type="LogProcessor", window_size=20, by_epoch=False)
