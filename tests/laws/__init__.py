"""Laws: functions that take an implementation and assert what must hold of it.

A test runs a law over the registries; another shows that a liar, an implementation broken on
purpose, is rejected by it.
"""
