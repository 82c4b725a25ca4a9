#!/usr/bin/env python3
"""Prints attest_vectors.h: attestation tokens by an implementation of its own (hmac of the standard library, CBOR by hand).

The test runs on what it printed; run it again only to add a token. ES384 needs the package cryptography.
"""
import hashlib
import hmac


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError(n)


def cbor(v):
    if isinstance(v, int):
        return head(0, v) if v >= 0 else head(1, -1 - v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(cbor, v))
    return head(5, len(v)) + b"".join(cbor(k) + cbor(x) for k, x in v.items())


def mac0(alg, digest, key, claims):
    protected, payload = cbor({1: alg}), cbor(claims)
    tag = hmac.new(key, cbor(["MAC0", protected, b"", payload]), digest).digest()
    return head(6, 17) + cbor([protected, {}, payload, tag])


def instance(key):
    return b"\x01" + hashlib.sha256(hashlib.sha256(key).digest()).digest()


KEY = bytes(range(1, 33))
NONCE = bytes([0x11] * 32)
SPE = {1: "SPE", 4: "1.6.0", 5: bytes([0x51] * 32), 2: bytes([0x21] * 32), 6: "SHA256"}
NSPE = {1: "NSPE", 4: "2.0.1+7", 5: bytes([0x52] * 32), 2: bytes([0x22] * 32)}
PSA_1 = {-75008: NONCE, -75004: bytes([0xB0] * 32), -75009: instance(KEY), -75003: bytes([0x1D] * 32), -75001: -1,
         -75002: 0x3000, -75006: [SPE, NSPE], -75000: "PSA_IOT_PROFILE_1"}
PSA_2 = {265: "http://arm.com/psa/2.0.0", 10: NONCE, 256: instance(KEY), 2396: bytes([0x1D] * 32), 2397: bytes([0xB0] * 32),
         2394: -1, 2395: 0x30FF, 2399: [SPE], 99999: {"unknown": [1, {2: 3}]}}
RFC = {265: "tag:psacertified.org,2023:psa#tfm", 10: NONCE, 256: instance(KEY), 2396: bytes([0x1D] * 32), 2394: -1,
       2395: 0x3000, 2399: [SPE, NSPE], 2398: "1234567890123-12345", 268: bytes([0xB0] * 8)}


def show(name, data):
    text = data.hex()
    lines = [text[i:i + 100] for i in range(0, len(text), 100)]
    print(f"static const char {name}[] =\n\t" + "\n\t".join(f'"{x}"' for x in lines) + ";")


def with_claim(claims, key, value):
    changed = dict(claims)
    if value is None:
        del changed[key]
    else:
        changed[key] = value
    return changed


print("/* Made by attest_vectors.py. */")
show("psa_1_token", mac0(5, "sha256", KEY, PSA_1))
show("psa_2_token", mac0(6, "sha384", KEY, PSA_2))
show("rfc_9783_token", mac0(7, "sha512", KEY, RFC))
show("mixed_token", mac0(5, "sha256", KEY, with_claim(PSA_1, 10, NONCE)))
show("no_seed_token", mac0(5, "sha256", KEY, with_claim(PSA_1, -75004, None)))
show("debug_token", mac0(5, "sha256", KEY, with_claim(PSA_1, -75002, 0x4000)))
show("decommissioned_token", mac0(5, "sha256", KEY, with_claim(PSA_1, -75002, 0x6000)))
show("secure_caller_token", mac0(5, "sha256", KEY, with_claim(PSA_1, -75001, 3002)))
show("other_device_token", mac0(5, "sha256", KEY, with_claim(PSA_1, -75009, instance(b"other"))))
show("profile_token", mac0(5, "sha256", KEY, with_claim(PSA_1, -75000, "http://example.com")))
show("no_signer_token", mac0(5, "sha256", KEY, with_claim(RFC, 2399, [{1: "SPE", 2: bytes(32)}])))
show("array_nonce_token", mac0(5, "sha256", KEY, with_claim(RFC, 10, [NONCE])))
show("cut_tag_token", mac0(4, "sha256", KEY, PSA_1))
