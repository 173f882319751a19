"""What runs a policy that is a Python class: Lictor's side inside the sandbox.

Nothing here guards anything: a policy can reach all of it, and the sandbox around the interpreter is what holds.
"""
