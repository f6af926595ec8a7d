# An ATSS small enough for one core: ResNet-18 with a quarter of its width and without its last stage, two levels.
_base_ = ["mmdet::atss/atss_r50_fpn_1x_coco.py"]

model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        frozen_stages=-1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64], out_channels=64, start_level=0, add_extra_convs=False, num_outs=2),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type="BN", requires_grad=True),
        anchor_generator=dict(_delete_=True, type="AnchorGenerator", scales=[2.5], ratios=[1.0], strides=[8, 16]),
    ),
    test_cfg=dict(nms_pre=100, max_per_img=50),
)
