"""Where the two halves meet: the S3 gateway of a job, which pipelines ask for and the S3 front is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.job_gateway import JobBuckets, JobGateway, OpenGateway


def job_gateways(store: Store) -> OpenGateway:
    """Return what starts the gateways of jobs on a store; nothing of the S3 front is loaded before the first one."""

    def open_gateway(buckets: JobBuckets) -> JobGateway:
        if buckets.spout:
            return _of_spout(store, buckets)
        if buckets.reserved is not None:
            from s3api.job.lazy import task_gateway

            return task_gateway(store, pipeline=buckets.pipeline, inputs=buckets.inputs, reserved=buckets.reserved)
        from s3api.job.server import JobGateway as Served

        return Served(store, pipeline=buckets.pipeline, inputs=buckets.inputs, out=buckets.out)

    return open_gateway


def _of_spout(store: Store, buckets: JobBuckets) -> JobGateway:
    from pfs.ids import CommitId
    from pfs.spout import Spout
    from s3api.job.spout import SpoutGateway

    return SpoutGateway(store, Spout(buckets.pipeline, CommitId(buckets.spout)), branch=buckets.output_branch)
