"""The fuzz run: everything that reads what comes from outside, fed with texts that nobody wrote."""
