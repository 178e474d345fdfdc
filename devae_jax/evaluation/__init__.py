"""From images to scores: codes once, then metrics, then rows.

rows = evaluate(Coder(encode, logits, error), dataset, metrics="all")
print(table(rows))
"""
