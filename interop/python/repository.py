"""Writes a TUF repository signed with one key of each type that securesystemslib makes; a threshold takes all.

Usage: repository.py DIR EXPIRES. It prints the schemes, one a line.
"""

import hashlib
import json
import os
import sys

from securesystemslib import formats, keys

ROLES = ("root", "timestamp", "snapshot", "targets")
TARGET = b"image signed in Python \xe2\x82\xac"


def make_keys():
    """The classic interface of version 0.26: a key is a dictionary."""
    return [
        keys.generate_ed25519_key(),
        keys.generate_ecdsa_key("ecdsa-sha2-nistp256"),
        keys.generate_rsa_key(2048, "rsassa-pss-sha256"),
        keys.generate_rsa_key(3072, "rsa-pkcs1v15-sha256"),
    ]


def public(key):
    """What metadata says of a key."""
    return keys.format_keyval_to_metadata(key["keytype"], key["scheme"], key["keyval"], private=False)


def sign(signed, signers):
    """A document with the signatures of all."""
    message = formats.encode_canonical(signed).encode("utf-8")
    return {"signatures": [keys.create_signature(k, message) for k in signers], "signed": signed}


def put(directory, name, document):
    """Writes a document as the library's users do, and describes it."""
    raw = json.dumps(document, indent=1, sort_keys=True).encode("utf-8")
    with open(os.path.join(directory, "metadata", name), "wb") as out:
        out.write(raw)
    return {"version": 1, "length": len(raw), "hashes": {"sha256": hashlib.sha256(raw).hexdigest()}}


def main(directory, expires):
    """Makes the four roles and one target."""
    signers = make_keys()
    ids = [k["keyid"] for k in signers]
    for part in ("metadata", "targets"):
        os.makedirs(os.path.join(directory, part))

    def role(kind, **members):
        head = {"_type": kind, "spec_version": "1.0.28", "version": 1, "expires": expires}
        return sign({**head, **members}, signers)

    put(directory, "1.root.json", role(
        "root", consistent_snapshot=True, keys={k["keyid"]: public(k) for k in signers},
        roles={r: {"keyids": ids, "threshold": len(ids)} for r in ROLES}))
    digest = hashlib.sha256(TARGET).hexdigest()
    entry = {"length": len(TARGET), "hashes": {"sha256": digest},
             "custom": {"ota": {"version": "3.1 \"ä\" \\ €", "rollback_index": 9}}}
    targets = put(directory, "1.targets.json", role("targets", targets={"board/app.img": entry}))
    snapshot = put(directory, "1.snapshot.json", role("snapshot", meta={"targets.json": targets}))
    put(directory, "timestamp.json", role("timestamp", meta={"snapshot.json": snapshot}))
    os.mkdir(os.path.join(directory, "targets", "board"))
    with open(os.path.join(directory, "targets", "board", digest + ".app.img"), "wb") as out:
        out.write(TARGET)
    for key in signers:
        print(key["keytype"], key["scheme"])


if __name__ == "__main__":
    main(*sys.argv[1:])
