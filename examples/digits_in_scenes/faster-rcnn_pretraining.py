# The pretraining of the other two configs: the same detector on printed letters, all of them labelled correctly.
_base_ = ["faster-rcnn_unweighted.py"]

load_from = None
letters = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
model = dict(roi_head=dict(bbox_head=dict(num_classes=len(letters))))
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **dict(_base_.clean, data_root=_base_.data_root + "letters/", metainfo=dict(classes=letters, dataset_name="letters")),
    )
)
val_dataloader = None
val_evaluator = None
val_cfg = None
test_dataloader = None
test_evaluator = None
test_cfg = None
train_cfg = dict(max_iters=450, val_interval=450)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
