"""One request to the HTTPS API, signed here (Signature Version 4, from AWS's description, with the standard library alone)
and sent byte for byte as told, so that it can be wrong in exactly one place. Prints the status and the error code.

  api_client.py PORT CA KEY SECRET METHOD TARGET [options]

  --service S --region R      of the signature's scope (iot, local)
  --body FILE | --text TEXT   the body
  --header 'Name: value'      signed; --unsigned 'Name: value' goes along without
  --skew SECONDS              what the clock is off by
  --sign-target TARGET        sign another target than is sent
  --sign-text TEXT            sign another body than is sent
  --no-signature              leave the Authorization header out
  --authorization TEXT        send this instead
  --save FILE / --replay FILE keep the request's bytes, or send kept ones again
  --twice                     send it twice on one connection, in one piece (pipelined)
  --slow SECONDS              a byte of the head each so often, for so long as the server takes it
  --part N                    only the first N bytes of the request, then the end
  --show                      print the answer's body too
"""
import argparse, datetime, hashlib, hmac, socket, ssl, sys, time, urllib.parse


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def canonical_query(query):
    pairs = []
    for item in query.split("&") if query else []:
        name, _, value = item.partition("=")
        pairs.append(tuple(urllib.parse.quote(urllib.parse.unquote_to_bytes(p), safe="-_.~") for p in (name, value)))
    return "&".join(f"{n}={v}" for n, v in sorted(pairs))


def sign(o, headers, target, body, when):
    path, _, query = target.partition("?")
    path = urllib.parse.quote(path, safe="/-_.~") if o.service != "s3" else path
    names = sorted(n.lower() for n, _ in headers)
    values = {n.lower(): " ".join(v.split()) for n, v in headers}
    digest = values.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    request = "\n".join([o.method, path, canonical_query(query)] + [f"{n}:{values[n]}" for n in names]
                        + ["", ";".join(names), digest])
    scope = f"{when[:8]}/{o.region}/{o.service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = ("AWS4" + o.secret).encode()
    for part in (when[:8], o.region, o.service, "aws4_request"):
        key = mac(key, part)
    return (f"AWS4-HMAC-SHA256 Credential={o.key}/{scope}, SignedHeaders={';'.join(names)}, "
            f"Signature={mac(key, text).hex()}")


def build(o):
    body = open(o.body, "rb").read() if o.body else o.text.encode()
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=o.skew)
    when = now.strftime("%Y%m%dT%H%M%SZ")
    headers = [("Host", f"localhost:{o.port}"), ("X-Amz-Date", when)]
    headers += [tuple(p.strip() for p in h.split(":", 1)) for h in o.header]
    if o.service == "s3" and not any(n.lower() == "x-amz-content-sha256" for n, _ in headers):
        headers.append(("x-amz-content-sha256", hashlib.sha256(body).hexdigest()))
    signed = body if o.sign_text is None else o.sign_text.encode()
    authorization = o.authorization or sign(o, headers, o.sign_target or o.target, signed, when)
    lines = [f"{o.method} {o.target} HTTP/1.1"] + [f"{n}: {v}" for n, v in headers]
    lines += [h for h in o.unsigned]
    if not o.no_signature:
        lines.append("Authorization: " + authorization)
    if not any(h.lower().startswith(("content-length:", "transfer-encoding:")) for h in o.unsigned):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def read_answer(stream):
    status = stream.readline().decode("latin-1").split(" ")
    if len(status) < 2:
        return None
    headers = {}
    while (line := stream.readline().decode("latin-1").strip()):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    code = headers.get("x-amzn-errortype", "")
    if not code and b"<Code>" in body:
        code = body.split(b"<Code>")[1].split(b"</Code>")[0].decode()
    return status[1], code, body, headers


def main():
    p = argparse.ArgumentParser()
    for name in ("port", "ca", "key", "secret", "method", "target"):
        p.add_argument(name)
    for name in ("service", "region", "body", "sign-target", "sign-text", "authorization", "save", "replay"):
        p.add_argument("--" + name, default={"service": "iot", "region": "local"}.get(name))
    p.add_argument("--text", default="")
    for name in ("header", "unsigned"):
        p.add_argument("--" + name, action="append", default=[])
    p.add_argument("--skew", type=int, default=0)
    p.add_argument("--slow", type=float)
    p.add_argument("--part", type=int)
    for name in ("no-signature", "twice", "show"):
        p.add_argument("--" + name, action="store_true")
    o = p.parse_args()
    o.target = o.target.encode().decode("unicode_escape") if "\\" in o.target else o.target
    data = open(o.replay, "rb").read() if o.replay else build(o)
    if o.save:
        open(o.save, "wb").write(data)
    context = ssl.create_default_context(cafile=o.ca)
    with socket.create_connection(("localhost", int(o.port)), timeout=60) as raw, \
            context.wrap_socket(raw, server_hostname="localhost") as tls:
        stream = tls.makefile("rb")
        try:
            if o.slow:
                began = time.monotonic()
                for i in range(len(data)):
                    tls.sendall(data[i:i + 1])
                    time.sleep(o.slow)
                    if time.monotonic() - began > 100:
                        break
            tls.sendall((data if o.part is None else data[:o.part]) * (2 if o.twice else 1))
            if o.part is not None:
                raw.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        for _ in range(2 if o.twice else 1):
            try:
                answer = read_answer(stream)
            except OSError:
                answer = None
            if answer is None:
                print("closed")
                return
            print(answer[0], answer[1] or "-")
            if o.show:
                sys.stdout.flush()
                sys.stdout.buffer.write(answer[2] + b"\n")


main()
