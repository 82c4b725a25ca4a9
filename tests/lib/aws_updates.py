"""What the strict endpoint (aws_endpoint.py) has besides the registry: S3, streams, jobs, the OTA service, shadows,
groups that a query fills, messages, certificates of one's own CA. And, where botocore is installed, a check of every request
against AWS's published service models, which know nothing of iotctl's table."""
import base64
import hashlib
import json
import re
import ssl
import time
import urllib.parse

try:
    import botocore.session
    SESSION = botocore.session.get_session()
except ImportError:
    SESSION = None

MODELS = {}
REPORT = None
NAMES = {"iot": "iot", "iotdata": "iot-data", "iot-jobs-data": "iot-jobs-data", "s3": "s3"}


def model(service):
    if service not in MODELS:
        MODELS[service] = SESSION.get_service_model(NAMES[service]) if SESSION else None
    return MODELS[service]


def compare(shape, value, path):
    """What of a value is not as its shape is: texts."""
    faults = []
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            return ["%s is not an object" % path]
        known = {m.serialization.get("name", n): m for n, m in shape.members.items()}
        faults += ["%s has no member %s" % (path, n) for n in value if n not in known]
        faults += ["%s lacks %s" % (path, n) for n in shape.required_members
                   if shape.members[n].serialization.get("location") is None and
                   shape.members[n].serialization.get("name", n) not in value]
        for name, member in value.items():
            if name in known:
                faults += compare(known[name], member, "%s.%s" % (path, name))
    elif shape.type_name == "list":
        if not isinstance(value, list):
            return ["%s is not a list" % path]
        for index, item in enumerate(value):
            faults += compare(shape.member, item, "%s[%d]" % (path, index))
    elif shape.type_name == "map":
        faults += [] if isinstance(value, dict) else ["%s is not a map" % path]
    elif shape.type_name in ("string", "blob"):
        if not isinstance(value, str):
            return ["%s is not text" % path]
        limits = shape.metadata
        if shape.type_name == "string" and (len(value) < limits.get("min", 0) or len(value) > limits.get("max", 1 << 30)):
            faults.append("%s has a length that it may not have" % path)
        if limits.get("enum") and value not in limits["enum"]:
            faults.append("%s may not be %s" % (path, value))
        if shape.type_name == "blob":
            base64.b64decode(value, validate=True)
    elif shape.type_name in ("integer", "long"):
        limits = shape.metadata
        if not isinstance(value, int) or isinstance(value, bool):
            return ["%s is not a whole number" % path]
        if value < limits.get("min", value) or value > limits.get("max", value):
            faults.append("%s is out of range" % path)
    elif shape.type_name == "boolean" and not isinstance(value, bool):
        faults.append("%s is not true or false" % path)
    return faults


def check_model(service, name, query, body):
    """None, or what AWS's model does not allow in this request. `body`: parsed JSON, or None for other bodies."""
    known = model(service)
    if known is None:
        return None
    shape = known.operation_model(name).input_shape
    if shape is None:
        return "it takes nothing" if query or body else None
    places = {}
    for member, inner in shape.members.items():
        places.setdefault(inner.serialization.get("location"), {})[inner.serialization.get("name", member)] = inner
    flags = urllib.parse.parse_qs(known.operation_model(name).http["requestUri"].partition("?")[2], keep_blank_values=True)
    faults = ["the query has no %s" % n for n in query if n not in places.get("querystring", {}) and n not in flags]
    if body is not None and not shape.serialization.get("payload"):
        inside = places.get(None, {})
        faults += ["the body has no %s" % n for n in body if n not in inside]
        for member, value in body.items():
            if member in inside:
                faults += compare(inside[member], value, member)
        for member in shape.required_members:
            if shape.members[member].serialization.get("location") is None and \
                    shape.members[member].serialization.get("name", member) not in body:
                faults.append("%s is missing" % member)
    return "; ".join(faults) or None


def routes(state, refused, arn, page):
    """(method, pattern, operation, service, function) of what is here. Functions get the path's parts, query, body, headers."""
    state.update(objects={}, uploads={}, streams={}, jobs={}, otas={}, dynamic={}, published=[], templates={},
                 connections={}, cas={}, index="off", tags={}, retained={}, kicked={})

    def missing(what):
        raise refused(404, "ResourceNotFoundException", "%s not found" % what)

    def taken(what):
        raise refused(409, "ResourceAlreadyExistsException", "%s already exists" % what)

    # --- S3: a bucket 'images' that keeps versions, and one 'plain' that does not

    def keep(bucket, key, data):
        if bucket not in ("images", "plain"):
            raise refused(404, "NoSuchBucket", "The specified bucket does not exist")
        version = "v%d.%s" % (len(state["objects"]) + 1, hashlib.sha1(data).hexdigest()[:8]) if bucket == "images" else None
        state["objects"][(bucket, key, version)] = data
        return version

    def answer(data, **headers):
        return data, [(n.replace("_", "-"), v) for n, v in headers.items() if v is not None]

    def put_object(bucket, key, query, body, headers):
        version = keep(bucket, key, body)
        return answer(b"", ETag='"%s"' % hashlib.md5(body).hexdigest(), x_amz_version_id=version)

    def begin_upload(bucket, key, query, body, headers):
        name = "upload%d" % len(state["uploads"])
        state["uploads"][name] = {}
        return answer(("<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><UploadId>%s</UploadId>"
                       "</InitiateMultipartUploadResult>" % (bucket, key, name)).encode())

    def put_part(bucket, key, query, body, headers):
        parts = state["uploads"].get(query["uploadId"])
        if parts is None:
            raise refused(404, "NoSuchUpload", "The specified upload does not exist")
        parts[int(query["partNumber"])] = body
        return answer(b"", ETag='"%s"' % hashlib.md5(body).hexdigest())

    def end_upload(bucket, key, query, body, headers):
        parts = state["uploads"].pop(query["uploadId"], None)
        if parts is None:
            raise refused(404, "NoSuchUpload", "The specified upload does not exist")
        told = re.findall(r"<Part><PartNumber>(\d+)</PartNumber><ETag>&quot;([0-9a-f]+)&quot;</ETag></Part>", body.decode())
        if [(int(n), e) for n, e in told] != [(n, hashlib.md5(d).hexdigest()) for n, d in sorted(parts.items())]:
            return answer(b"<Error><Code>InvalidPart</Code><Message>One or more parts could not be found</Message></Error>")
        if any(len(d) < 5 << 20 for _, d in sorted(parts.items())[:-1]):
            raise refused(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        version = keep(bucket, key, b"".join(d for _, d in sorted(parts.items())))
        return answer(b"<CompleteMultipartUploadResult><ETag>&quot;x-2&quot;</ETag></CompleteMultipartUploadResult>",
                      x_amz_version_id=version)

    def drop_upload(bucket, key, query, body, headers):
        state["uploads"].pop(query["uploadId"], None)
        return answer(b"")

    def head_object(bucket, key, query, body, headers):
        for (b, k, version), data in reversed(list(state["objects"].items())):
            if (b, k) == (bucket, key):
                return answer(data, ETag='"x"', x_amz_version_id=version)
        raise refused(404, "NoSuchKey", "The specified key does not exist.")

    # --- streams and jobs

    def find_object(location):
        found = state["objects"].get((location["bucket"], location["key"], location.get("version")))
        if found is None:
            raise refused(400, "InvalidRequestException", "S3 object %s does not exist" % location)
        return found

    def create_stream(name, query, body, headers):
        if name in state["streams"]:
            taken("Stream %s" % name)
        for file in body["files"]:
            find_object(file["s3Location"])
        if not body["roleArn"].endswith(":role/fleet"):
            raise refused(403, "AccessDeniedException", "not authorized to perform: iam:PassRole on %s" % body["roleArn"])
        state["streams"][name] = dict(body, made=time.time())
        return {"streamId": name, "streamArn": arn("stream", name), "streamVersion": 1}

    def describe_stream(name, query, body, headers):
        stream = state["streams"].get(name) or missing("Stream %s" % name)
        return {"streamInfo": {"streamId": name, "streamArn": arn("stream", name), "streamVersion": 1, "files": stream["files"],
                               "createdAt": stream["made"], "lastUpdatedAt": stream["made"], "roleArn": stream["roleArn"]}}

    def delete_stream(name, query, body, headers):
        state["streams"].pop(name, None) or missing("Stream %s" % name)
        return {}

    def things_of(targets):
        things = []
        for target in targets:
            kind, name = target.rsplit(":", 1)[1].split("/", 1)
            if kind == "thing" and name not in state["things"] or kind == "thinggroup" and name not in state["groups"]:
                missing("Target %s" % target)
            things += [name] if kind == "thing" else sorted(t for g, t in state["members"] if g == name)
        return things

    def create_job(name, query, body, headers):
        if name in state["jobs"]:
            taken("Job %s" % name)
        json.loads(body["document"])
        state["jobs"][name] = dict(body, status="SCHEDULED" if "schedulingConfig" in body else "IN_PROGRESS", made=time.time(),
                                   executions={t: "QUEUED" for t in things_of(body["targets"])})
        return {"jobArn": arn("job", name), "jobId": name}

    def job(name):
        return state["jobs"].get(name) or missing("Job %s" % name)

    def describe_job(name, query, body, headers):
        found = job(name)
        counts = {"numberOf%sThings" % "".join(p.capitalize() for p in s.split("_")): list(found["executions"].values()).count(s)
                  for s in ("QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "CANCELED")}
        return {"job": {"jobId": name, "jobArn": arn("job", name), "status": found["status"], "targets": found["targets"],
                        "createdAt": found["made"], "jobProcessDetails": counts, **{k: found[k] for k in ("abortConfig",) if k in found}}}

    def cancel_job(name, query, body, headers):
        job(name)["status"] = "CANCELED"
        job(name)["executions"] = {t: "CANCELED" if s == "QUEUED" else s for t, s in job(name)["executions"].items()}
        return {"jobId": name, "jobArn": arn("job", name)}

    def list_jobs(query, body, headers):
        return page([{"jobId": n, "jobArn": arn("job", n), "status": j["status"], "createdAt": j["made"]}
                     for n, j in state["jobs"].items() if query.get("status", j["status"]) == j["status"]], query, "jobs")

    def list_executions(name, query, body, headers):
        return page([{"thingArn": arn("thing", t), "jobExecutionSummary": {"status": s, "queuedAt": job(name)["made"], "executionNumber": 1}}
                     for t, s in job(name)["executions"].items()], query, "executionSummaries")

    def describe_execution(thing, name, query, body, headers):
        status = job(name)["executions"].get(thing) or missing("Execution")
        return {"execution": {"jobId": name, "thingArn": arn("thing", thing), "status": status, "statusDetails": {"detailsMap": {}}}}

    # --- the OTA service: not done at once, and it may fail

    def create_ota(name, query, body, headers):
        if name in state["otas"]:
            taken("OTA update %s" % name)
        state["otas"][name] = {"request": body, "asked": 0}
        return {"otaUpdateId": name, "otaUpdateArn": arn("otaupdate", name), "awsIotJobId": "AFR_OTA-" + name,
                "awsIotJobArn": arn("job", "AFR_OTA-" + name), "otaUpdateStatus": "CREATE_PENDING"}

    def make_ota(name, body):
        file = body["files"][0]
        find_object(file["fileLocation"]["s3Location"])
        if not body["roleArn"].endswith(":role/fleet"):
            raise refused(0, "InvalidRequestException", "AWS IoT cannot assume role %s" % body["roleArn"])
        signing = file["codeSigning"]["customCodeSigning"]
        # The service copies the blob's bytes as text; devices decode that.
        text = base64.b64decode(signing["signature"]["inlineDocument"], validate=True).decode()
        if base64.b64decode(text, validate=True)[:1] != b"0":
            raise refused(0, "InvalidRequestException", "the signature is not DER")
        stream = "AFR_OTA-" + hashlib.md5(name.encode()).hexdigest()
        create_stream(stream, {}, {"files": [{"fileId": 0, "s3Location": file["fileLocation"]["s3Location"]}], "roleArn": body["roleArn"]}, {})
        document = {"afr_ota": {"protocols": body["protocols"], "streamname": stream, "files": [
            {"filepath": file["fileName"], "fileid": 0, "sig-sha256-ecdsa": text, "certfile": signing["certificateChain"]["certificateName"]}]}}
        create_job("AFR_OTA-" + name, {}, {"targets": body["targets"], "document": json.dumps(document)}, {})

    def get_ota(name, query, body, headers):
        ota = state["otas"].get(name) or missing("OTA update %s" % name)
        ota["asked"] += 1
        info = {"otaUpdateId": name, "otaUpdateArn": arn("otaupdate", name), "otaUpdateStatus": "CREATE_IN_PROGRESS"}
        if ota["asked"] == 2:
            try:
                make_ota(name, ota["request"])
            except refused as fault:
                ota["error"] = {"code": fault.code, "message": fault.message}
        if ota["asked"] >= 2:
            info["otaUpdateStatus"] = "CREATE_FAILED" if "error" in ota else "CREATE_COMPLETE"
            info["errorInfo"] = ota.get("error", {})
        return {"otaUpdateInfo": info}

    def delete_ota(name, query, body, headers):
        state["otas"].pop(name, None) or missing("OTA update %s" % name)
        return {}

    # --- shadows, as the service joins them

    def merge(old, new):
        for key, value in new.items():
            if value is None:
                old.pop(key, None)
            elif isinstance(value, dict):
                old[key] = merge(dict(old.get(key)) if isinstance(old.get(key), dict) else {}, value)
            else:
                old[key] = value
        return old

    def stamps(value):
        return {k: stamps(v) if isinstance(v, dict) else {"timestamp": int(time.time())} for k, v in value.items()}

    def set_shadow(name, query, body, headers):
        key = (name, query.get("name"))
        old = json.loads(state["shadows"].get(key, b'{"state": {}, "version": 0}'))
        if "version" in body and body["version"] != old["version"]:
            raise refused(409, "ConflictException", "Version conflict")
        for part in body.get("state", {}):
            old["state"][part] = merge(old["state"].get(part, {}), body["state"][part] or {})
        if len(json.dumps(old["state"])) > 8192:
            raise refused(413, "RequestEntityTooLargeException", "The payload exceeds the maximum size allowed")
        old["version"] += 1
        old["metadata"] = {p: stamps(v) for p, v in old["state"].items()}
        state["shadows"][key] = json.dumps(old).encode()
        return state["shadows"][key]

    global REPORT
    REPORT = set_shadow

    def delete_shadow(name, query, body, headers):
        return state["shadows"].pop((name, query.get("name")), None) or missing("No shadow")

    def list_shadows(name, query, body, headers):
        return {"results": sorted(n for t, n in state["shadows"] if t == name and n is not None), "timestamp": int(time.time())}

    def publish(topic, query, body, headers):
        if topic.startswith("secret/"):
            raise refused(403, "ForbiddenException", "not allowed")
        if query.get("retain") == "true":
            state["retained"][topic] = body
        state["published"].append({"topic": topic, "payload": body.decode(), "qos": query.get("qos"), "retain": query.get("retain")})
        return {}

    def get_retained(topic, query, body, headers):
        payload = state["retained"].get(topic) or missing("Retained message")
        return {"topic": topic, "payload": base64.b64encode(payload).decode(), "qos": 1, "lastModifiedTime": int(time.time())}

    def end_connection(client, query, body, headers):
        state["connections"].get(client, (False, 0))[0] or missing("Connection")
        state["kicked"][client] = time.time()
        return {}

    def put_tags(query, body, headers):
        kind, _, name = body["resourceArn"].rpartition(":")[2].partition("/")
        if kind == "thingtype" and name not in state["types"]:
            missing("Thing type %s" % name)
        state["tags"].setdefault(body["resourceArn"], {}).update({t["Key"]: t["Value"] for t in body["tags"]})
        return {}

    def list_tags(query, body, headers):
        return {"tags": [{"Key": k, "Value": v} for k, v in sorted(state["tags"].get(query["resourceArn"], {}).items())]}

    # --- groups, certificates, templates

    def create_dynamic(name, query, body, headers):
        state["groups"][name] = dict(body)
        return {"thingGroupName": name, "thingGroupArn": arn("thinggroup", name), "queryString": body["queryString"]}

    def describe_group(name, query, body, headers):
        group = state["groups"].get(name) if name in state["groups"] else missing("Thing group %s" % name)
        return dict({"thingGroupName": name, "thingGroupArn": arn("thinggroup", name), "version": 1},
                    **({"queryString": group["queryString"]} if "queryString" in group else {}))

    def delete_dynamic(name, query, body, headers):
        if "queryString" not in state["groups"].get(name, {}):
            raise refused(400, "InvalidRequestException", "not a dynamic group")
        del state["groups"][name]
        return {}

    def group_members(name, query, body, headers):
        return page(sorted(t for g, t in state["members"] if g == name), query, "things")

    def register(query, body, headers):
        identity = hashlib.sha256(ssl.PEM_cert_to_DER_cert(body["certificatePem"])).hexdigest()
        if identity in state["certificates"]:
            taken("Certificate")
        state["certificates"][identity] = {"pem": body["certificatePem"], "status": body.get("status", "INACTIVE"), "made": time.time()}
        return {"certificateId": identity, "certificateArn": arn("cert", identity)}

    def register_ca(query, body, headers):
        der = ssl.PEM_cert_to_DER_cert(body["caCertificate"])
        identity = hashlib.sha256(der).hexdigest()
        state["cas"][identity] = body["caCertificate"]
        return {"certificateId": identity, "certificateArn": arn("cacert", identity)}

    def describe_ca(identity, query, body, headers):
        pem = state["cas"].get(identity) or missing("CA certificate %s" % identity)
        return {"certificateDescription": {"certificateArn": arn("cacert", identity), "certificateId": identity, "status": "ACTIVE",
                                           "certificatePem": pem}}

    def connectivity(name, query, body, headers):
        if state["index"] != "on":
            raise refused(400, "IndexNotReadyException", "Index is not ready")
        state["things"].get(name) or missing("Thing %s" % name)
        connected, when = state["connections"].get(name, (False, 0))
        return {"thingName": name, "connected": connected, "timestamp": when}

    def create_template(query, body, headers):
        json.loads(body["templateBody"])
        if body["templateName"] in state["templates"]:
            taken("Template")
        state["templates"][body["templateName"]] = body
        return {"templateName": body["templateName"], "templateArn": arn("provisioningtemplate", body["templateName"]), "defaultVersionId": 1}

    def create_claim(name, query, body, headers):
        state["templates"].get(name) or missing("Template %s" % name)
        return {"certificateId": "0" * 64, "certificatePem": "pem", "keyPair": {}, "expiration": time.time() + 300}

    def job_template(name, query, body, headers):
        return {"jobTemplateId": name, "jobTemplateArn": arn("jobtemplate", name)}

    return [
        ("PUT", r"/([^/]+)/([^?]+)", "PutObject", "s3", put_object, ()),
        ("HEAD", r"/([^/]+)/([^?]+)", "HeadObject", "s3", head_object, ()),
        ("POST", r"/([^/]+)/([^?]+)", "CreateMultipartUpload", "s3", begin_upload, ("uploads",)),
        ("PUT", r"/([^/]+)/([^?]+)", "UploadPart", "s3", put_part, ("uploadId", "partNumber")),
        ("POST", r"/([^/]+)/([^?]+)", "CompleteMultipartUpload", "s3", end_upload, ("uploadId",)),
        ("DELETE", r"/([^/]+)/([^?]+)", "AbortMultipartUpload", "s3", drop_upload, ("uploadId",)),
    ], [
        ("POST", r"/streams/([^/]+)", "CreateStream", "iot", create_stream),
        ("GET", r"/streams/([^/]+)", "DescribeStream", "iot", describe_stream),
        ("DELETE", r"/streams/([^/]+)", "DeleteStream", "iot", delete_stream),
        ("GET", r"/streams", "ListStreams", "iot", lambda q, b, h: page([{"streamId": n} for n in sorted(state["streams"])], q, "streams")),
        ("PUT", r"/jobs/([^/]+)", "CreateJob", "iot", create_job),
        ("GET", r"/jobs/([^/]+)", "DescribeJob", "iot", describe_job),
        ("GET", r"/jobs/([^/]+)/job-document", "GetJobDocument", "iot", lambda n, q, b, h: {"document": job(n)["document"]}),
        ("PUT", r"/jobs/([^/]+)/cancel", "CancelJob", "iot", cancel_job),
        ("GET", r"/jobs", "ListJobs", "iot", list_jobs),
        ("GET", r"/jobs/([^/]+)/things", "ListJobExecutionsForJob", "iot", list_executions),
        ("GET", r"/things/([^/]+)/jobs/([^/]+)", "DescribeJobExecution", "iot", describe_execution),
        ("POST", r"/otaUpdates/([^/]+)", "CreateOTAUpdate", "iot", create_ota),
        ("GET", r"/otaUpdates/([^/]+)", "GetOTAUpdate", "iot", get_ota),
        ("DELETE", r"/otaUpdates/([^/]+)", "DeleteOTAUpdate", "iot", delete_ota),
        ("POST", r"/things/([^/]+)/shadow", "UpdateThingShadow", "iotdata", set_shadow),
        ("DELETE", r"/things/([^/]+)/shadow", "DeleteThingShadow", "iotdata", delete_shadow),
        ("GET", r"/api/things/shadow/ListNamedShadowsForThing/([^/]+)", "ListNamedShadowsForThing", "iotdata", list_shadows),
        ("POST", r"/topics/([^/]+)", "Publish", "iotdata", publish),
        ("DELETE", r"/connections/([^/]+)", "DeleteConnection", "iotdata", end_connection),
        ("GET", r"/retainedMessage/([^/]+)", "GetRetainedMessage", "iotdata", get_retained),
        ("POST", r"/tags", "TagResource", "iot", put_tags),
        ("GET", r"/tags", "ListTagsForResource", "iot", list_tags),
        ("POST", r"/dynamic-thing-groups/([^/]+)", "CreateDynamicThingGroup", "iot", create_dynamic),
        ("DELETE", r"/dynamic-thing-groups/([^/]+)", "DeleteDynamicThingGroup", "iot", delete_dynamic),
        ("GET", r"/thing-groups/([^/]+)", "DescribeThingGroup", "iot", describe_group),
        ("GET", r"/thing-groups/([^/]+)/things", "ListThingsInThingGroup", "iot", group_members),
        ("POST", r"/certificate/register-no-ca", "RegisterCertificateWithoutCA", "iot", register),
        ("POST", r"/cacertificate", "RegisterCACertificate", "iot", register_ca),
        ("GET", r"/cacertificates", "ListCACertificates", "iot", lambda q, b, h: page([
            {"certificateId": i, "certificateArn": arn("cacert", i), "status": "ACTIVE"} for i in sorted(state["cas"])],
            q, "certificates", "marker", "pageSize")),
        ("GET", r"/cacertificate/([^/]+)", "DescribeCACertificate", "iot", describe_ca),
        ("POST", r"/things/([^/]+)/connectivity-data", "GetThingConnectivityData", "iot", connectivity),
        ("POST", r"/provisioning-templates", "CreateProvisioningTemplate", "iot", create_template),
        ("POST", r"/provisioning-templates/([^/]+)/provisioning-claim", "CreateProvisioningClaim", "iot", create_claim),
        ("PUT", r"/job-templates/([^/]+)", "CreateJobTemplate", "iot", job_template),
    ]
