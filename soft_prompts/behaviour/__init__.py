"""What does a model say of its own accord, and what did an intervention change of it? Answers scored by text and by
likelihood; comparison/ holds a target against its base and controls, part by part. It never imports training,
steering or experiments."""
