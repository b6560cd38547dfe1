"""Is all well here, and what would a command cost? `soft-prompts doctor`.

`machine` looks at versions, devices, memory, disk and hub, `names` at what hides an import, `files` at results and
snapshots, `cost` at a command before it is started. Each gives facts, and findings that
say what to do.
"""
