"""A solver and a guidance form of one's own.

    janusflow generate "a ring" --steps 8 --sampler my_solvers:rk4 --guidance-form "my_solvers:rising(start=0)"

In YAML: ``sampling: {sampler: 'my_solvers:rk4', guidance_form: 'my_solvers:rising'}``; ``python -m eval sweep`` takes
both flags with several values.
"""


def rk4(velocity, z, times):
    """Runge and Kutta's classic solver: order 4, four evaluations a step. Gives z after every step.

    velocity: a callable (z, t), guidance included. What a solver remembers between steps are its local variables.
    """
    for t, dt in zip(times, times.diff(), strict=False):
        first = velocity(z, t).float()
        second = velocity(z + dt / 2 * first, t + dt / 2).float()
        third = velocity(z + dt / 2 * second, t + dt / 2).float()
        fourth = velocity(z + dt * third, t + dt).float()
        z = z + dt / 6 * (first + 2 * second + 2 * third + fourth)
        yield z


def rising(weight, start=1.0):
    """Guidance that grows from ``start`` at the noise to its weight at the picture.

    It is made anew for every batch of pictures; arguments beside the weight are settings in brackets, numbers all.
    """

    def combine(v_cond, v_uncond, z, t):
        now = start + (weight - start) * t
        return v_uncond + now * (v_cond - v_uncond)

    return combine
