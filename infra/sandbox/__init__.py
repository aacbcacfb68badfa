"""A fleet of real systemd machines on this computer, reached over SSH exactly like servers."""
