"""When two results are the same: the official rules, the strict ones, and the text rules around them."""
