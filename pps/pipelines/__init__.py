"""The face on pipelines: creating, updating, describing, what feeds what."""
