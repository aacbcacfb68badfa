"""The six items about code: collected for one exact source tree, judged only against that tree's release."""
