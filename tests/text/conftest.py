from hypothesis import settings

# No deadline: the machine may be busy. Derandomised: the suite says the same to everyone.
settings.register_profile("text", deadline=None, derandomize=True)
settings.load_profile("text")
