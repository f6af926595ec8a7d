# Faster R-CNN on two data sets. Both show cars and people, but one labels only the cars and the other only the people.
#
#     headweights check examples/unlabelled/faster-rcnn_r50_fpn_cars_people.py
#
# docs/unlabelled.md explains the block at the end.
_base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]

custom_imports = dict(imports=["headweights.mmdet"], allow_failed_imports=False)

# The environment variable CARS_PEOPLE overrides the folder of the data.
data_root = "{{$CARS_PEOPLE:data/cars_people}}/"
metainfo = dict(classes=("car", "person"))

model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))

# cars.json lists the category "car" only, people.json the category "person" only.
cars = dict(
    type="CocoDataset",
    data_root=data_root,
    ann_file="cars.json",
    data_prefix=dict(img="cars/"),
    metainfo=metainfo,
    pipeline=_base_.train_pipeline,
)
people = dict(cars, ann_file="people.json", data_prefix=dict(img="people/"))
train_dataloader = dict(dataset=dict(_delete_=True, type="ConcatDataset", datasets=[cars, people]))

# Both classes are labelled here. Otherwise a detection that is right would count as wrong.
held_out = dict(data_root=data_root, ann_file="held_out.json", data_prefix=dict(img="held_out/"), metainfo=metainfo)
val_dataloader = test_dataloader = dict(dataset=held_out)
val_evaluator = test_evaluator = dict(ann_file=data_root + "held_out.json")

custom_hooks = [
    dict(
        type="LossWeightHook",
        labelled=dict(cars="categories", people="categories"),
        # The RPN knows no classes: to it, a car without a box is background. So it learns less from the background.
        weights=dict(
            cars={"rpn_head.loss_cls.background": 0.3},
            people={"rpn_head.loss_cls.background": 0.3},
        ),
        # mmdetection numbers the classes that a file lists: without this line, it would label the people as cars.
        classes="by name",
    )
]
