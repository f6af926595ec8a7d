# The weights of faster-rcnn_r18_fpn_weighted.py, which has their reasons, as one block. Heads and pipelines are unchanged.
_base_ = ['faster-rcnn_r18_fpn_unweighted.py']

custom_imports = dict(imports=['headweights.mmdet'], allow_failed_imports=False)

custom_hooks = [
    dict(
        type='LossWeightHook',
        weights=dict(
            real=dict(rpn_head=2.0, roi_head=5.5),
            rendered=dict(rpn_head=0.9, roi_head=0.55)))
]
