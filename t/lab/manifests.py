# manifests.py: what is wrong with contrib/kubernetes/smbgate.yaml, as far as a file can tell
"""kubectl has a schema, and a cluster knows the rest; neither is here.  What is looked at: the
fields that each kind must have, what a pod must have to run unprivileged, and that every name,
port, label and path leads to something."""
import os
import re

try:
    import yaml
except ImportError:
    yaml = None

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                    "contrib", "kubernetes", "smbgate.yaml")
# The API that has each kind, and what must be in it.
KINDS = {"ConfigMap": ("v1", "data"), "Service": ("v1", "spec.selector", "spec.ports"),
         "PodDisruptionBudget": ("policy/v1", "spec.minAvailable", "spec.selector.matchLabels"),
         "Deployment": ("apps/v1", "spec.replicas", "spec.selector.matchLabels",
                        "spec.template.metadata.labels", "spec.template.spec.containers")}
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
PROBES = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def at(d, path):
    """What is there in the tree, or None."""
    for key in path.split("."):
        d = d.get(key) if isinstance(d, dict) else None
    return d


def shape_faults(m):
    """Kinds, their APIs, names, and fields that have to be there."""
    for (kind, name), d in m.items():
        api, *need = KINDS.get(kind, ("?",))
        if d.get("apiVersion") != api:
            yield "%s is not of %s" % (kind, d.get("apiVersion"))
        if set(d) != {"apiVersion", "kind", "metadata", need[0].split(".")[0] if need else "spec"}:
            yield "%s has %s" % (kind, sorted(d))
        yield from ("%s %s has no %s" % (kind, name, p) for p in need if not at(d, p))
        if not LABEL.fullmatch(name):
            yield "%s is no name" % name


def container_faults(c, spec):
    """One container: its image, ports, probes, mounts and privileges."""
    volumes = {v["name"] for v in spec["volumes"]}
    ports = {p["name"]: p["containerPort"] for p in c.get("ports", ())}
    if not c.get("image") or not LABEL.fullmatch(c["name"]):
        yield "a container without a name or an image"
    mounts = c.get("volumeMounts", ())
    yield from ("no volume " + v["name"] for v in mounts if v["name"] not in volumes)
    if len({v["mountPath"] for v in mounts if v["mountPath"][0] == "/"}) != len(mounts):
        yield "mounts of %s are in one place" % c["name"]
    for probe in PROBES:
        get = at(c, probe + ".httpGet")
        if get and (get["port"] not in ports or get["path"] != PROBES[probe]):
            yield "%s asks %s of %s" % (probe, get["path"], get["port"])
    safe = c.get("securityContext", {})
    if (at(safe, "capabilities.drop"), safe.get("readOnlyRootFilesystem"),
            safe.get("allowPrivilegeEscalation")) != (["ALL"], True, False):
        yield "%s has privileges" % c["name"]
    for kind in ("requests", "limits"):
        for what, n in (at(c, "resources." + kind) or {}).items():
            if not re.fullmatch(r"\d+(m|[KMGT]i?)?", str(n)):
                yield "%s of %s" % (n, what)


def pod_faults(m):
    """The Deployment's pods, by themselves: containers, volumes, and the time to go."""
    spec = m["Deployment", "smbgate"]["spec"]["template"]["spec"]
    everyone = spec["containers"] + spec["initContainers"]
    for c in everyone:
        yield from container_faults(c, spec)
    main = spec["containers"][0]
    yield from ("no " + p for p in PROBES if p not in main)
    for group in ("containers", "initContainers"):
        if len({c["name"] for c in spec[group]}) != len(spec[group]):
            yield "two %s of one name" % group
    mounted = {v["name"] for c in everyone for v in c["volumeMounts"]}
    for v in spec["volumes"]:
        kind, = set(v) - {"name"}
        if kind not in ("configMap", "secret", "emptyDir") or v["name"] not in mounted:
            yield "volume %s is a %s, or mounted nowhere" % (v["name"], kind)
        if kind == "configMap" and ("ConfigMap", v[kind]["name"]) not in m:
            yield "no ConfigMap " + v[kind]["name"]
    # The API has no octal numbers, but YAML 1.1 has.
    if [v["secret"].get("defaultMode") for v in spec["volumes"] if "secret" in v] != [0o440]:
        yield "the secret's mode"
    minutes, = re.findall(r"--drain (\d+)m", main["lifecycle"]["preStop"]["exec"]["command"][-1])
    if spec["terminationGracePeriodSeconds"] <= int(minutes) * 60:
        yield "the pod is killed while it drains"


def reference_faults(m, head):
    """Who names whom; head: the file's first lines, which say how the Secret is made."""
    d = m["Deployment", "smbgate"]["spec"]
    spec, labels = d["template"]["spec"], d["template"]["metadata"]["labels"]
    service, budget = m["Service", "smbgate"]["spec"], m["PodDisruptionBudget", "smbgate"]["spec"]
    for who, wants in (("Deployment", d["selector"]["matchLabels"]),
                       ("Service", service["selector"]),
                       ("budget", budget["selector"]["matchLabels"]),
                       ("affinity", at(spec["affinity"]["podAntiAffinity"][
                           "requiredDuringSchedulingIgnoredDuringExecution"][0],
                           "labelSelector.matchLabels"))):
        if not wants or not wants.items() <= labels.items():
            yield "the %s does not find the pods" % who
    if not 0 < budget["minAvailable"] < d["replicas"]:
        yield "the budget lets no pod go, or all"
    main = spec["containers"][0]
    ports = {p["name"]: p["containerPort"] for p in main["ports"]}
    yield from ("no port " + p["targetPort"] for p in service["ports"]
                if p["targetPort"] not in ports)
    data = m["ConfigMap", "smbgate"]["data"]
    conf = data["smbgate.conf"]
    told = {"http": re.search(r'(?m)^http += "[^"]*:(\d+)"', conf),
            "smb": re.search(r'(?m)^listen .*address = "[^"]*:(\d+)"', conf)}
    yield from ("smbgate.conf has no port " + n for n, p in told.items()
                if not p or int(p[1]) != ports.get(n))
    mounts = {v["name"]: v["mountPath"] for v in main["volumeMounts"]}
    secret, = [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v]
    made = re.search(r"kubectl create secret generic (\S+)((?: --from-file \S+)+)", head)
    if not made or made[1] != secret:
        yield "no Secret " + secret
    keys = re.findall(r"(?m)^ *(?:cluster-secret|password-file) = \"(.*)/(.*)\"", conf)
    yield from ("%s/%s is not there" % k for k in keys
                if k[0] != mounts["secrets"] or k[1] not in made[2].split())
    if '"%s/control.sock"' % mounts["run"] not in conf or \
            '"%s/nodes"' % mounts["nodes"] not in data["policy.conf"]:
        yield "files are not where volumes are"
    for c in spec["containers"][1:] + spec["initContainers"]:
        _, script, service, file = c["command"]
        if os.path.basename(script) not in data or ("Service", service) not in m or \
                file != mounts["nodes"] + "/nodes":
            yield "%s runs %s" % (c["name"], c["command"])
    if m["Service", "samba"]["spec"].get("clusterIP") != "None":
        yield "samba is not headless"


def text():
    with open(PATH) as f:
        return f.read()


def read(of=None):
    """{(kind, name): manifest}"""
    return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(of or text())}


def faults(of):
    m = read(of)
    return list(shape_faults(m)) or list(pod_faults(m)) or list(
        reference_faults(m, of.split("apiVersion")[0]))
