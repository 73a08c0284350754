"""The one exception for what a user can put right."""


class UserError(Exception):
    """A mistake in the config, the environment or an input file.

    Its text is one sentence that names the AOI, file or key and says what to do; stages print it
    without a traceback and exit with 1.
    """
