# The same training with a weight for each data set in each head. Heads and pipelines are unchanged.
_base_ = ["faster-rcnn_unweighted.py"]

custom_imports = dict(imports=["headweights.mmdet"], allow_failed_imports=False)

# Random labels say nothing about the class (0.1). Moved boxes, which overlap the correct ones by half, show where an object is
# (0.3), but not where its edges are (0.1). `normalize` keeps the mean weight of each loss at 1: no head learns faster or slower.
custom_hooks = [
    dict(
        type="LossWeightHook",
        normalize=True,
        weights=dict(
            wrong_labels={"roi_head.bbox_head.loss_cls": 0.1},
            wrong_boxes={"rpn_head": 0.3, "roi_head.bbox_head.loss_bbox": 0.1},
        ),
    )
]
