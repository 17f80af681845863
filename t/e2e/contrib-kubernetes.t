#!/usr/bin/python3
# contrib-kubernetes.t: the manifests have what they must, and their names lead somewhere
import manifests
import tap

if manifests.yaml is None:
    tap.skip_all("no python3-yaml")

# One of these at a time is wrong: each must be found.
MISTAKES = (("apps/v1", "v1"), ("minAvailable: 1", "minAvailable: 2"), ("path: /readyz", "path: /"),
            ("targetPort: smb", "targetPort: smb2"), ("clusterIP: None", "clusterIP: ''"),
            ("{name: http, containerPort: 9445}", "{name: http, containerPort: 9446}"),
            ("configMap: {name: smbgate}", "configMap: {name: conf}"),
            ("secretName: smbgate,", "secretName: keys,"),
            ("defaultMode: 0440", "defaultMode: 440"),
            ("{name: run, mountPath: /run/smbgate}", "{name: runs, mountPath: /run/smbgate}"),
            ("GracePeriodSeconds: 1900", "GracePeriodSeconds: 30"), ('"samba", ', '"smb", '),
            ("    matchLabels:\n      app: smbgate\n---", "    matchLabels:\n      app: gate\n---"),
            ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
            ("--from-file redis.password", "--from-file password"), ("  replicas: 2\n", ""))


def main(t):
    text = manifests.text()
    t.same(manifests.faults(text), [], "nothing is missing, and no name leads nowhere")
    for old, new in MISTAKES:
        broken = text.replace(old, new)
        t.ok(broken != text and manifests.faults(broken), "not with %r in place of %r" % (new, old))


with tap.Test(deadline=30) as test:
    main(test)
