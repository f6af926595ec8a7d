# Faster R-CNN on digits in scenes, three data sets with different kinds of errors: a stock mmdetection config without weights.
#
# `headweights demo` makes the data, pretrains the detector (faster-rcnn_pretraining.py) and trains this config. Afterwards you
# can also train it with mmdetection's tools:
#     python tools/train.py examples/digits_in_scenes/faster-rcnn_unweighted.py
# It is small on purpose: one CPU core trains it in half a minute.
_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py", "mmdet::_base_/default_runtime.py"]

# The folder with the data sets of `headweights demo`. The environment variable DIGITS_IN_SCENES overrides it.
data_root = "{{$DIGITS_IN_SCENES:work_dirs/demo/digits/data}}/"
classes = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# The detector was pretrained on printed letters. Layers whose shape depends on the classes keep their random parameters.
load_from = data_root + "pretrained.pth"

# ResNet-18 with a quarter of its width and without its last stage.
model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[16, 32, 64], out_channels=32, num_outs=3),
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(_delete_=True, type="AnchorGenerator", scales=[4], ratios=[1.0], strides=[4, 8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=1), out_channels=32, featmap_strides=[4, 8, 16]),
        bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=len(classes)),
    ),
    # Scenes are small: fewer priors, proposals and RoIs than for COCO's images, and half of the RoIs are positive.
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=100, max_per_img=40),
        rcnn=dict(sampler=dict(num=24, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=40), rcnn=dict(max_per_img=40)),
)

pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs")]
clean = dict(
    type="CocoDataset",
    data_root=data_root + "clean/",
    ann_file="annotations.json",
    data_prefix=dict(img="images/"),
    metainfo=dict(classes=classes, dataset_name="clean"),
    pipeline=pipeline,
)
wrong_labels = dict(clean, data_root=data_root + "wrong_labels/", metainfo=dict(classes=classes, dataset_name="wrong_labels"))
wrong_boxes = dict(clean, data_root=data_root + "wrong_boxes/", metainfo=dict(classes=classes, dataset_name="wrong_boxes"))
train_dataloader = dict(
    batch_size=8,
    # Reading a small scene takes about a millisecond, too little for workers on two cores.
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="ConcatDataset", datasets=[clean, wrong_labels, wrong_boxes]),
)

# The held-out digits were written by other people.
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        data_root=data_root + "held_out/",
        ann_file="annotations.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=classes),
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
test_dataloader = val_dataloader
val_evaluator = dict(type="CocoMetric", ann_file=data_root + "held_out/annotations.json", metric="bbox", classwise=True)
test_evaluator = val_evaluator

train_cfg = dict(type="IterBasedTrainLoop", max_iters=150, val_interval=150)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.01), clip_grad=dict(max_norm=10.0))
# Without an `end`, the cosine ends with the training.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, eta_min_ratio=0.02),
]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=10),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=-1, save_last=True),
)
log_processor = dict(type="LogProcessor", window_size=10, by_epoch=False)
