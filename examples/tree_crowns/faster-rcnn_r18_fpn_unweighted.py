# Faster R-CNN on a mix of real and rendered tree crowns: a stock mmdetection config without weights.
#
# `headweights demo crowns` makes the data and trains this config. Afterwards you can also train it with mmdetection's tools:
#     python tools/train.py examples/tree_crowns/faster-rcnn_r18_fpn_unweighted.py
# It is small on purpose: two CPU cores train it in minutes.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'mmdet::_base_/default_runtime.py']

# The folder with the data sets of `headweights demo crowns`. The environment variable TREE_CROWNS overrides it.
data_root = '{{$TREE_CROWNS:work_dirs/demo/crowns/data}}/'

# ---------------------------------------------------------------------------------------------------------------- model
# ResNet-18 with half the usual width, from scratch: `init_cfg=None`, so there is nothing to download.
# Group instead of batch normalisation: a batch mixes real and rendered images, and running statistics of mostly rendered images
# would be wrong for the real test images. GN normalises each image separately.
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        depth=18,
        base_channels=32,
        frozen_stages=-1,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        norm_eval=False,
        init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        # Crowns are about as high as wide (one ratio), and 4 to 54 pixels wide: anchors of 8 to 90 pixels, two sizes per level.
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            octave_base_scale=2,
            scales_per_octave=2,
            ratios=[1.0],
            strides=[4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=1)),
    # Tiles are small: fewer priors, proposals and RoIs than for COCO's images.
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)))

# ----------------------------------------------------------------------------------------------------------------- data
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    # An aerial image can be flipped in every direction.
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion'),
]
real_pipeline = [*load, dict(type='PackDetInputs')]
rendered_pipeline = [*load, dict(type='PackDetInputs')]

real = dict(
    type='CocoDataset',
    data_root=data_root + 'real/',
    ann_file='annotations.json',
    data_prefix=dict(img='images/'),
    metainfo=dict(classes=('tree', ), dataset_name='real'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=real_pipeline)
rendered = dict(
    type='CocoDataset',
    data_root=data_root + 'rendered/',
    ann_file='annotations.json',
    data_prefix=dict(img='images/'),
    metainfo=dict(classes=('tree', ), dataset_name='rendered'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=rendered_pipeline)

train_dataloader = dict(
    batch_size=8,
    # Reading a small tile takes one or two milliseconds, too little for workers on two cores. With a GPU, use num_workers=4 and
    # persistent_workers=True.
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='ConcatDataset', datasets=[real, rendered]))

# The held-out tiles are from other places than the real training tiles, two of them in other states.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    # Changes nothing, but CocoMetric needs the `scale_factor` that Resize sets.
    dict(type='Resize', scale_factor=1.0),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root + 'held_out/',
        ann_file='annotations.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('tree', )),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'held_out/annotations.json', metric='bbox')
test_evaluator = val_evaluator

# ------------------------------------------------------------------------------------------------------------- schedule
train_cfg = dict(type='IterBasedTrainLoop', max_iters=450, val_interval=450)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10.0))
# Without an `end`, the cosine ends with the training.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=25),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.02),
]

# -------------------------------------------------------------------------------------------------------------- runtime
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=10),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=-1, save_last=True))
log_processor = dict(type='LogProcessor', window_size=10, by_epoch=False)
