"""rpmask: draw many pruning masks, race them, keep the best with evidence, train it."""

__version__ = "0.1.0"
