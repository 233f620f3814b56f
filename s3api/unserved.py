"""The operations of S3 that are not served: how each is recognised, so that it can be refused by its own name.

One line an operation: its name, then the query parameters that make it. Where two lines of a method fit a request, the
one that names more parameters counts; parameters beyond those named change nothing. Of operations that only differ in
age, the newer name is given (``GetBucketLifecycleConfiguration``, not ``GetBucketLifecycle``).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

_SERVICE_GET = """
ListDirectoryBuckets max-directory-buckets
"""

_BUCKET_GET = """
CreateSession session
GetBucketAbac abac
GetBucketAccelerateConfiguration accelerate
GetBucketAnalyticsConfiguration analytics id
GetBucketEncryption encryption
GetBucketIntelligentTieringConfiguration intelligent-tiering id
GetBucketInventoryConfiguration inventory id
GetBucketLifecycleConfiguration lifecycle
GetBucketLogging logging
GetBucketMetadataConfiguration metadataConfiguration
GetBucketMetadataTableConfiguration metadataTable
GetBucketMetricsConfiguration metrics id
GetBucketNotificationConfiguration notification
GetBucketOwnershipControls ownershipControls
GetBucketPolicy policy
GetBucketPolicyStatus policyStatus
GetBucketReplication replication
GetBucketRequestPayment requestPayment
GetBucketWebsite website
GetObjectLockConfiguration object-lock
GetPublicAccessBlock publicAccessBlock
ListBucketAnalyticsConfigurations analytics
ListBucketIntelligentTieringConfigurations intelligent-tiering
ListBucketInventoryConfigurations inventory
ListBucketMetricsConfigurations metrics
"""

_BUCKET_PUT = """
PutBucketAbac abac
PutBucketAccelerateConfiguration accelerate
PutBucketAnalyticsConfiguration analytics
PutBucketEncryption encryption
PutBucketIntelligentTieringConfiguration intelligent-tiering
PutBucketInventoryConfiguration inventory
PutBucketLifecycleConfiguration lifecycle
PutBucketLogging logging
PutBucketMetricsConfiguration metrics
PutBucketNotificationConfiguration notification
PutBucketOwnershipControls ownershipControls
PutBucketPolicy policy
PutBucketReplication replication
PutBucketRequestPayment requestPayment
PutBucketWebsite website
PutObjectLockConfiguration object-lock
PutPublicAccessBlock publicAccessBlock
UpdateBucketMetadataAnnotationTableConfiguration metadataAnnotationTable
UpdateBucketMetadataInventoryTableConfiguration metadataInventoryTable
UpdateBucketMetadataJournalTableConfiguration metadataJournalTable
"""

_BUCKET_POST = """
CreateBucketMetadataConfiguration metadataConfiguration
CreateBucketMetadataTableConfiguration metadataTable
"""

_BUCKET_DELETE = """
DeleteBucketAnalyticsConfiguration analytics
DeleteBucketEncryption encryption
DeleteBucketIntelligentTieringConfiguration intelligent-tiering
DeleteBucketInventoryConfiguration inventory
DeleteBucketLifecycle lifecycle
DeleteBucketMetadataConfiguration metadataConfiguration
DeleteBucketMetadataTableConfiguration metadataTable
DeleteBucketMetricsConfiguration metrics
DeleteBucketOwnershipControls ownershipControls
DeleteBucketPolicy policy
DeleteBucketReplication replication
DeleteBucketWebsite website
DeletePublicAccessBlock publicAccessBlock
"""

_OBJECT_GET = """
GetObjectAnnotation annotation annotationName
GetObjectLegalHold legal-hold
GetObjectRetention retention
GetObjectTorrent torrent
ListObjectAnnotations annotation
"""

_OBJECT_PUT = """
PutObjectAnnotation annotation
PutObjectLegalHold legal-hold
PutObjectRetention retention
RenameObject renameObject
UpdateObjectEncryption encryption
"""

_OBJECT_POST = """
RestoreObject restore
SelectObjectContent select
"""

_OBJECT_DELETE = """
DeleteObjectAnnotation annotation
"""


def _table(lines: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return names and what they need, those that need more first."""
    rows = ((name, frozenset(needs)) for name, *needs in (line.split() for line in lines.strip().splitlines()))
    return tuple(sorted(rows, key=lambda row: (-len(row[1]), row[0])))


UNSERVED: Mapping[tuple[str, str], tuple[tuple[str, frozenset[str]], ...]] = {
    ("service", "GET"): _table(_SERVICE_GET),
    ("bucket", "GET"): _table(_BUCKET_GET),
    ("bucket", "PUT"): _table(_BUCKET_PUT),
    ("bucket", "POST"): _table(_BUCKET_POST),
    ("bucket", "DELETE"): _table(_BUCKET_DELETE),
    ("object", "GET"): _table(_OBJECT_GET),
    ("object", "PUT"): _table(_OBJECT_PUT),
    ("object", "POST"): _table(_OBJECT_POST),
    ("object", "DELETE"): _table(_OBJECT_DELETE),
}
"""By level and method. An operation that gets served moves from here to `router.ROUTES`."""

UNSERVED_NAMES = frozenset({"WriteGetObjectResponse"} | {name for rows in UNSERVED.values() for name, _ in rows})


def unserved_name(level: str, method: str, parameters: AbstractSet[str]) -> str | None:
    """Return the name of the operation that a request asks for, None when it is none of these."""
    rows = UNSERVED.get((level, method), ())
    return next((name for name, needs in rows if needs <= parameters), None)
