"""Notes that several tables bear."""

BUDGET_NOTE = (
    "All merges start from the same artefacts, in the order of the centres. Every search without gradients has 40 "
    "evaluations within ±1.5 and L1 0.05·mean|w|: Fusion and sequential mixtures one search an arrival, LoRAHub one in "
    "all. Joint coefficients of outputs are a convex problem, solved; those in the layers take 40 gradients."
)


UNION_NOTE = (
    "Union: the model chooses among the prompts of all tasks, so it must name the organ and the class at once. A "
    "plugin was never trained to reject other tasks' prompts, so a model that gives it all of them does badly here, "
    "whatever the base can do; routed weighs a task's own classes by the probability of the task."
)

HEAD_NOTE = (
    "LDA on the frozen base: a linear discriminant of class means and one covariance, without a plugin or training; "
    "of the real training images, which sites send as sums, or of the distilled images. Its shrinkage is chosen on "
    "validation. What a plugin adds is what it has above this row."
)

NETWORK_HEAD_NOTE = (
    "LDA on a merged network: the same discriminant, of the distilled images as the merged network embeds them, in the "
    "place of its prompts. It is what a forge can do by itself; statistics of real images on a merged network would "
    "need a further round with the sites."
)
