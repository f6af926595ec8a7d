# The same training with a weight for each data set in each head. It changes only three things: the import, the types of
# two heads, and one step at the end of each pipeline.
_base_ = ['faster-rcnn_r18_fpn_unweighted.py']

custom_imports = dict(imports=['headweights.mmdet'], allow_failed_imports=False)

model = dict(
    rpn_head=dict(type='RPNHeadWithWeightPerImage'),
    roi_head=dict(bbox_head=dict(type='Shared2FCBBoxHeadWithWeightPerImage')))

# What is each data set good for?
#
#   16 real tiles       The appearance of crowns (needles, dead wood, grass as background), with about 130 crowns. Their boxes are
#                       drawn by hand: off by a pixel or two, and sometimes a small tree has none.
#   160 rendered tiles  The size and arrangement of crowns and their shadows, with two thousand crowns and exact boxes. Their
#                       appearance is wrong: a dome with clumps does not look like a pine.
#
# Without weights, ten of eleven images are rendered, for both heads. With weights:
#
#   RoI head  It classifies by appearance, and ten of eleven images have a wrong one. The two data sets get the same total weight:
#             16 x 5.5 = 160 x 0.55.
#   RPN head  It proposes blobs of the right size, and the rendered tiles have many of them, with exact boxes. They keep the larger
#             total weight. A real tile still weighs more than a rendered one, because its background is real: 16 x 2 and
#             160 x 0.9.
#
# In each head, the mean weight over all images is 1 (176 / 176). Neither head learns faster or slower than without weights.
fields = ['rpn_head.loss_weight', 'roi_head.loss_weight']
real_pipeline = _base_.real_pipeline + [dict(type='AddFieldToImgMetas', fields=fields, values=[2.0, 5.5])]
rendered_pipeline = _base_.rendered_pipeline + [dict(type='AddFieldToImgMetas', fields=fields, values=[0.9, 0.55])]

real = dict(_base_.real, pipeline=real_pipeline)
rendered = dict(_base_.rendered, pipeline=rendered_pipeline)
train_dataloader = dict(dataset=dict(datasets=[real, rendered]))
