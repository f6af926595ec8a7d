"""Which object each prediction of an mmdetection head is matched to: the head is listened to while it computes its loss.

Each way in which heads match their predictions is a class here. `samples`: a sampler lists the objects of the RoIs that it drew.
`assigned`: an assigner gives each prior the number of its object, and `listening` records the numbers. `points`: points take the
smallest box around them, or become boxes. `queries`: an assigner matches the queries of every decoder layer.
"""
