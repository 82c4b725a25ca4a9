#!/usr/bin/env python3
"""What AWS's message broker says of its clients, for a plain mosquitto: reads its log (connection messages), tells the strict
endpoint (aws_endpoint.py) who is connected, and publishes lifecycle events in the form of AWS IoT Core's developer guide.

aws_broker.py ENDPOINT_URL LOG PORT FILE: PORT is a listener of that mosquitto without TLS; a certificate id in FILE, if it is there, is
named in events instead of what the endpoint knows. Until stdin ends."""
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request

COME = re.compile(r"New client connected from \S+ as (\S+) \(")
GONE = re.compile(r"Client (\S+) (?:disconnected|closed its connection|has exceeded|already connected)")


def tell(url, thing, connected):
    data = json.dumps({"thing": thing, "connected": connected}).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url + "/connection", data) as answer:
        return json.load(answer)


def say(port, thing, connected, principal, number):
    event = {"clientId": thing, "timestamp": int(time.time() * 1000), "eventType": "connected" if connected else "disconnected",
             "sessionIdentifier": "00000000-0000-0000-0000-000000000000", "principalIdentifier": principal, "ipAddress": "127.0.0.1",
             "versionNumber": number}
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-i", "events-%d" % number, "-q", "1", "-t",
                    "$aws/events/presence/%s/%s" % (event["eventType"], thing), "-m", json.dumps(event)], check=True)


def principal(file, known):
    if os.path.exists(file):
        with open(file) as told:
            return told.read().strip()
    return known[-1] if known else ""


def follow(url, log, port, file):
    number = 0
    with open(log) as lines:
        while True:
            line = lines.readline()
            if not line:
                time.sleep(0.05)
                continue
            for pattern, connected in ((COME, True), (GONE, False)):
                match = pattern.search(line)
                if match and not match[1].startswith("events-"):
                    number += 1
                    known = tell(url, match[1], connected)
                    say(port, match[1], connected, principal(file, known), number)


threading.Thread(target=follow, args=sys.argv[1:5], daemon=True).start()
sys.stdin.read()
