"""Origin: which arrivals are alike to another contributor's, by their plugins' weight changes or distilled images."""
