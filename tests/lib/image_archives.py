#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Image archives for tests, good and hostile, each named after what it does.

image_archives.py good DIR      writes DIR/NAME.tar
image_archives.py hostile DIR   writes DIR/NAME.tar and DIR/NAME.expect, the regular expression its refusal must match
"""
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

EPOCH = 1700000000


def sha(data):
    return hashlib.sha256(data).hexdigest()


def dumps(value):
    return json.dumps(value).encode()


def info(name, kind=tarfile.REGTYPE, mode=0o644, **fields):
    t = tarfile.TarInfo(name)
    t.type = kind
    t.mode = mode
    t.mtime = EPOCH
    for key, value in fields.items():
        setattr(t, key, value)
    return t


def make_tar(entries):
    """entries: (TarInfo, data or None)..., as a tar in memory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for t, data in entries:
            if data is not None:
                t.size = len(data)
            tar.addfile(t, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def directory(name, mode=0o755, **fields):
    return info(name, tarfile.DIRTYPE, mode, **fields), None


def regular(name, data=b"x\n", **fields):
    return info(name, **fields), data


def link(name, target, **fields):
    return info(name, tarfile.LNKTYPE, linkname=target, **fields), None


def symlink(name, target, **fields):
    return info(name, tarfile.SYMTYPE, 0o777, linkname=target, **fields), None


def node(name, kind=tarfile.CHRTYPE):
    return info(name, kind, devmajor=1, devminor=3), None


def config_for(layers, **changes):
    c = {
        "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Labels": {"who": "test"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(x) for x in layers]},
        "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "layer %d" % i} for i in range(len(layers))],
    }
    c.update(changes)
    return {k: v for k, v in c.items() if v is not None}


def docker_archive(layers, tags=("t/x:1",), config=None, packed=None, extra=(), legacy=False, manifest=None):
    """packed: the layers as they stand in the archive (compressed); legacy: <id>/layer.tar, repeated ones as links."""
    packed = packed or layers
    text = dumps(config if config is not None else config_for(layers))
    name = sha(text) + ".json"
    names, entries, seen = [], [], {}
    for i, data in enumerate(packed):
        n = "%064x/layer.tar" % i if legacy else sha(layers[i]) + ".tar"
        names.append(n)
        if legacy and sha(data) in seen:
            entries.append(symlink(n, "../" + seen[sha(data)]))
        elif n not in seen.values():
            entries.append(regular(n, data))
        seen[sha(data)] = n
    entries += [regular(name, text), *extra]
    m = manifest if manifest is not None else [{"Config": name, "RepoTags": list(tags) or None, "Layers": names}]
    entries.append(regular("manifest.json", dumps(m)))
    return make_tar(entries)


def oci_archive(layers, packed=None, nested=False, ref="docker.io/t/oci:1", damage=None, size_off=0):
    packed = packed or layers
    blobs = {}

    def put(data, media, **more):
        blobs[sha(data)] = data
        return {"mediaType": media, "digest": "sha256:" + sha(data), "size": len(data), **more}

    text = dumps(config_for(layers))
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(text, "application/vnd.oci.image.config.v1+json"),
        "layers": [put(x, "application/vnd.oci.image.layer.v1.tar+gzip") for x in packed],
    }
    manifest["layers"][0]["size"] += size_off
    d = put(dumps(manifest), manifest["mediaType"], platform={"os": "linux", "architecture": "amd64"})
    if nested:
        other = dict(d, digest="sha256:" + "0" * 64, platform={"os": "linux", "architecture": "arm64"})
        attest = dict(d, digest="sha256:" + "1" * 64, platform={"os": "unknown", "architecture": "unknown"})
        inner = {"schemaVersion": 2, "manifests": [other, attest, d]}
        d = put(dumps(inner), "application/vnd.oci.image.index.v1+json")
    d["annotations"] = {"io.containerd.image.name": ref}
    if damage:
        k = sha(packed[0])
        blobs[k] = damage(blobs[k])
    entries = [regular("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), directory("blobs"), directory("blobs/sha256")]
    entries += [regular("blobs/sha256/" + k, v) for k, v in blobs.items()]
    entries.append(regular("index.json", dumps({"schemaVersion": 2, "manifests": [d]})))
    return make_tar(entries)


# ---- good ones ----

def rich_layer():
    cap = b"\x01\x00\x00\x02\x00\x04\x00\x00" + b"\x00" * 12
    entries = [
        directory("./"), directory("./bin"), directory("./tmp", 0o1777), directory("./dev"), directory("./opaque"),
        regular("./bin/small", b"hello\n", mode=0o755),
        regular("./bin/setuid", b"s" * 5000, mode=0o4755),
        regular("./bin/block", b"B" * 131072),
        regular("./bin/block-and-more", os.urandom(1) * 131073),
        regular("./bin/zeros", b"\0" * 400000),
        regular("./bin/empty", b""),
        link("./bin/hard", "./bin/setuid"), link("bin/hard2", "bin/setuid"),
        symlink("./sbin", "bin"), symlink("./bin/up", "../tmp"), symlink("./bin/abs", "/bin/small"), link("./ln", "sbin"),
        regular("./owned", b"o", uid=1000, gid=70000, mode=0o640),
        regular("./caps", b"c", pax_headers={"SCHILY.xattr.security.capability": cap.decode("latin-1")}),
        regular("./user-xattr", b"u", pax_headers={"SCHILY.xattr.user.note": "kept", "SCHILY.xattr.system.other": "no"}),
        regular("./na\u00efve-\u65e5\u672c", b"utf8"), regular("./nfd-e\u0301", b"nfd"), regular("./" + "n" * 255, b"long"),
        (info("./fifo", tarfile.FIFOTYPE), None), node("./dev/null"), node("dev/sda", tarfile.BLKTYPE),
        regular("./implied/deep/file", b"d"), regular("./twice", b"first"), regular("./twice", b"second"),
        regular("./gone/.wh.file", b""), regular("./opaque/.wh..wh..opq", b""), regular("./opaque/kept", b"k"),
        regular("./.wh..wh.plnk", b""), regular("./old", mtime=-5),
    ]
    entries += [regular("./many/f%04d" % i, b"%d" % i) for i in range(1500)]
    return make_tar(entries)


def gnu_sparse():
    """A file with holes, as GNU tar writes it."""
    import tempfile
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/holes", "wb") as f:
            f.write(b"a" * 4096)
            f.seek(3 << 20)
            f.write(b"b" * 100)
            f.truncate(5 << 20)
        return subprocess.run(["tar", "-cSf", "-", "-C", d, "--owner=0", "--group=0", "--mtime=@%d" % EPOCH, "holes"],
                              check=True, stdout=subprocess.PIPE).stdout


def good():
    rich = rich_layer()
    second = make_tar([regular("second", b"2"), regular("bin/.wh.small", b"")])
    gz = gzip.compress(rich, 1, mtime=0)
    zst = subprocess.run(["zstd", "-q", "-1", "-c"], input=rich, check=True, stdout=subprocess.PIPE).stdout
    yield "docker-archive", docker_archive([rich, second])
    yield "docker-archive-compressed-layers", docker_archive([rich, second], packed=[gz, second])
    yield "docker-archive-gz", gzip.compress(docker_archive([rich]), 1)
    yield "docker-archive-zst", subprocess.run(["zstd", "-q", "-1", "-c"], input=docker_archive([rich]), check=True,
                                               stdout=subprocess.PIPE).stdout
    yield "docker-archive-legacy-links", docker_archive([second, second, rich], legacy=True)
    yield "docker-archive-untagged", docker_archive([second], tags=())
    yield "docker-archive-sixteen-layers", docker_archive([make_tar([regular("f%d" % i)]) for i in range(16)])
    yield "oci-layout", oci_archive([rich], packed=[gz])
    yield "oci-layout-zst", oci_archive([rich], packed=[zst])
    yield "oci-layout-nested-index", oci_archive([rich, second], nested=True)
    yield "rootfs", rich
    yield "rootfs-sparse", gnu_sparse()


# ---- hostile ones ----

def of_layer(*entries):
    return docker_archive([make_tar(entries)])




def huge_claim():
    """A header that claims far more than follows."""
    t = info("big")
    t.size = 1 << 32
    return t.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024


def layer_hostile():
    up = "/".join([".."] * 3)
    yield "absolute-name", of_layer(regular("/etc/passwd")), r"entry '/etc/passwd': its name is absolute"
    yield "dotdot-name", of_layer(regular("a/../../b")), r"entry 'a/\.\./\.\./b': its name contains '\.\.'"
    yield "dotdot-whiteout", of_layer(regular("a/.wh...")), r"entry 'a/\.wh\.\.\.': it is a whiteout of no name"
    yield "empty-whiteout", of_layer(regular("a/.wh.")), r"it is a whiteout of no name"
    yield "hard-link-outside", of_layer(link("a", "../../etc/shadow")), r"entry 'a': .*outside of the root"
    yield "hard-link-absolute", of_layer(link("a", "/etc/shadow")), r"entry 'a': .*outside of the root"
    yield "hard-link-missing", of_layer(link("a", "not/there")), r"entry 'a': .*does not have"
    yield "hard-link-to-directory", of_layer(directory("d"), link("a", "d")), r"entry 'a': .*to a directory"
    yield "hard-link-to-whiteout", of_layer(regular(".wh.x"), link("a", "x")), r"entry 'a': .*does not have"
    yield "symlink-climbs", of_layer(symlink("d/e/a", up + "/etc")), r"entry 'd/e/a': its target climbs above the root"
    yield "symlink-climbs-first", of_layer(symlink("a", "../a/b")), r"entry 'a': its target climbs above the root"
    yield "symlink-empty", of_layer(symlink("a", "")), r"entry 'a': it is a symbolic link to nothing"
    yield "beneath-symlink", of_layer(symlink("a", "/tmp"), regular("a/b")), r"entry 'a/b': .*beneath a symbolic link"
    yield "beneath-file", of_layer(regular("a"), regular("a/b")), r"entry 'a/b': .*not a directory"
    yield "directory-replaced", of_layer(regular("a/b"), symlink("a", "/tmp")), r"entry 'a': it replaces a directory"
    yield "device-node", of_layer(node("etc/null")), r"entry 'etc/null': it is a device node outside of dev/"
    yield "device-node-named-dev", of_layer(node("dev")), r"entry 'dev': it is a device node"
    yield "block-device", of_layer(node("sda", tarfile.BLKTYPE)), r"entry 'sda': it is a device node"
    yield "name-too-long", of_layer(regular("n" * 256)), r"its name is too long"
    yield "path-too-long", of_layer(regular("/".join(["n" * 200] * 21))), r"its name is too long"
    yield "too-deep", of_layer(regular("/".join(["d"] * 300))), r"it lies too deep"
    yield "overlay-xattr", of_layer(regular("a", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"})), \
        r"entry 'a': it carries a 'trusted\.' attribute"
    yield "xattrs-too-large", of_layer(regular("a", pax_headers={"SCHILY.xattr.user.a": "x" * 70000})), \
        r"entry 'a': its extended attributes are too large"
    yield "root-replaced", of_layer(symlink(".", "/")), \
        r"it would replace the root"


def archive_hostile():
    layer = make_tar([regular("a", b"a" * 3000), regular("b", b"b")])
    bomb = gzip.compress(make_tar([regular("zeros", b"\0" * (300 << 20))]), 9)
    many = [make_tar([regular("f%d" % i)]) for i in range(17)]
    cfg = dumps(config_for([layer]))
    yield "truncated-layer", docker_archive([layer[:1500]]), r"layer '[0-9a-f]{64}\.tar': entry 'a': .*[Tt]runcated"
    yield "layer-claims-more", docker_archive([huge_claim()]), r"layer .*entry 'big': .*[Tt]runcated"
    yield "layer-is-garbage", docker_archive([b"no tar at all " * 100]), r"layer '[0-9a-f]{64}\.tar': "
    yield "layer-gzip-cut", docker_archive([layer], packed=[gzip.compress(layer)[:-20]]), r"layer '[0-9a-f]{64}\.tar': "
    yield "gzip-bomb", docker_archive([b""], config=config_for([layer]), packed=[bomb]), r"grows more than 200-fold"
    yield "diff-id-mismatch", docker_archive([layer], config=config_for([layer + b"\0" * 512])), r"has the diff id sha256:"
    yield "config-digest-mismatch", docker_archive([layer], manifest=[{
        "Config": "0" * 64 + ".json", "RepoTags": [], "Layers": []}], extra=[regular("0" * 64 + ".json", cfg)]), \
        r"blob '0{64}': its content has the digest"
    yield "oci-digest-mismatch", oci_archive([layer], damage=lambda d: d[:-1] + b"!"), r"blob 'sha256:[0-9a-f]{64}': .*digest"
    yield "oci-size-mismatch", oci_archive([layer], size_off=1), r"not what its descriptor says"
    yield "seventeen-layers", docker_archive(many), r"has 17 layers; this engine takes at most 16"
    yield "config-without-rootfs", docker_archive([layer], config=config_for([layer], rootfs=None)), r"has no rootfs"
    yield "config-of-other-layers", docker_archive([layer], config=config_for([layer, layer])), r"lists 2 layers, the manifest 1"
    yield "config-diff-id-path", docker_archive([layer], config=config_for([layer], rootfs={
        "type": "layers", "diff_ids": ["sha256:../../../../etc/passwd"]})), r"a diff id that is no sha256 digest"
    yield "config-for-arm", docker_archive([layer], config=config_for([layer], architecture="arm64")), r"for linux/arm64"
    yield "config-is-a-list", docker_archive([layer], config=[1]), r"has no rootfs"
    yield "json-too-deep", make_tar([regular("manifest.json", b"[" * 5000)]), r"JSON deeper than 64"
    yield "json-too-large", make_tar([regular("manifest.json", b" " * (5 << 20))]), r"larger than 4194304 bytes"
    yield "json-malformed", make_tar([regular("manifest.json", b"[{")]), r"'manifest\.json': not JSON"
    yield "manifest-empty", make_tar([regular("manifest.json", b"[]")]), r"not a list of images"
    yield "manifest-names-nothing", make_tar([regular("manifest.json", dumps([{
        "Config": "../../etc/passwd", "Layers": []}]))]), r"the archive has no '\.\./\.\./etc/passwd'"
    yield "manifest-tag-number", docker_archive([layer], manifest=[{
        "Config": sha(cfg) + ".json", "RepoTags": [7], "Layers": []}]), r"a tag is no string"
    yield "no-manifest", make_tar([regular("hello")]), r"the archive is no image"
    yield "not-an-archive", b"GET / HTTP/1.1\r\n\r\n" * 50, r"the archive"
    yield "empty-stream", b"", r"the stream is empty"
    yield "outer-truncated", docker_archive([layer])[:2000], r"the archive: .*[Tt]runcated"
    yield "member-climbs", make_tar([regular("../../x")]), r"its name leaves the archive"
    yield "member-absolute", make_tar([regular("/etc/cron.d/x")]), r"its name leaves the archive"
    yield "member-device", make_tar([node("x")]), r"neither a file, a link nor a directory"
    yield "layer-symlink-outside", make_tar([symlink("l/layer.tar", "../../../etc/shadow")]), r"outside of the archive"
    yield "layer-symlink-loop", make_tar([symlink("a", "b"), symlink("b", "a"), regular("manifest.json", dumps([{
        "Config": "a", "Layers": ["b"]}]))]), r"the archive has no 'a'"
    yield "too-many-members", make_tar([regular("f%d" % i, b"") for i in range(4100)]), r"more than 4096 files"
    yield "index-nested-for-ever", nested_index(6), r"nested too deep"
    yield "index-for-arm-only", oci_archive_for("arm64"), r"no image for linux/amd64"


def nested_index(depth):
    entries, d = [], {"digest": "sha256:" + "0" * 64, "size": 1}
    for _ in range(depth):
        data = dumps({"manifests": [d]})
        entries.append(regular("blobs/sha256/" + sha(data), data))
        d = {"digest": "sha256:" + sha(data), "size": len(data)}
    return make_tar(entries + [regular("index.json", dumps({"manifests": [d]}))])


def oci_archive_for(arch):
    d = {"digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "linux", "architecture": arch}}
    return make_tar([regular("index.json", dumps({"manifests": [d]}))])


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def main():
    kind, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    if kind == "good":
        for name, data in good():
            write("%s/%s.tar" % (out, name), data)
    else:
        for source in (layer_hostile, archive_hostile):
            for name, data, expect in source():
                write("%s/%s.tar" % (out, name), data)
                write("%s/%s.expect" % (out, name), expect.encode())


main()
