"""What a person reads: the progress of a training, tables of scores. Nothing imports this but the command line."""
