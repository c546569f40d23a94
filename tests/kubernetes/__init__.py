"""Kubernetes: the manifests in deploy/kubernetes and deploy/ray."""
