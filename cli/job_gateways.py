"""Where the two halves meet: the S3 gateway of a job, which pipelines ask for and the S3 front is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.job_gateway import JobBuckets, JobGateway, OpenGateway


def job_gateways(store: Store) -> OpenGateway:
    """Return what starts the gateways of jobs on a store; nothing of the S3 front is loaded before the first one."""

    def open_gateway(buckets: JobBuckets) -> JobGateway:
        from s3api.job.server import JobGateway as Served

        return Served(store, pipeline=buckets.pipeline, inputs=buckets.inputs, out=buckets.out)

    return open_gateway
