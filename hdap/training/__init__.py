"""Training what pruning left: data, recipes, the loop, distillation, evaluation."""
