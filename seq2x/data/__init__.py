"""Files to examples, examples to batches: knows no model, no task head and no training.

examples · files and tables (opening, columns) · readers (the formats) · datasets (tensors) · batching (order, budget).
"""
