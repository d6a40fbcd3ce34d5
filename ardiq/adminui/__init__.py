"""The admin over Redis: native ModelAdmin pages over models that lie in no database.

It may read through the inspector and change jobs through verbs, with the permissions of the user. It
never spells a key, never lets a query reach SQL, and shows stored text only escaped.
"""
