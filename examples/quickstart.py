"""Fuse four Gaussian score models on a thousand samples and compare the result with the exact answer."""

import sfbench
from synthetic import make_problem


def main() -> None:
    problem = make_problem("shifted_gaussians", k=4, d=64)
    x = problem.target.sample(1000, rng=0)
    result = sfbench.fuse(problem.auxiliaries, x, process=sfbench.OrnsteinUhlenbeck(), rng=0)
    print(result.summary())
    print("true weights  ", problem.true_weights.round(4))
    distance = sfbench.metrics.total_variation(problem.target, problem.barycenter(result.weights))
    print("TV to the target:", distance)


if __name__ == "__main__":
    main()
