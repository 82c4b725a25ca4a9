#!/usr/bin/env python3
"""A strict endpoint of the AWS IoT API for tests: loopback only, one process, memory only.

It checks every signature with an implementation of its own (hmac and hashlib of the standard library), keeps things,
types, policies and certificates, and misbehaves when told to: POST /fault with a JSON list of faults, each used once:
{"fault": KIND, "operation": NAME or absent, "times": N}. GET /log gives the operations that were carried out, in order.

Kinds: throttle (400 ThrottlingException), throttle429, html500, html200, truncate (carried out, half an answer), drop
(carried out, no answer), drop-before (not carried out, no answer), hang and hang-before (the same, but the connection stays), empty, skew, unavailable, redirect, huge, badjson, denied.
"""
import base64
import datetime
import hashlib
import hmac
import json
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aws_updates

ACCOUNT = "123456789012"
REGION = "eu-west-1"
KEYS = {
    "AKIDEXAMPLE": {"secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token": None},
    "ASIAROLE": {"secret": "role/secret+of=the&role", "token": "token/of+the==role"},
    "ASIAOLD": {"secret": "old", "token": "expired-token"},
}
STATE = {"things": {}, "types": {}, "groups": {}, "policies": {}, "certificates": {}, "attached": set(), "principals": set(),
         "members": set(), "shadows": {}, "log": [], "faults": [], "skew": 0, "rate": 0, "rates": {}, "latency": [0, 0], "throttled": {}, "under_way": 0, "most": 0, "buckets": {}, "served": [], "mtls": False,
         "address": "x-ats.iot.%s.amazonaws.com" % REGION}
LOCK = threading.RLock()


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


# --- the signature, from AWS's description of it, not from iotctl's code ----------------------------------------


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def check_signature(handler, body):
    header = handler.headers.get("Authorization")
    if header is None:
        raise Refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", header)
    if match is None:
        raise Refused(400, "IncompleteSignature", "the Authorization header is malformed")
    access_key, day, region, service, names, signature = match.groups()
    key = KEYS.get(access_key)
    if key is None:
        raise Refused(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    if handler.headers.get("X-Amz-Security-Token") != key["token"]:
        raise Refused(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    if access_key == "ASIAOLD":
        raise Refused(403, "ExpiredTokenException", "The security token included in the request is expired")
    if region != REGION:
        raise Refused(403, "InvalidSignatureException", "Credential should be scoped to a valid region")
    for needed in ["host", "x-amz-date"] + [n.lower() for n in handler.headers if n.lower().startswith("x-amz")]:
        if needed not in names.split(";"):
            raise Refused(403, "InvalidSignatureException", "header %s is not signed" % needed)
    stamp = handler.headers["X-Amz-Date"]
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=STATE["skew"])
    then = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    path, _, query = handler.path.partition("?")
    if service != "s3":
        # Each segment of the path as it came over the wire is encoded once more.
        path = "/".join(quote(segment) for segment in path.split("/"))
    pairs = sorted((quote(urllib.parse.unquote(n)), quote(urllib.parse.unquote(v)))
                   for n, _, v in (p.partition("=") for p in query.split("&") if p))
    lines = []
    for name in names.split(";"):
        values = handler.headers.get_all(name)
        if values is None:
            raise Refused(403, "InvalidSignatureException", "signed header %s is missing" % name)
        lines.append("%s:%s" % (name, ",".join(" ".join(v.split()) for v in values)))
    canonical = "\n".join([handler.command, path, "&".join("%s=%s" % p for p in pairs)] + lines +
                          ["", names, hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, "%s/%s/%s/aws4_request" % (day, region, service),
                      hashlib.sha256(canonical.encode()).hexdigest()])
    secret = mac(mac(mac(mac(("AWS4" + key["secret"]).encode(), day), region), service), "aws4_request")
    if not hmac.compare_digest(hmac.new(secret, text.encode(), hashlib.sha256).hexdigest(), signature):
        raise Refused(403, "InvalidSignatureException",
                      "The request signature we calculated does not match the signature you provided.")
    if abs((now - then).total_seconds()) > 300 or stamp[:8] != day:
        raise Refused(403, "InvalidSignatureException", "Signature expired: %s is now earlier than %s" %
                      (stamp, now.strftime("%Y%m%dT%H%M%SZ")))
    return service


# --- what it keeps ------------------------------------------------------------------------------------------------


def arn(kind, name):
    return "arn:aws:iot:%s:%s:%s/%s" % (REGION, ACCOUNT, kind, name)


def conflict(what):
    raise Refused(409, "ResourceAlreadyExistsException", "%s already exists" % what)


def missing(what):
    raise Refused(404, "ResourceNotFoundException", "%s not found" % what)


def named(name):
    if re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", name) is None:
        raise Refused(400, "InvalidRequestException", "1 validation error detected: Value '%s' at a name" % name)
    return name


def create_thing(name, query, body, headers):
    wanted = {"attributes": (body.get("attributePayload") or {}).get("attributes") or {},
              "type": body.get("thingTypeName")}
    if wanted["type"] is not None and wanted["type"] not in STATE["types"]:
        missing("Thing type %s" % wanted["type"])
    if wanted["type"] is None and len(wanted["attributes"]) > 3:
        raise Refused(400, "InvalidRequestException", "a thing without a type has at most three attributes")
    have = STATE["things"].setdefault(named(name), dict(wanted, version=1))
    if {k: have[k] for k in wanted} != wanted:
        conflict("Thing %s" % name)
    return {"thingName": name, "thingArn": arn("thing", name), "thingId": hashlib.md5(name.encode()).hexdigest()}


def describe_thing(name, query, body, headers):
    thing = STATE["things"].get(name) or missing("Thing %s" % name)
    reply = {"thingName": name, "thingArn": arn("thing", name), "attributes": thing["attributes"], "version": thing["version"],
             "defaultClientId": name}
    if thing["type"]:
        reply["thingTypeName"] = thing["type"]
    return reply


def delete_thing(name, query, body, headers):
    if any(t == name for t, _ in STATE["principals"]):
        raise Refused(400, "InvalidRequestException", "Cannot delete. Thing %s is still attached to one or more principals" % name)
    STATE["things"].pop(name, None)
    return {}


def update_thing(name, query, body, headers):
    thing = STATE["things"].get(name) or missing("Thing %s" % name)
    payload = body.get("attributePayload") or {}
    if body.get("expectedVersion", thing["version"]) != thing["version"]:
        raise Refused(409, "VersionConflictException", "The version for this thing does not match the expected version")
    thing["attributes"] = {**(thing["attributes"] if payload.get("merge") else {}), **(payload.get("attributes") or {})}
    thing["version"] += 1
    return {}


def page(items, query, member, token="nextToken", size="maxResults"):
    start, limit = int(query.get(token, query.get("marker", "0"))), int(query.get(size, "100"))
    reply = {member: items[start:start + limit]}
    if start + limit < len(items):
        reply["nextToken" if token == "nextToken" else "nextMarker"] = str(start + limit)
    return reply


def list_things(query, body, headers):
    items = [describe_thing(n, {}, {}, {}) for n in sorted(STATE["things"])]
    if "attributeName" in query:
        items = [i for i in items if i["attributes"].get(query["attributeName"]) == query.get("attributeValue")]
    return page(items, query, "things")


def make_certificate(csr):
    """openssl signs; a certificate for the key of the request."""
    with tempfile.TemporaryDirectory() as folder:
        if "ca.key" not in STATE:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                            "-subj", "/CN=AWS of the tests", "-keyout", folder + "/k", "-out", folder + "/c"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            STATE["ca.key"], STATE["ca.pem"] = open(folder + "/k").read(), open(folder + "/c").read()
        for name, text in (("k", STATE["ca.key"]), ("c", STATE["ca.pem"]), ("r", csr)):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        done = subprocess.run(["openssl", "x509", "-req", "-in", folder + "/r", "-CA", folder + "/c", "-CAkey", folder + "/k", "-days",
                               "5", "-set_serial", str(int.from_bytes(os.urandom(15), "big"))], capture_output=True)
        if done.returncode != 0:
            raise Refused(400, "InvalidRequestException", "The CSR is invalid")
        return done.stdout.decode()


def from_csr(query, body, headers):
    pem = make_certificate(body["certificateSigningRequest"])
    der = ssl.PEM_cert_to_DER_cert(pem)
    identity = hashlib.sha256(der).hexdigest()
    STATE["certificates"][identity] = {"pem": pem, "status": "ACTIVE" if query.get("setAsActive") == "true" else "INACTIVE",
                                       "made": time.time() + STATE["skew"]}
    return {"certificateArn": arn("cert", identity), "certificateId": identity, "certificatePem": pem}


def list_certificates(query, body, headers):
    items = sorted(STATE["certificates"].items(), key=lambda c: c[1]["made"], reverse=query.get("isAscendingOrder") != "true")
    return page([{"certificateArn": arn("cert", i), "certificateId": i, "status": c["status"], "creationDate": c["made"]}
                 for i, c in items], query, "certificates", "marker", "pageSize")


def describe_certificate(identity, query, body, headers):
    cert = STATE["certificates"].get(identity) or missing("Certificate %s" % identity)
    return {"certificateDescription": {"certificateArn": arn("cert", identity), "certificateId": identity, "status": cert["status"],
                                       "certificatePem": cert["pem"], "creationDate": cert["made"]}}


def update_certificate(identity, query, body, headers):
    (STATE["certificates"].get(identity) or missing("Certificate %s" % identity))["status"] = query["newStatus"]
    return {}


def delete_certificate(identity, query, body, headers):
    cert = STATE["certificates"].get(identity) or missing("Certificate %s" % identity)
    if cert["status"] == "ACTIVE":
        raise Refused(406, "CertificateStateException", "The certificate must be deactivated before deletion")
    if any(p.endswith(identity) for _, p in STATE["attached"] | STATE["principals"]):
        raise Refused(409, "DeleteConflictException", "Things or policies are attached")
    del STATE["certificates"][identity]
    return {}


def put_principal(name, query, body, headers):
    STATE["things"].get(name) or missing("Thing %s" % name)
    STATE["principals"].add((name, headers["x-amzn-principal"]))
    return {}


def drop_principal(name, query, body, headers):
    """As at AWS, it is not everywhere known at once."""
    threading.Timer(1, STATE["principals"].discard, [(name, headers["x-amzn-principal"])]).start()
    return {}


def create_policy(name, query, body, headers):
    if name in STATE["policies"]:
        conflict("Policy %s" % name)
    json.loads(body["policyDocument"])
    STATE["policies"][name] = body["policyDocument"]
    return {"policyName": name, "policyArn": arn("policy", name), "policyDocument": body["policyDocument"], "policyVersionId": "1"}


def get_policy(name, query, body, headers):
    return {"policyName": name, "policyArn": arn("policy", name), "defaultVersionId": "1",
            "policyDocument": STATE["policies"].get(name) or missing("Policy %s" % name)}


def attach_policy(name, query, body, headers):
    STATE["attached"].add((name, body["target"]))
    return {}


def detach_policy(name, query, body, headers):
    STATE["attached"].discard((name, body["target"]))
    return {}


def attached(target, query, body, headers):
    return {"policies": [{"policyName": n, "policyArn": arn("policy", n)} for n, t in sorted(STATE["attached"]) if t == target]}


def create_type(name, query, body, headers):
    STATE["types"][named(name)] = body.get("thingTypeProperties") or {}
    return {"thingTypeName": name, "thingTypeArn": arn("thingtype", name), "thingTypeId": name}


def describe_type(name, query, body, headers):
    if name not in STATE["types"]:
        missing("Thing type %s" % name)
    return {"thingTypeName": name, "thingTypeArn": arn("thingtype", name), "thingTypeProperties": STATE["types"][name],
            "thingTypeMetadata": {"deprecated": False}}


def create_group(name, query, body, headers):
    STATE["groups"][named(name)] = body
    return {"thingGroupName": name, "thingGroupArn": arn("thinggroup", name), "thingGroupId": name}


def add_member(query, body, headers):
    STATE["members"].add((body["thingGroupName"], body["thingName"]))
    return {}


def get_shadow(name, query, body, headers):
    return STATE["shadows"].get((name, query.get("name"))) or missing("No shadow exists with name: '%s'" % name)


ROUTES = [(m, re.compile(p), n, s, f) for m, p, n, s, f in [
    ("POST", r"/things/([^/]+)", "CreateThing", "iot", create_thing),
    ("GET", r"/things/([^/]+)", "DescribeThing", "iot", describe_thing),
    ("PATCH", r"/things/([^/]+)", "UpdateThing", "iot", update_thing),
    ("DELETE", r"/things/([^/]+)", "DeleteThing", "iot", delete_thing),
    ("GET", r"/things", "ListThings", "iot", list_things),
    ("GET", r"/principals/things", "ListPrincipalThings", "iot",
     lambda q, b, h: {"things": sorted(t for t, p in STATE["principals"] if p == h["x-amzn-principal"])}),
    ("PUT", r"/things/([^/]+)/principals", "AttachThingPrincipal", "iot", put_principal),
    ("DELETE", r"/things/([^/]+)/principals", "DetachThingPrincipal", "iot", drop_principal),
    ("GET", r"/things/([^/]+)/principals", "ListThingPrincipals", "iot",
     lambda n, q, b, h: {"principals": sorted(p for t, p in STATE["principals"] if t == n)}),
    ("GET", r"/things/([^/]+)/thing-groups", "ListThingGroupsForThing", "iot",
     lambda n, q, b, h: {"thingGroups": [{"groupName": g, "groupArn": arn("thinggroup", g)} for g, t in sorted(STATE["members"]) if t == n]}),
    ("GET", r"/things/([^/]+)/jobs", "ListJobExecutionsForThing", "iot", lambda n, q, b, h: {"executionSummaries": []}),
    ("PUT", r"/thing-groups/addThingToThingGroup", "AddThingToThingGroup", "iot", add_member),
    ("POST", r"/thing-groups/([^/]+)", "CreateThingGroup", "iot", create_group),
    ("GET", r"/thing-groups", "ListThingGroups", "iot", lambda q, b, h: {"thingGroups": [
        {"groupName": g, "groupArn": arn("thinggroup", g)} for g in sorted(STATE["groups"])]}),
    ("POST", r"/thing-types/([^/]+)", "CreateThingType", "iot", create_type),
    ("GET", r"/thing-types/([^/]+)", "DescribeThingType", "iot", describe_type),
    ("GET", r"/thing-types", "ListThingTypes", "iot", lambda q, b, h: {"thingTypes": [describe_type(t, q, b, h) for t in sorted(STATE["types"])]}),
    ("POST", r"/policies/([^/]+)", "CreatePolicy", "iot", create_policy),
    ("GET", r"/policies/([^/]+)", "GetPolicy", "iot", get_policy),
    ("GET", r"/policies", "ListPolicies", "iot", lambda q, b, h: page([
        {"policyName": p, "policyArn": arn("policy", p)} for p in sorted(STATE["policies"])], q, "policies", "marker", "pageSize")),
    ("PUT", r"/target-policies/([^/]+)", "AttachPolicy", "iot", attach_policy),
    ("POST", r"/target-policies/([^/]+)", "DetachPolicy", "iot", detach_policy),
    ("POST", r"/attached-policies/([^/]+)", "ListAttachedPolicies", "iot", attached),
    ("POST", r"/certificates", "CreateCertificateFromCsr", "iot", from_csr),
    ("GET", r"/certificates", "ListCertificates", "iot", list_certificates),
    ("GET", r"/certificates/([^/]+)", "DescribeCertificate", "iot", describe_certificate),
    ("PUT", r"/certificates/([^/]+)", "UpdateCertificate", "iot", update_certificate),
    ("DELETE", r"/certificates/([^/]+)", "DeleteCertificate", "iot", delete_certificate),
    ("POST", r"/keys-and-certificate", "CreateKeysAndCertificate", "iot", lambda q, b, h: {"certificateId": "0" * 64}),
    ("GET", r"/endpoint", "DescribeEndpoint", "iot", lambda q, b, h: {"endpointAddress": STATE["address"]}),
    ("GET", r"/things/([^/]+)/shadow", "GetThingShadow", "iotdata", get_shadow),
]]
S3_ROUTES, MORE = aws_updates.routes(STATE, Refused, arn, page)
ROUTES += [(m, re.compile(p), n, s, f) for m, p, n, s, f in MORE]


def assume_role(form):
    if form.get("Action") == "GetCallerIdentity":
        return "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>" % ACCOUNT
    if form.get("RoleArn") != "arn:aws:iam::%s:role/fleet" % ACCOUNT:
        raise Refused(403, "AccessDenied", "not authorized to perform: sts:AssumeRole")
    ends = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ("<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>"
            "<SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>" %
            (KEYS["ASIAROLE"]["secret"].replace("&", "&amp;"), KEYS["ASIAROLE"]["token"], ends))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + STATE["skew"])

    def say(self, status, body, kind="application/json", more=(), cut=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.wfile.flush()

    def hang_up(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def fault_for(self, operation):
        for fault in STATE["faults"]:
            if fault.get("operation", operation) == operation:
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    STATE["faults"].remove(fault)
                return fault["fault"]
        return None

    def control(self, body):
        if self.path == "/fault":
            given = json.loads(body)
            STATE["faults"] = given.get("faults", [])
            STATE["skew"], STATE["rate"] = given.get("skew", 0), given.get("rate", 0)
            STATE["rates"] = given.get("rates", {})  # of operations, calls a second; "rate" is of all together
            STATE["latency"] = given.get("latency", [0, 0])  # of each call, at least and at most, in milliseconds
            STATE["served"].clear()
            STATE["most"] = 0
            STATE["buckets"].clear()
            STATE["log"].clear()
            STATE["throttled"].clear()
            self.say(200, b"{}")
        elif self.path == "/log":
            self.say(200, ("\n".join(STATE["log"]) + "\n").encode(), "text/plain")
        elif self.path == "/most":  # requests that were under way at once
            self.say(200, str(STATE["most"]).encode())
        elif self.path == "/throttled":
            self.say(200, json.dumps(STATE["throttled"]).encode())
        elif self.path == "/published":
            self.say(200, json.dumps(STATE["published"]).encode())
        elif self.path == "/run":  # devices: {"job": ..., "thing": ..., "status": ...}
            given = json.loads(body)
            job = STATE["jobs"][given["job"]]
            job["executions"][given["thing"]] = given["status"]
            if all(s not in ("QUEUED", "IN_PROGRESS") for s in job["executions"].values()):
                job["status"] = "COMPLETED"
            self.say(200, b"{}")
        elif self.path == "/address":  # of the message broker
            STATE["address"] = body.decode()
            self.say(200, b"{}")
        elif self.path == "/index":  # of the fleet: "on" or "off"
            STATE["index"] = body.decode()
            self.say(200, b"{}")
        elif self.path == "/connection":  # the message broker tells: {"thing": ..., "connected": ...}; answer: by which certificate
            given = json.loads(body)
            STATE["connections"][given["thing"]] = (given["connected"], time.time())
            known = sorted(p.rpartition("/")[2] for t, p in STATE["principals"] if t == given["thing"])
            self.say(200, json.dumps(known).encode())
        elif self.path == "/report":  # a device reports its configuration
            given = json.loads(body)
            aws_updates.REPORT(given["thing"], {"name": "config"}, {"state": {"reported": given["reported"]}}, {})
            self.say(200, b"{}")
        elif self.path == "/count":
            self.say(200, json.dumps({k: len(v) for k, v in STATE.items() if isinstance(v, (dict, set))}).encode())
        else:
            return False
        return True

    def carry_out(self, service, body):
        path, _, query = self.path.partition("?")
        parameters = {urllib.parse.unquote(n): urllib.parse.unquote(v) for n, _, v in (p.partition("=") for p in query.split("&") if p)}
        if service == "s3":
            return self.carry_out_s3(path, parameters, body)
        for method, pattern, name, wanted, function in ROUTES:
            match = pattern.fullmatch(path)
            if method == self.command and match is not None and wanted == service:
                raw = name in ("Publish",)
                self.check_model(service, name, parameters, None if raw or name == "UpdateThingShadow" else
                                 json.loads(body) if body else {})
                return name, lambda: function(*[urllib.parse.unquote(g) for g in match.groups()], parameters,
                                              body if raw else json.loads(body) if body else {}, self.headers)
        raise Refused(404, "UnknownOperationException", "no such operation: %s %s" % (self.command, path))

    def check_model(self, service, name, parameters, body):
        fault = aws_updates.check_model(service, name, parameters, body)
        if fault is not None:
            raise Refused(400, "ModelException", "AWS's model of %s: %s" % (name, fault))

    def carry_out_s3(self, path, parameters, body):
        """Rows share method and path: the one counts that has all of its flags in the query, and the most of them."""
        found = None
        for method, pattern, name, _, function, flags in S3_ROUTES:
            match = re.fullmatch(pattern, path)
            if method == self.command and match is not None and all(f in parameters for f in flags) and \
                    (found is None or len(flags) > len(found[3])):
                found = (name, function, match, flags)
        if found is None:
            raise Refused(405, "MethodNotAllowed", "no such operation")
        name, function, match, _ = found
        self.check_model("s3", name, parameters, None)
        return name, lambda: function(*[urllib.parse.unquote(g) for g in match.groups()], parameters, body, self.headers)

    def before(self, fault):
        """What happens instead of the operation. True: the request is dealt with."""
        if fault == "throttle":
            raise Refused(400, "ThrottlingException", "Rate exceeded")
        if fault == "throttle429":
            raise Refused(429, "ThrottlingException", "Rate exceeded")
        if fault == "denied":
            raise Refused(403, "AccessDeniedException", "not authorized to perform this operation")
        if fault == "unavailable":
            raise Refused(503, "ServiceUnavailableException", "try again")
        if fault == "html500":
            self.say(500, b"<html><body>Internal Server Error</body></html>", "text/html")
        elif fault == "html200":
            self.say(200, b"<html><body>Please sign in to this wifi</body></html>", "text/html")
        elif fault == "redirect":
            self.say(302, b"", "text/html", [("Location", "http://127.0.0.1:1/")])
        elif fault == "huge":
            self.say(200, b"{\"x\":\"" + b"x" * 9000000 + b"\"}")
        elif fault == "drop-before":
            self.hang_up()
        elif fault == "hang-before":
            STATE["log"].append("hangs")
            self.hanging = True
        else:
            return False
        return True

    def after(self, fault, reply):
        more = ()
        if isinstance(reply, tuple):
            reply, more = reply
        text = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        if fault == "drop":
            self.hang_up()
        elif fault == "hang":
            self.hanging = True
        elif fault == "truncate":
            self.say(200, text, cut=len(text) // 2)
            self.hang_up()
        elif fault == "empty":
            self.say(200, b"")
        elif fault == "badjson":
            self.say(200, text[:-1])
        elif fault == "html500-after":
            self.say(500, b"<html></html>", "text/html")
        elif self.command == "HEAD":
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            for name, value in more:
                self.send_header(name, value)
            self.end_headers()
        else:
            self.say(200, text, "application/xml" if text.startswith(b"<") else "application/json", more)

    def throttle(self, name):
        """All together: no second, wherever it begins, has more than the rate. One operation: a bucket of a fifth of a second."""
        now = time.monotonic()
        STATE["served"] = [t for t in STATE["served"] if now - t < 1]
        rate = STATE["rates"].get(name, 0)
        size = max(2, rate / 5)
        tokens, then = STATE["buckets"].get(name, (size, now))
        tokens = min(size, tokens + (now - then) * rate)
        STATE["buckets"][name] = (tokens, now)
        if STATE["rate"] and len(STATE["served"]) >= STATE["rate"] or rate and tokens < 1:
            STATE["throttled"][name] = STATE["throttled"].get(name, 0) + 1
            raise Refused(400, "ThrottlingException", "Rate exceeded")
        STATE["served"].append(now)
        STATE["buckets"][name] = (tokens - 1, now)

    def serve_one(self, body):
        service = check_signature(self, body)
        if service == "sts":
            form = {k: v[0] for k, v in urllib.parse.parse_qs(body.decode()).items()}
            self.say(200, assume_role(form).encode(), "text/xml")
            return
        name, run = self.carry_out(service, body)
        fault = self.fault_for(name)
        if self.before(fault):
            return
        self.throttle(name)
        reply = run()
        STATE["log"].append(name)
        self.after(fault, reply)

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.hanging = False
        with LOCK:
            STATE["under_way"] += 1
            STATE["most"] = max(STATE["most"], STATE["under_way"])
        try:
            self.do_one(body)
        finally:
            with LOCK:
                STATE["under_way"] -= 1

    def do_one(self, body):
        if STATE["latency"][1] and "Authorization" in self.headers:
            time.sleep(random.uniform(*STATE["latency"]) / 1000)
        self.answer(body)
        if self.hanging:  # until the client is gone
            self.connection.recv(1)
            self.close_connection = True

    def answer(self, body):
        with LOCK:
            if self.control(body):
                return
            try:
                self.serve_one(body)
            except Refused as fault:
                if self.headers.get("Content-Type", "").startswith("application/x-www-form"):
                    text = "<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>" % (fault.code, fault.message)
                    self.say(fault.status, text.encode(), "text/xml")
                else:
                    self.say(fault.status, json.dumps({"message": fault.message}).encode(), more=[
                        ("x-amzn-errortype", "%s:http://internal.amazon.com/coral/" % fault.code)])

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do


class DeviceHandler(Handler):
    """The IoT credentials provider: mutual TLS."""

    def do(self):
        if self.path != "/role-aliases/fleet/credentials" or self.headers.get("x-amzn-iot-thingname") != "pump-1":
            self.say(403, b'{"message":"Access Denied"}')
            return
        ends = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.say(200, json.dumps({"credentials": {"accessKeyId": "ASIAROLE", "secretAccessKey": KEYS["ASIAROLE"]["secret"],
                                                  "sessionToken": KEYS["ASIAROLE"]["token"], "expiration": ends}}).encode())

    do_GET = do


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that come at once

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that was killed is no fault of ours
            super().handle_error(request, client_address)


def start(handler, certificate=None, client_ca=None):
    server = Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    """aws_endpoint.py PORTS_FILE [TLS_PEM [CLIENT_CA]]: ports of HTTP, HTTPS and the credentials provider; until stdin ends."""
    ports = [start(Handler)]
    if len(sys.argv) > 2:
        ports.append(start(Handler, sys.argv[2]))
    if len(sys.argv) > 3:
        ports.append(start(DeviceHandler, sys.argv[2], sys.argv[3]))
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(" ".join(str(p) for p in ports) + "\n")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    sys.stdin.read()


main()
