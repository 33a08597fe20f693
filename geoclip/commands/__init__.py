"""The `geoclip` command, one module for each subcommand."""
