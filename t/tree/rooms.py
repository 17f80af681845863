# rooms.py: the rooms of the house, from the bottom up, and whom each may include
"""What every check of the tree goes by."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A room may include its own headers and those of these rooms. t/ may include everything.
ROOMS = {
    "base": set(),
    "smb": {"base"},
    "stats": {"base"},
    "policy": {"base"},
    "state": {"base"},
    "auth": {"smb", "base"},
    "keyd": {"auth", "base"},
    "nodes": {"auth", "policy", "state", "stats", "smb", "base"},
    "inspect": {"nodes", "auth", "policy", "state", "stats", "smb", "base"},
    "proxy": {"inspect", "nodes", "auth", "policy", "state", "stats", "smb", "base"},
    "daemon": {"proxy", "inspect", "nodes", "auth", "policy", "state", "stats", "smb", "base"},
    "ctl": {"policy", "base"},
}
