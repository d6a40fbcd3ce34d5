"""ardiq and other packages: each file stands behind an extra of its own, and imports what that installs.

Only commands import anything in here, where somebody asks for it. It may use every door, and spells no key.
"""
