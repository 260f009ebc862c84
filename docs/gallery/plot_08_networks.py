"""
Networks of your own
====================

Two small networks are trained on the auxiliaries' samples, fused on 300 samples of a target, and compared with the
target by their losses on points that no fit has seen. Networks of any origin are wrapped by
``sfbench.nets.NetworkScore``.
"""

import sfbench
from sfbench.nets import TrainingSettings, build_network, train_score_network
from synthetic import make_problem

process = sfbench.OrnsteinUhlenbeck()
problem = make_problem("paper_mixture_1d", scale=6.0)
settings = TrainingSettings(steps=800, batch=256, learning_rate=3e-3)
models = {}
for i, law in enumerate(problem.auxiliaries):
    network = build_network("mlp", {"dim": 1, "width": 32}, process=process, seed=i)
    trained = train_score_network(network, law.sample(4000, rng=i), settings, process=process, rng=i)
    models[f"network {i + 1}"] = trained.score
    print(f"network {i + 1}: validation loss {trained.best_loss:.3f}")

# %%
# The time window stays where networks of this size can be trusted.
x = problem.target.sample(300, rng=5)
result = sfbench.fuse(models, x, process=process, t_min=1e-2, t_max=2.0, rng=0)
print(result.summary())

# %%
# Losses on held-out points, by time, relative to a linear predictor. Above 1 the linear predictor does better: the
# modes of these two auxiliaries lie elsewhere than the target's, and fusion cannot move them.
held_out = problem.target.sample(2000, rng=6)
table = sfbench.compare({"fused": result, **models}, held_out, t_min=1e-2, rng=0)
print(table)
ax = table.plot()
