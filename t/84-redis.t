#!/usr/bin/python3
# 84-redis.t: two proxies, one Redis: every client on one node, whichever proxy it comes through
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab"))
import fake
import gate
import redis
import smb2
import tap
