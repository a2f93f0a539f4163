"""Tensors in, tensors out: the layers, which know no task."""
