"""Speed and memory of sampling, updates and whole iterations, side by side in one run.

A :class:`~igpo_lightning.measuring.contenders.Contender` does a piece of work once; :mod:`rounds` lets all of
them take turns, a :mod:`meter` measures each turn. They share one set of weights and prompts
(:mod:`workload`). One of them is the code that the field has published, in our words (:mod:`published`);
others are a user's own checkouts (:mod:`against`).
"""
