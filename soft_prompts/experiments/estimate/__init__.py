"""What will a run cost in memory and time, with nothing loaded? The engine's own code, on tensors without numbers.

`sketch` makes a model of its configuration alone, `counting` watches what passes through it, `machine` probes how fast
this machine is, `passes` says which passes a run makes, `runs` adds them up. Never imported by what trains or measures.
"""
