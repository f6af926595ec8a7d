"""Which class a label stands for, in data sets and metrics that read a COCO file.

mmdetection numbers classes in the order in which the annotation file lists them, and skips those that the file does not list. So
where ``metainfo['classes']`` has another order, or more classes, a class may be taken for another. `order` finds such data sets
and has them go by name, `metrics` does the same for metrics, and `by_name` has a data set and a metric that always go by name.
"""
