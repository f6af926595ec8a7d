# The same training with a weight for each data set in each head. Compare with what it inherits: the import, the types of
# two heads and one step at the end of two pipelines are all that a configuration needs.
_base_ = ['faster-rcnn_r18_fpn_unweighted.py']

custom_imports = dict(imports=['headweights.mmdet'], allow_failed_imports=False)

model = dict(
    rpn_head=dict(type='RPNHeadWithWeightPerImage'),
    roi_head=dict(bbox_head=dict(type='Shared2FCBBoxHeadWithWeightPerImage')))

# What do the data sets know?
#
#   16 real tiles       What a crown looks like (needles, dead wood, the grass that is none) in some 130 of them. Their
#                       boxes were drawn by people: off by a pixel or two, and now and then a small tree has none.
#   160 rendered tiles  How large crowns are, how they stand, touch and cast shadows, in two thousand of them, with boxes
#                       that are exact. What they look like is wrong: a dome with clumps is no pine.
#
# Without weights ten images in eleven are rendered, for both heads. With them:
#
#   RoI head  It decides by appearance, and ten images in eleven would teach it one that does not exist. Both sets shall
#             pull equally hard: 16 x 5.5 = 160 x 0.55.
#   RPN head  It proposes blobs of the right size, which the rendered tiles teach well, in number and to the pixel. They
#             stay in the lead; a real one counts for more all the same, because its ground is real: 16 x 2 to 160 x 0.9.
#
# In each head the weights average 1 over all images (176 / 176), so that neither head learns faster or slower than it
# does without: what differs is from whom.
fields = ['rpn_head.loss_weight', 'roi_head.loss_weight']
real_pipeline = _base_.real_pipeline + [dict(type='AddFieldToImgMetas', fields=fields, values=[2.0, 5.5])]
rendered_pipeline = _base_.rendered_pipeline + [dict(type='AddFieldToImgMetas', fields=fields, values=[0.9, 0.55])]

real = dict(_base_.real, pipeline=real_pipeline)
rendered = dict(_base_.rendered, pipeline=rendered_pipeline)
train_dataloader = dict(dataset=dict(datasets=[real, rendered]))
