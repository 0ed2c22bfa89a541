"""The equations of the papers as plain loops: one sentence, one step, one head and one source position at a time.

Nothing here is batched, padded or masked, and nothing is imported from the modules under test but the dataclasses of
options. Every function takes the parameters of the module under test, by the names they have there, and is made of
differentiable operations on vectors and scalars, so that gradients can be compared too.
"""
