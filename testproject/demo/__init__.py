"""``manage.py ardiq_demo``: the site, a worker and a stream of jobs, shown as they happen.

Nothing of this is needed to use ardiq; the two apps beside it are what a project looks like.
"""
