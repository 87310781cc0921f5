"""One module per command of `tsc`: `add_parser(subparsers)` states its arguments, `run(args)` returns the exit code."""
