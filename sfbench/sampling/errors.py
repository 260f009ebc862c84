"""What can go wrong while sampling."""


class DivergenceError(ArithmeticError):
    """More trajectories left every bound than was allowed; the message gives the share lost and the time."""


class DivergenceWarning(UserWarning):
    """Some trajectories were lost, within the allowed share; their rows are NaN with weight zero."""


class TrustWarning(UserWarning):
    """The diagnostics say that the weighted particles cannot be trusted."""
