"""What is asked of a model? Data become examples, and answers become scores. A new task is one file here and one line
in `tasks.registry.TASKS`. It never imports a model, a prompt or the engine."""
