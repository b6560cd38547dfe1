"""What is optimised? Conditions [B, C] in, prompt embeddings [B, P, H] out, how they begin and how they are kept. It
never imports the engine, or anything that knows how they are trained."""
