# Layouts only: no code.
