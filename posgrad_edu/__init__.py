"""posgrad_edu: build gradient-based saliency methods, flip one switch, measure what positive gradients take away.

>>> import posgrad_edu as pg
>>> clf = pg.load_classifier("efficientnet-lite0")
>>> photo = pg.load_photo("coffee")
>>> clf.explain(photo, "espresso", method="gradcam", handling="positive")  # in a notebook, a picture
>>> x = clf.preprocess(photo).unsqueeze(0)
>>> maps = pg.explain(clf.net, x, clf.index("espresso"), method="gradcam", handling="positive")  # a tensor

What ``pg`` hands on is listed in ``__init__.pyi``, where editors find it, too. It is imported when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
