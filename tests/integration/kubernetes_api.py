"""A stand-in for Kubernetes' Python client, with what JAX asks it: one indexed job of two pods.

`install` puts it in the place of the package. The job is as SUBDOMAIN says: "" is a job without a
headless service, "forbidden" one whose service account may not read pods. What JAX reads is in
jax/_src/clusters/k8s_cluster.py; the fields are those of kubernetes.client.models.
"""

import builtins
import io
import sys
import types
from types import SimpleNamespace as Record

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


class ApiException(Exception):
    status, reason = 403, "Forbidden"


def install(subdomain: str) -> None:
    """Makes `import kubernetes` find this, and all names of pods this machine."""
    owner = Record(controller=True, kind="Job")
    about = Record(name="devae-x7", labels={"job-name": "devae"}, owner_references=[owner])
    pod = Record(metadata=about, spec=Record(subdomain=subdomain or None))

    def pods(namespace, field_selector):
        assert (namespace, field_selector) == ("research", "status.podIP=127.0.0.1")
        if subdomain == "forbidden":
            raise ApiException
        return Record(items=[pod])

    def job(name, namespace):
        assert (name, namespace) == ("devae", "research")
        return Record(metadata=Record(name=name, labels={}), spec=Record(parallelism=2))

    core = Record(list_namespaced_pod=pods, list_namespaced_service=lambda _: Record(items=[]))
    package = types.ModuleType("kubernetes")
    package.config = Record(load_incluster_config=lambda: None)
    package.client = Record(
        CoreV1Api=lambda: core,
        BatchV1Api=lambda: Record(read_namespaced_job=job),
        exceptions=Record(ApiException=ApiException),
    )
    sys.modules["kubernetes"] = package
    _open = builtins.open
    builtins.open = lambda file, *more, **how: (
        io.StringIO("research\n") if file == NAMESPACE else _open(file, *more, **how)
    )
    _without_names(subdomain)


def _without_names(subdomain: str) -> None:
    """The cluster's names of pods are not known here: the coordinator is this machine."""
    from jax._src.clusters import K8sCluster

    find = K8sCluster.get_coordinator_address.__func__

    def here(cls, timeout_secs, override_coordinator_port):
        host, port = find(cls, None, override_coordinator_port).split(":")
        assert host == f"devae-0.{subdomain}", host
        return f"127.0.0.1:{port}"

    K8sCluster.get_coordinator_address = classmethod(here)
