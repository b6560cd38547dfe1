"""How the models that walk across boards were made."""
