"""The tests: unit (pure), contract (ports and SQL), api (over HTTP), e2e (real processes), bench."""
