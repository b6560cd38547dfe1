"""What does a model say of its own accord? Answers scored by text and by likelihood. It never imports training,
steering or experiments."""
